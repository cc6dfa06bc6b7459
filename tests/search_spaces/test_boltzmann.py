"""What Boltzmann machines promise beyond the contract of every family."""

import torch

from automed import registry
from automed.sample import InputSpec, SampleSpec, TargetSpec

SAMPLE = SampleSpec(
    inputs=(InputSpec(size=(24, 24), channels=1),), targets=(TargetSpec(classes=("no", "yes")),)
)


def test_a_machine_whose_units_all_agree_stays_finite() -> None:
    """Pixels of a dark and of a bright image rise together: what links them must not run away."""
    torch.manual_seed(0)
    network = registry.family("dbn")(grid=24, binary_units=320).build(SAMPLE)
    machine = network.stack[0]
    moved = machine.still()
    for _ in range(200):
        rows = torch.randn(32, 1) * torch.ones(576) + 0.1 * torch.randn(32, 576)
        machine.diverge(rows, 3, 0.02, moved)
    assert machine.link.weight.isfinite().all()
    assert machine.link.weight.abs().max() < 10
