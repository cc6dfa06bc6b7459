"""What runs on slices of a volume computes what the 3D network does, and has no 3D kernel."""

import copy
import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional

from automed import registry
from automed.errors import ExportError
from automed.exporters.volumes import sliced
from automed.sample import InputSpec, SampleSpec, TargetSpec

TOLERANCE = 1e-5
SIZE = (7, 9, 8)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


class Calls(nn.Module):
    """A function of volumes as a network, behind a layer that is sliced."""

    def __init__(self, function):
        super().__init__()
        self.conv, self.function = nn.Conv3d(4, 4, 3, padding=1), function

    def forward(self, x):
        return self.function(self.conv(x))


def kernels(network):
    """Every operation that a network still asks the runtime for."""
    given = torch.zeros(1, 4, *SIZE)
    graph = torch.export.export(network, (given,), strict=False).graph
    return {str(node.target) for node in graph.nodes if node.op == "call_function"}


def agrees(network, *shape):
    """The rewritten network answers alike, for inputs that it was not rewritten with."""
    network = network.eval()
    before = copy.deepcopy(network.state_dict())
    x = torch.randn(1, *(shape or (4, *SIZE)))
    wanted = network(x)
    rewritten = sliced(network, [torch.zeros_like(x)])
    got = rewritten(x)
    assert got.shape == wanted.shape
    torch.testing.assert_close(got, wanted, atol=TOLERANCE, rtol=TOLERANCE)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    return rewritten


axes = [1, 2, 3, (3, 1, 1), (1, 3, 2)]


@pytest.mark.parametrize("kernel", axes, ids=str)
@pytest.mark.parametrize("stride", [1, 2, (3, 1, 2)], ids=str)
def test_convolutions(kernel, stride):
    for padding, dilation, groups in itertools.product([0, 1, (2, 0, 1)], [1, 2], [1, 2, 4]):
        conv = nn.Conv3d(
            4, 8, kernel, stride, padding, dilation, groups=groups, bias=groups < 4
        ).eval()
        agrees(conv)


@pytest.mark.parametrize("kernel", axes, ids=str)
@pytest.mark.parametrize("stride", [1, 2, (3, 1, 2)], ids=str)
def test_transposed_convolutions(kernel, stride):
    for padding, dilation, groups in itertools.product([0, 1], [1, 2], [1, 2]):
        extra = 0 if stride == 1 else (1, 0, 0)
        conv = nn.ConvTranspose3d(
            4, 8, kernel, stride, padding, extra, groups, bias=groups == 1, dilation=dilation
        )
        try:
            conv(torch.zeros(1, 4, *SIZE))
        except RuntimeError:
            continue  # torch refuses padding beyond what the kernel reaches
        agrees(conv)


@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [(2, 2, 0, 1), (3, 2, 1, 1), (3, 1, 1, 1), (3, 3, 0, 2), ((3, 2, 1), (1, 2, 1), (1, 1, 0), 1)],
    ids=str,
)
def test_max_pooling(kernel, stride, padding, dilation, ceil):
    agrees(nn.MaxPool3d(kernel, stride, padding, dilation, ceil_mode=ceil))


@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("counts", [False, True])
@pytest.mark.parametrize("divisor", [None, 5])
def test_average_pooling(ceil, counts, divisor):
    for kernel, stride, padding in [(2, 2, 0), (3, 2, 1), (3, 1, 1), ((3, 2, 1), (1, 2, 1), 0)]:
        agrees(nn.AvgPool3d(kernel, stride, padding, ceil, counts, divisor))


@pytest.mark.parametrize("size", [1, 2, (3, 4, 5)], ids=str)
def test_adaptive_average_pooling(size):
    agrees(nn.AdaptiveAvgPool3d(size))


@pytest.mark.parametrize(
    "options",
    [
        {"scale_factor": 2, "mode": "nearest"},
        {"scale_factor": (2.0, 1.5, 0.7), "mode": "nearest"},
        {"size": (11, 5, 9), "mode": "nearest-exact"},
        {"scale_factor": 2, "mode": "trilinear"},
        {"scale_factor": (0.6, 1.5, 2.0), "mode": "trilinear"},
        {"size": (11, 5, 9), "mode": "trilinear", "align_corners": True},
    ],
    ids=str,
)
def test_interpolation(options):
    agrees(Calls(lambda x: functional.interpolate(x, **options)))


