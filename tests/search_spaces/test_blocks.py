"""What the shared layers promise to every family that uses them."""

import pytest
import torch

from automed import registry
from automed.sample import InputSpec, SampleSpec, TargetSpec

TARGETS = (TargetSpec(classes=("normal", "ectopic")),)


@pytest.mark.parametrize("name", ["vgg", "cnn-rnn", "dnn"])
def test_offset_and_gain_of_an_electrode_mean_nothing(name: str) -> None:
    sample = SampleSpec(inputs=(InputSpec(size=(64,), channels=2),), targets=TARGETS)
    network = registry.family(name)().build(sample).eval()
    signal = torch.rand(3, 2, 64, generator=torch.Generator().manual_seed(1))
    moved = 0.2 + signal * torch.tensor([[0.5], [0.7]])
    torch.testing.assert_close(network(moved), network(signal), rtol=0, atol=1e-3)
    assert not torch.allclose(network(signal.flip(2)), network(signal), atol=1e-3)


@pytest.mark.parametrize("name", ["vgg", "cnn-rnn", "dnn"])
def test_grey_values_of_an_image_do(name: str) -> None:
    sample = SampleSpec(inputs=(InputSpec(size=(32, 32)),), targets=TARGETS)
    network = registry.family(name)().build(sample).eval()
    image = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    assert not torch.allclose(network(0.2 + 0.5 * image), network(image), atol=1e-3)
