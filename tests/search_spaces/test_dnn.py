"""What fully connected networks promise beyond the contract of every family."""

import torch

from automed import registry
from automed.sample import InputSpec, SampleSpec, TargetSpec

TABLE = InputSpec(name="table", kind="table", channels=3)
IMAGE = InputSpec(size=(17, 23), channels=2)
TARGETS = (TargetSpec(classes=("benign", "malignant")),)
DNN = registry.family("dnn")


def test_units_of_a_table_do_not_matter() -> None:
    """Age in years or in days: what was learnt from is standardised inside the network."""
    sample = SampleSpec(inputs=(TABLE,), targets=TARGETS)
    rows = torch.rand(64, 3, generator=torch.Generator().manual_seed(1))
    answers = []
    for scale, shift in ((1.0, 0.0), (365.25, 4000.0)):
        torch.manual_seed(0)
        network = DNN(dropout=0.0).build(sample).train()
        given = rows * torch.tensor([scale, 1.0, 1.0]) + torch.tensor([shift, 0.0, 0.0])
        with torch.no_grad():
            for batch in given.split(16):
                network(batch)
            answers.append(network.eval()(given))
    torch.testing.assert_close(*answers, rtol=0, atol=1e-2)
    assert answers[0].std(dim=0).min() > 0.02


def test_statistics_are_those_of_all_batches_from_the_first_step_on() -> None:
    network = DNN().build(SampleSpec(inputs=(TABLE,), targets=TARGETS)).train()
    rows = 1000 + torch.rand(8, 3)
    network(rows)
    torch.testing.assert_close(network.embeddings[0].running_mean, rows.mean(0))


def test_inputs_come_in_the_order_of_the_sample() -> None:
    image, table = torch.rand(4, 2, 17, 23), torch.rand(4, 3)
    for inputs, given in (((IMAGE, TABLE), (image, table)), ((TABLE, IMAGE), (table, image))):
        network = DNN().build(SampleSpec(inputs=inputs, targets=TARGETS)).eval()
        both = network(*given)
        for changed in range(2):
            other = [x + (n == changed) for n, x in enumerate(given)]
            assert not torch.equal(network(*other), both)


def test_every_pixel_counts_in_a_coarse_grid() -> None:
    for size in ((61,), (17, 23), (16, 18, 21)):
        spec = InputSpec(size=size)
        network = DNN(embedding="pixels", unit_norm="layer", activation="silu").build(
            SampleSpec(inputs=(spec,), targets=TARGETS)
        )
        image = torch.rand(2, 1, *size, requires_grad=True)
        network.eval()(image).square().sum().backward()
        assert image.grad is not None
        assert (image.grad != 0).all(), size