def test_norms():
    norms = [nn.BatchNorm3d(4), nn.InstanceNorm3d(4, affine=True), nn.GroupNorm(2, 4)]
    for norm in norms:
        for _ in range(2):
            norm.train()(torch.randn(3, 4, *SIZE))
        nn.init.uniform_(norm.weight)
        nn.init.uniform_(norm.bias)
        agrees(nn.Sequential(nn.Conv3d(4, 4, 3), norm, nn.ReLU(), nn.Conv3d(4, 2, 1)))
        agrees(norm)


@pytest.mark.parametrize("groups", [1, 2])
def test_a_batch_norm_behind_a_convolution_costs_nothing(groups):
    for conv in (nn.Conv3d(4, 4, 3, groups=groups), nn.ConvTranspose3d(4, 4, 2, 2)):
        norm = nn.BatchNorm3d(4)
        norm.train()(torch.randn(3, 4, *SIZE) + 1)
        assert "aten.batch_norm.default" not in kernels(agrees(nn.Sequential(conv, norm)))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.cat([x, x.relu()], 1),
        lambda x: torch.cat([x, x], 2)[:, :, 1:, 2:-1],
        lambda x: functional.pad(x, (1, 2, 0, 1, 3, 0), value=2.0),
        lambda x: x * x.mean((2, 3, 4), keepdim=True) + x.amax((2, 3, 4), keepdim=True),
        lambda x: x * x.mean(1, keepdim=True) - x.amax(1, keepdim=True),
        lambda x: x.mean((2, 3, 4)),
        lambda x: x.mean((3, 4)),
        lambda x: x + torch.arange(8.0) + torch.arange(7.0).reshape(7, 1, 1),
        lambda x: torch.stack(x.split([1, 3], 1)[1].unbind(2), 2),
        lambda x: x.flatten(1),
        lambda x: x.softmax(1).argmax(1).float(),
    ],
)
def test_what_lies_between_layers(function):
    agrees(Calls(function))


def test_reading_at_other_places():
    places = torch.randn(1, 5, 6, 7, 3)
    options = {"padding_mode": "border", "align_corners": True}
    agrees(Calls(lambda x: functional.grid_sample(x, places, **options)))


def test_axes_are_not_moved_from_layer_to_layer():
    network = nn.Sequential(
        nn.Conv3d(4, 4, 3, padding=1), nn.ReLU(), nn.Conv3d(4, 4, 3), nn.ReLU(), nn.Conv3d(4, 4, 1)
    )
    graph = torch.export.export(agrees(network), (torch.zeros(1, 4, *SIZE),), strict=False).graph
    assert len([n for n in graph.nodes if "transpose" in str(n.target)]) == 2


@pytest.mark.parametrize(
    "layer", [nn.Conv3d(4, 4, 3, padding="same"), nn.AdaptiveMaxPool3d(2)], ids=repr
)
def test_layers_that_are_not_known_are_refused(layer):
    with pytest.raises(ExportError, match="3d"):
        sliced(layer.eval(), [torch.zeros(1, 4, *SIZE)])


def agrees_as_a_network(name, **fields):
    family = registry.family(name)
    kind = "mask" if name == "unet" else "label"
    target = TargetSpec(name=kind, kind=kind, classes=("normal", "abnormal"))
    sample = SampleSpec(inputs=(InputSpec(size=(16, 18, 20)),), targets=(target,))
    known = {key: value for key, value in fields.items() if key in family.space(3)}
    network = family(**known).build(sample)
    network.train()(torch.rand(2, *sample.image.shape))
    agrees(network, *sample.image.shape)


@pytest.mark.parametrize("name", ["resnet", "unet", "mobile", "vgg", "densenet"])
def test_small_networks_agree(name):
    agrees_as_a_network(name, width=8, stages=3, depth=1, attention="cbam", volume="2+1d")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet", "unet", "mobile", "vgg", "densenet"])
def test_default_networks_agree(name):
    agrees_as_a_network(name)
