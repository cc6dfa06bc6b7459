"""One contract for every family that the registry knows."""

import copy
import random
import sys
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from automed import registry
from automed.errors import SpaceError
from automed.family import Family
from automed.sample import InputSpec, SampleSpec, TargetSpec
from automed.space import Choice, Integer, Parameter, Value, joint

CLASSES = ("normal", "abnormal", "unclear")
SIZES = [(17, 23), (32, 32), (50, 50), (16, 18, 20)]
families = pytest.mark.parametrize("name", registry.names("family"))


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def sample(*size: int) -> SampleSpec:
    return SampleSpec(inputs=(InputSpec(size=size),), targets=(TargetSpec(classes=CLASSES),))


def build(arch: Family, *size: int) -> nn.Module:
    return arch.build(sample(*size))


def images(*size: int, number: int = 2) -> Tensor:
    return torch.rand(number, 1, *size, generator=torch.Generator().manual_seed(1))


def value(parameter: Parameter, rng: random.Random) -> Value:
    if isinstance(parameter, Choice):
        return rng.choice(parameter.options)
    if isinstance(parameter, Integer):
        return rng.randrange(parameter.low, parameter.high + 1, parameter.step)
    return rng.uniform(parameter.low, parameter.high)


def points(family: type[Family], number: int) -> list[Family]:
    rng = random.Random(0)
    return [family.at({n: value(p, rng) for n, p in family.space().items()}) for _ in range(number)]


def alive(arch: Family, *size: int) -> nn.Module:
    """The network as training could leave it: no norm is trivial and no branch is silent."""
    network = build(arch, *size)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            module.momentum = None
    with torch.no_grad():
        for seed in range(2):
            network(torch.rand(4, 1, *size, generator=torch.Generator().manual_seed(seed)))
    return network.eval()


@families
@pytest.mark.parametrize("size", SIZES)
def test_default_and_corners_give_logits(name: str, size: tuple[int, ...]) -> None:
    family = registry.family(name)
    for arch in (family(), family.corner(0), family.corner(1)):
        network = build(arch, *size).eval()
        with torch.no_grad():
            logits = network(images(*size))
        assert logits.shape == (2, len(CLASSES))
        assert logits.isfinite().all()


@families
@pytest.mark.parametrize("size", [(16, 16), (33, 33)])
def test_random_points_give_logits(name: str, size: tuple[int, ...]) -> None:
    for arch in points(registry.family(name), 20):
        with torch.no_grad():
            logits = build(arch, *size)(images(*size))
        assert logits.shape == (2, len(CLASSES)), arch
        assert logits.isfinite().all(), arch


@families
def test_config_is_a_point_and_comes_back(name: str) -> None:
    family = registry.family(name)
    for arch in (family(), family.corner(0), family.corner(1), *points(family, 20)):
        assert family.at(arch.config()) == arch


@families
def test_point_outside_the_space_is_refused(name: str) -> None:
    family = registry.family(name)
    config = family().config()
    first = next(iter(config))
    wrong: list[dict[str, Any]] = [
        config | {"colour": 1},
        {n: v for n, v in config.items() if n != first},
        *(config | {n: "nonsense"} for n in config),
        *(config | {n: -1} for n in config),
    ]
    for point in wrong:
        with pytest.raises(SpaceError):
            family.at(point)


def test_shared_names_mean_one_parameter() -> None:
    spaces = {name: registry.family(name).space() for name in registry.names("family")}
    together = joint(spaces)
    rng = random.Random(0)
    point = {name: value(parameter, rng) for name, parameter in together.items()}
    for name in spaces:
        assert registry.family(name).within(point).config().items() <= point.items()


@families
def test_build_reads_every_field(name: str) -> None:
    family = registry.family(name)
    read: set[str] = set()

    def spy(arch: Family, attribute: str) -> Any:
        # asdict and friends read every field too; only what a family's own code reads counts
        if sys._getframe(1).f_globals["__name__"].startswith("automed.search_spaces."):
            read.add(attribute)
        return object.__getattribute__(arch, attribute)

    spied = type("Spied", (family,), {"__getattribute__": spy})
    for arch in (spied(), spied.corner(0), spied.corner(1)):
        read.clear()
        build(arch, 32, 32)
        assert {f.name for f in fields(family)} <= read


