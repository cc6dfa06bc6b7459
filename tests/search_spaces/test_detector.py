"""What heat-map detectors promise beyond the contract of every family."""

import pytest
import torch
from torch import nn

from automed import registry
from automed.problems.heat_map import HeatMapLoss, stride_of
from automed.sample import InputSpec, SampleSpec, TargetSpec

DETECTOR = registry.family("detector")


def points(*size: int) -> SampleSpec:
    target = TargetSpec(name="points", kind="points", values=len(size) + 2)
    return SampleSpec(inputs=(InputSpec(size=size),), targets=(target,))


@pytest.mark.parametrize(("stem", "stride"), [("full", 1), ("stride2", 2), ("stride4", 4)])
@pytest.mark.parametrize("size", [(17, 39), (16, 18, 20)])
def test_the_grid_is_that_of_the_stem(stem: str, stride: int, size: tuple[int, ...]) -> None:
    network = DETECTOR(stem=stem, stages=9, norm="instance").build(points(*size)).eval()
    raw = network(torch.rand(1, 1, *size))
    assert raw.shape[:2] == (1, len(size) + 2)
    assert stride_of(raw.shape[2:], size) == stride


def test_deep_supervision_is_learnt_from_at_every_stride() -> None:
    network = DETECTOR(deep_supervision=True, stages=4).build(points(32, 40)).train()
    raws = network(torch.rand(2, 1, 32, 40))
    assert [stride_of(raw.shape[2:], (32, 40)) for raw in raws] == [2, 4, 8]
    truth = torch.tensor([[[9.0, 30.0, 4.0]], [[torch.nan] * 3]])
    HeatMapLoss((32, 40))(raws, truth).backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize(("kind", "number"), [("plain", 1), ("inverted", 3), ("basic", 2)])
def test_blocks_are_of_the_kind(kind: str, number: int) -> None:
    network = DETECTOR(encoder_block=kind, width=8, widening=1.0, depth=1).build(points(32, 32))
    assert isinstance(network.encoders, nn.ModuleList)
    block = network.encoders[1][1]
    assert sum(isinstance(module, nn.Conv2d) for module in block.modules()) == number
