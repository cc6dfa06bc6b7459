"""A file that disagrees with its network is made once more with norms that keep their digits."""

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from automed import registry
from automed.artefacts import ported
from automed.data.dataset import Dataset
from automed.errors import DisagreementError
from automed.exporters import MAX_DIFFERENCE, norms, outputs
from automed.lowering import deployed
from automed.sample import InputSpec, SampleSpec, TargetSpec

SIZE = (96, 96)
SAMPLE = SampleSpec(
    inputs=(InputSpec(size=SIZE, window=(0.0, 1.0)),),
    targets=(TargetSpec(name="mask", kind="mask", classes=("background", "nodule")),),
)
SKEWED = np.random.default_rng(0).random((2, 1, *SIZE)).astype(np.float32) ** 4
PART = Dataset(
    sample=SAMPLE, inputs={"image": SKEWED}, targets={"mask": np.zeros((2, *SIZE), np.int64)}
)
OPENVINO = registry.part("exporter", "openvino")


def deep(depth, norm=nn.InstanceNorm2d):
    """Convolutions with random weights: from layer to layer they enlarge what differs."""
    layers, given = [], 1
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(depth):
            layers += [nn.Conv2d(given, 4, 3, padding=1), norm(4, affine=True), nn.ReLU()]
            given = 4
        network = nn.Sequential(*layers, nn.Conv2d(4, 2, 1))
    return deployed(network.eval(), registry.task("lung-ct-seg"), SAMPLE)


def away(model, other=None):
    """By how much OpenVINO's answers differ from a network's, or another's."""
    artefact = OPENVINO.export(model, SAMPLE.inputs, {})
    given = outputs(OPENVINO.load(artefact), [SKEWED])
    return np.abs(given - (other or model).outputs([SKEWED])).max()


@pytest.fixture(scope="module")
def chaotic():
    """The first depth at which OpenVINO's own norms are off by more than is allowed."""
    return next(model for n in itertools.count(20) if away(model := deep(n)) > MAX_DIFFERENCE)


@pytest.mark.parametrize("size", [(9, 7), (5, 6, 7)], ids=str)
@pytest.mark.parametrize("affine", [True, False])
def test_stages_compute_the_norm(size, affine):
    norm = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}[len(size)](3, affine=affine, eps=1e-3)
    if affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    x = torch.randn(2, 3, *size) * 5 + 3
    torch.testing.assert_close(norms.Staged(norm)(x), norm(x), atol=1e-6, rtol=1e-5)


def test_a_network_without_instance_norms_stays_as_it_is():
    assert norms.staged(deep(2, nn.BatchNorm2d)) is None


def test_the_network_itself_is_left_alone():
    model = deep(2)
    before = copy.deepcopy(model)
    norms.staged(model)
    assert str(model) == str(before)


def test_stages_keep_digits_that_the_runtime_loses(chaotic):
    exact = copy.deepcopy(chaotic)  # in torch, whose sums are exact to the last digit but one
    assert away(norms.staged(chaotic), exact) < away(chaotic) / 2


def test_a_file_that_disagrees_is_made_once_more(chaotic):
    file = ported("it", chaotic, "openvino", PART, {})
    assert file.max_difference <= MAX_DIFFERENCE
    assert file.how == norms.HOW
    np.testing.assert_allclose(file.validation, chaotic.outputs([SKEWED]), atol=MAX_DIFFERENCE)


def test_a_file_that_agrees_is_left_as_it_is():
    assert not ported("it", deep(2), "openvino", PART, {}).how


def test_what_disagrees_for_another_reason_is_refused(monkeypatch):
    model = deep(2, nn.BatchNorm2d)
    export = OPENVINO.export

    def wrong(model, *given):
        other = copy.deepcopy(model)
        nn.init.normal_(other.network[0].weight)
        return export(other, *given)

    monkeypatch.setattr(OPENVINO, "export", wrong)
    with pytest.raises(DisagreementError, match=r"it: the exported model differs"):
        ported("it", model, "openvino", PART, {})
