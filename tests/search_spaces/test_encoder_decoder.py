"""What encoders with decoders promise beyond the contract of every family."""

import pytest
import torch
from torch import nn

from automed import registry
from automed.sample import InputSpec, SampleSpec, TargetSpec

FAMILIES = [n for n in registry.names("family") if "segmentation" in registry.family(n).problems]
every_family = pytest.mark.parametrize("name", FAMILIES)


def masks(*size: int, channels: int = 1, classes: int = 2) -> SampleSpec:
    target = TargetSpec(name="mask", kind="mask", classes=tuple("abcd")[:classes])
    return SampleSpec(inputs=(InputSpec(size=size, channels=channels),), targets=(target,))


@every_family
def test_stages_never_outrun_the_image(name: str) -> None:
    network = registry.family(name)(stages=9, norm="instance").build(masks(16, 37))
    assert network.train()(torch.rand(1, 1, 16, 37)).shape == (1, 2, 16, 37)
    network = registry.family(name)(stages=9, norm="instance").build(masks(5, 16, 16))
    assert network.train()(torch.rand(1, 1, 5, 16, 16)).shape == (1, 2, 5, 16, 16)


@every_family
def test_deep_supervision_answers_at_every_stage_while_training_only(name: str) -> None:
    network = registry.family(name)(stages=4, deep_supervision=True).build(masks(20, 33))
    given = torch.rand(2, 1, 20, 33)
    answers = network.train()(given)
    assert [tuple(a.shape[2:]) for a in answers] == [(20, 33), (10, 17), (5, 9)]
    assert network.eval()(given).shape == (2, 2, 20, 33)
    problem = registry.part("problem", "segmentation").PROBLEM
    truth = torch.zeros(2, 1, 20, 33, dtype=torch.uint8)
    loss = problem.loss(truth.numpy(), masks(20, 33), 0.0)(answers, truth)
    assert loss.isfinite()


@every_family
def test_costs_are_those_of_a_small_model(name: str) -> None:
    network = registry.family(name)().build(masks(48, 48))
    assert sum(p.numel() for p in network.parameters()) < 1e6


def test_the_u_net_of_the_paper_is_a_point() -> None:
    arch = registry.family("unet")(width=64, stages=5, depth=2, upsampling="transposed")
    network = arch.build(masks(64, 64, channels=3, classes=1))
    # the much used PyTorch port has 31,037,633: biases of up-convolutions where norms stand here
    assert sum(p.numel() for p in network.parameters()) == 31_037_633 + 512 + 256 + 128 + 64


def test_the_stages_of_a_v_net_have_one_two_three_and_three_convolutions() -> None:
    network = registry.family("vnet")(depth=3, stages=4).build(masks(32, 32))
    branches = [encoder[1].branch for encoder in network.encoders]
    kinds = [[type(m) for m in branch.modules()].count(nn.Conv2d) for branch in branches]
    assert kinds == [1, 2, 3, 3]


def test_unpooling_goes_to_the_maxima_and_rounding_does_not_turn_it() -> None:
    torch.manual_seed(0)
    layers = registry.family("segnet")(activation="silu").layers(2)
    unpool = registry.part("family", "segnet").Unpool(layers, 4, 4).eval()
    coarse, far = torch.rand(1, 4, 4, 4), 10 * torch.rand(1, 4, 7, 8)
    there = unpool(coarse, far) != 0
    up = unpool.up(unpool.pool(far))[..., :7, :8]
    assert there[far == up].any()
    assert not there[far < up - 1].any()
    equal = torch.full((1, 4, 7, 8), 0.3)
    rounded = equal + 1e-6 * torch.rand(1, 4, 7, 8)
    torch.testing.assert_close(unpool(coarse, equal), unpool(coarse, rounded), atol=1e-5, rtol=0)