@families
def test_every_parameter_changes_the_network(name: str) -> None:
    family = registry.family(name)
    for parameter, space in family.space().items():
        low, high = (family.at(family().config() | {parameter: end}) for end in space.ends)
        assert repr(build(low, 32, 32)) != repr(build(high, 32, 32)), parameter


@families
def test_costliest_corner_is_larger(name: str) -> None:
    family = registry.family(name)
    small, default, large = (
        sum(p.numel() for p in build(arch, 32, 32).parameters())
        for arch in (family.corner(0), family(), family.corner(1))
    )
    assert small < default < large


@families
def test_training_lowers_the_loss_and_reaches_every_parameter(name: str) -> None:
    network = build(registry.family(name)(), 32, 32).train()
    before = copy.deepcopy(network.state_dict())
    x_NCHW, y_N = images(32, 32, number=12), torch.arange(12) % len(CLASSES)
    x_NCHW += y_N.view(-1, 1, 1, 1) * 0.2 * torch.linspace(0, 1, 32)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(8):
        loss = nn.functional.cross_entropy(network(x_NCHW), y_N)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    still = [n for n, p in network.named_parameters() if torch.equal(p, before[n])]
    assert not still


@families
@pytest.mark.parametrize("end", [0, 1])
def test_gradients_reach_the_corners(name: str, end: int) -> None:
    network = build(registry.family(name).corner(end), 16, 16).train()
    network(images(16, 16)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def exports_alike(arch: Family, *size: int) -> None:
    """Exported graphs answer as the network does, for another image than they were made with."""
    import onnxruntime

    network = alive(arch, *size)
    x_NCS, example_NCS = images(*size).split(1)
    with torch.no_grad():
        expected, other = network(x_NCS), network(example_NCS)
    assert not torch.equal(expected, other)

    exported = torch.export.export(network, (example_NCS,))
    np.testing.assert_allclose(exported.module()(x_NCS).detach(), expected, atol=1e-4, rtol=1e-4)

    program = torch.onnx.export(exported, dynamo=True, opset_version=20, verbose=False)
    assert program is not None
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    (logits,) = session.run(None, {session.get_inputs()[0].name: x_NCS.numpy()})
    np.testing.assert_allclose(logits, expected, atol=1e-4, rtol=1e-4)


@families
def test_default_exports(name: str) -> None:
    exports_alike(registry.family(name)(), 32, 32)


@pytest.mark.slow
@families
@pytest.mark.parametrize("size", [(17, 23), (16, 18, 20)])
@pytest.mark.parametrize("end", [0, 1])
def test_corners_export(name: str, size: tuple[int, ...], end: int) -> None:
    exports_alike(registry.family(name).corner(end), *size)


@pytest.mark.slow
@families
@pytest.mark.parametrize("size", [(32, 32), (16, 18, 20)])
@pytest.mark.parametrize("nth", range(4))
def test_every_option_exports(name: str, size: tuple[int, ...], nth: int) -> None:
    family = registry.family(name)
    choices = {n: p.options for n, p in family.space().items() if isinstance(p, Choice)}
    assert all(len(options) <= 4 for options in choices.values()), "raise the range of nth"
    config = family().config() | {n: o[nth % len(o)] for n, o in choices.items()}
    exports_alike(family.at(config), *size)


def test_resnet_18_is_a_point_of_the_family() -> None:
    arch = registry.family("resnet")(
        width=64, stages=4, depth=2, widening=2.0, stem="stride4", kernel=3, block="basic"
    )
    network = arch.build(
        SampleSpec(
            inputs=(InputSpec(size=(64, 64)),),
            targets=(TargetSpec(classes=("benign", "malignant")),),
        )
    )
    # torchvision's 11,689,512 less two colours of the stem and all but two of 1,000 classes
    assert sum(p.numel() for p in network.parameters()) == 11_689_512 - 2 * 64 * 49 - 998 * 513


def test_five_convolutions_are_a_point_of_vgg() -> None:
    network = build(registry.family("vgg")(stages=4, depth=1), 32, 32)
    kinds = [type(module) for module in network.modules()]
    assert (kinds.count(nn.Conv2d), kinds.count(nn.BatchNorm2d), kinds.count(nn.ReLU)) == (5, 5, 5)
    assert (kinds.count(nn.MaxPool2d), kinds.count(nn.Linear)) == (3, 1)
