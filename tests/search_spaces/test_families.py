"""One contract for every family that the registry knows."""

import copy
import random
import sys
from collections import Counter
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from automed import registry
from automed.errors import SpaceError
from automed.exporters import outputs, verify
from automed.exporters.deployed import Deployed
from automed.family import Family
from automed.problems.heat_map import stride_of
from automed.sample import InputSpec, SampleSpec, TargetSpec
from automed.space import Choice, Integer, Parameter, Value, joint
from automed.training.recipes.gradient import cost

CLASSES = ("normal", "abnormal", "unclear")
families = pytest.mark.parametrize("name", registry.names("family"))
TABLE = InputSpec(name="table", kind="table", channels=5)


def image(*size: int) -> InputSpec:
    return InputSpec(size=size)


SHAPES = {  # what a family may be asked to take; the first that it does is its usual one
    "32x32": (image(32, 32),),
    "17x23": (image(17, 23),),
    "50x50": (image(50, 50),),
    "16x16": (image(16, 16),),
    "16x18x20": (image(16, 18, 20),),
    "signal": (InputSpec(size=(64,), channels=2),),
    "image and table": (image(17, 23), TABLE),
    "table": (TABLE,),
    "two 17x23": (image(17, 23), replace(image(17, 23), name="moving")),
    "two 16x18x20": (image(16, 18, 20), replace(image(16, 18, 20), name="moving")),
}
OF_PAIRS = ("registration",)
"""Problems whose samples are two images; in others a second image is one more stream."""
TARGETS = {
    "classification": TargetSpec(classes=CLASSES),
    "multilabel": TargetSpec(name="labels", kind="labels", classes=CLASSES),
    "regression": TargetSpec(
        name="value", kind="value", classes=("age", "volume"), centre=(60.0, 2.5), scale=(9.0, 0.5)
    ),
    "segmentation": TargetSpec(name="mask", kind="mask", classes=CLASSES),
    "detection": TargetSpec(name="points", kind="points"),
    "reconstruction": TargetSpec(name="target", kind="image"),
    "anomaly": TargetSpec(name="target", kind="image"),
    "registration": TargetSpec(name="field", kind="field"),
}


def sample_of(problem: str, inputs: tuple[InputSpec, ...]) -> SampleSpec:
    """Samples with the problem's target.

    A point takes a number an axis, a radius and a score, a displacement one an axis; an image to
    be made has the channels of the first input.
    """
    sample, target = SampleSpec(inputs=inputs, targets=()), TARGETS[problem]
    if target.kind == "points":
        target = replace(target, values=sample.dims + 2)
    if target.kind == "field":
        target = replace(target, values=sample.dims)
    if target.kind == "image":
        target = replace(target, values=inputs[0].channels)
    return replace(sample, targets=(target,))


ROWS = ("label", "labels", "value")
"""Kinds of target that a network answers with a row of numbers."""


def usual_of(served: list[tuple[str, SampleSpec]]) -> list[tuple[str, SampleSpec]]:
    """The first image and the first volume, or the first of what else there is."""
    first = {sample.dims: (shape, sample) for shape, sample in reversed(served)}
    return [first[dims] for dims in (2, 3) if dims in first] or served[:1]


def cases(usual: bool = False) -> list[Any]:
    """Every family with every problem and kind of sample it serves, or the usual one of each.

    Usual are the first image and the first volume, or the first of what else it serves. Problems
    that are answered with a row of numbers, as classes are, are tried on the first alone.
    """
    found = []
    for name in registry.names("family"):
        family = registry.family(name)
        for problem in family.problems:
            is_like_another = TARGETS[problem].kind in ROWS and problem != "classification"
            samples = {
                shape: sample_of(problem, inputs)
                for shape, inputs in SHAPES.items()
                if problem not in OF_PAIRS or [spec.kind for spec in inputs] == ["image"] * 2
            }
            served = [(shape, s) for shape, s in samples.items() if not family.refusal(s)]
            assert served, f"{name} serves nothing of {problem}"
            if is_like_another:
                served = served[:1]
            found += [
                pytest.param(name, problem, sample, id=f"{name}-{problem}-{shape}")
                for shape, sample in (usual_of(served) if usual else served)
            ]
    return found


every_case = pytest.mark.parametrize(("name", "problem", "sample"), cases())
usual_case = pytest.mark.parametrize(("name", "problem", "sample"), cases(usual=True))


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def given(sample: SampleSpec, number: int = 2, seed: int = 1) -> list[Tensor]:
    """Inputs as a network takes them."""
    stream = torch.Generator().manual_seed(seed)
    return [torch.rand(number, *spec.shape, generator=stream) for spec in sample.inputs]


def fits(raw: Tensor, sample: SampleSpec, number: int = 2) -> bool:
    """Whether a raw output has the shape of its target; a grid for points may be coarser."""
    size = () if sample.target.kind in ("label", "labels", "value") else sample.image.size
    if sample.target.kind == "points":
        stride = stride_of(raw.shape[2:], size)
        size = tuple(-(-pixels // stride) for pixels in size)
    return raw.shape == (number, sample.target.channels, *size)


def value(parameter: Parameter, rng: random.Random) -> Value:
    if isinstance(parameter, Choice):
        return rng.choice(parameter.options)
    if isinstance(parameter, Integer):
        return rng.randrange(parameter.low, parameter.high + 1, parameter.step)
    return rng.uniform(parameter.low, parameter.high)


def points(family: type[Family], number: int) -> list[Family]:
    rng = random.Random(0)
    return [family.at({n: value(p, rng) for n, p in family.space().items()}) for _ in range(number)]


def alive(arch: Family, sample: SampleSpec) -> nn.Module:
    """The network as training could leave it: no norm is trivial and no branch is silent."""
    network = arch.build(sample)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.uniform_(module.bias, -0.5, 0.5)
            module.momentum = None
    with torch.no_grad():
        for seed in range(2):
            network(*given(sample, 4, seed))
    return network.eval()


@every_case
def test_default_and_corners_give_raw_outputs(name: str, problem: str, sample: SampleSpec) -> None:
    family = registry.family(name)
    for arch in (family(), family.corner(0), family.corner(1)):
        network = arch.build(sample).eval()
        with torch.no_grad():
            raw = network(*given(sample))
        assert fits(raw, sample)
        assert raw.isfinite().all()
        finish = registry.part("problem", problem).PROBLEM.finish
        finished = finish(raw, *given(sample), sample=sample)
        assert len(finished) == len(registry.part("problem", problem).PROBLEM.outputs)


@every_case
def test_random_points_give_raw_outputs(name: str, problem: str, sample: SampleSpec) -> None:
    for arch in points(registry.family(name), 20 if sample.dims < 3 else 5):
        with torch.no_grad():
            raw = arch.build(sample).eval()(*given(sample))
        assert fits(raw, sample), arch
        assert raw.isfinite().all(), arch


@families
def test_a_family_says_what_it_cannot_take(name: str) -> None:
    family, refusals = registry.family(name), []
    for problem in family.problems:
        samples = [sample_of(problem, inputs) for inputs in SHAPES.values()]
        refusals += [family.refusal(sample) for sample in samples]
    takes_everything = (
        set(family.dims) == {0, 1, 2, 3} and family.takes_table and family.takes_images
    )
    assert any(refusals) != takes_everything
    assert all(reason.startswith("it takes ") for reason in refusals if reason)


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


@usual_case
def test_build_reads_every_field(name: str, problem: str, sample: SampleSpec) -> None:
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
        arch.build(sample)
        assert {f.name for f in fields(family)} <= read


@usual_case
def test_every_parameter_changes_the_network(name: str, problem: str, sample: SampleSpec) -> None:
    family = registry.family(name)
    for parameter, space in family.space(sample.dims).items():
        low, high = (family.at(family().config() | {parameter: end}) for end in space.ends)
        assert repr(low.build(sample)) != repr(high.build(sample)), parameter


@usual_case
def test_costliest_corner_is_larger(name: str, problem: str, sample: SampleSpec) -> None:
    family = registry.family(name)
    small, default, large = (
        sum(p.numel() for p in arch.build(sample).parameters())
        for arch in (family.corner(0), family(), family.corner(1))
    )
    assert small < default < large


def with_blobs(inputs: list[Tensor], sample: SampleSpec) -> tuple[list[Tensor], Tensor]:
    """Dim images with a bright cube in each, and the cubes' centres beside a row of NaN."""
    image = 0.5 * inputs[0]
    points = torch.full((len(image), 2, sample.dims + 1), torch.nan)
    for row in range(len(image)):
        centre = [4 + row % (length - 8) for length in sample.image.size]
        image[(row, slice(None), *(slice(c - 2, c + 3) for c in centre))] = 1.0
        points[row, 0] = torch.tensor([*centre, 2.5])
    return [image, *inputs[1:]], points


def shifted(sample: SampleSpec, number: int) -> tuple[list[Tensor], Tensor]:
    """Two layers that all pairs have in one place, and in the moving images a little farther."""
    layers = (torch.arange(sample.image.size[-1]) // 4 % 2).expand(number, 1, *sample.image.size)
    truth = torch.cat([layers, layers.roll(1, -1)], 1)
    inputs = [
        x + 3.0 * t.unsqueeze(1)
        for x, t in zip(given(sample, number), truth.unbind(1), strict=True)
    ]
    return [x / 4 for x in inputs], truth.to(torch.uint8)


def learnable(sample: SampleSpec) -> tuple[list[Tensor], Tensor]:
    """Twelve samples whose class shows in their values: of the whole, or of every place."""
    number = 12
    inputs = given(sample, number)
    if sample.target.kind in ("label", "labels", "value"):
        truth = torch.arange(number) % len(CLASSES)
        shown = truth.view(-1, *(1 for _ in inputs[0].shape[1:]))
        ramp = torch.linspace(0, 1, inputs[0].shape[-1])
        told = {
            "label": truth,
            "labels": nn.functional.one_hot(truth, len(CLASSES)).float(),
            "value": torch.stack([60 + 9 * (truth - 1.0), 2.5 - 0.5 * (truth - 1.0)], dim=1),
        }
        return [inputs[0] + 0.2 * shown * ramp, *inputs[1:]], told[sample.target.kind]
    if sample.target.kind == "points":
        return with_blobs(inputs, sample)
    if sample.target.kind == "image":
        return inputs, 0.5 - 0.5 * inputs[0]
    if sample.target.kind == "field":
        return shifted(sample, number)
    truth = (inputs[0][:, :1] * len(CLASSES)).long().clamp(max=len(CLASSES) - 1)
    return inputs, truth


@usual_case
def test_training_lowers_the_loss_and_reaches_every_parameter(
    name: str, problem: str, sample: SampleSpec
) -> None:
    network = registry.family(name)().build(sample).train()
    before = copy.deepcopy(network.state_dict())
    inputs, truth = learnable(sample)
    loss_of = registry.part("problem", problem).PROBLEM.loss(truth.numpy(), sample, 0.0)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(8):
        loss = cost(loss_of, network(*inputs), truth, tuple(inputs))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    named = network.named_parameters()
    still = [n for n, p in named if p.requires_grad and torch.equal(p, before[n])]
    assert not still


def flat(raw: Any) -> list[Tensor]:
    """Every tensor of what a network answers while it is trained."""
    return [t for r in raw for t in flat(r)] if isinstance(raw, list | tuple) else [raw]


@usual_case
@pytest.mark.parametrize("end", [0, 1])
def test_gradients_reach_the_corners(name: str, problem: str, sample: SampleSpec, end: int) -> None:
    network = registry.family(name).corner(end).build(sample).train()
    raw = network(*given(sample))
    torch.stack([r.square().sum() for r in flat(raw)]).sum().backward()  # type: ignore[no-untyped-call]
    learnt = [p for p in network.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in learnt)


def exports_alike(arch: Family, problem: str, sample: SampleSpec) -> None:
    """The exported model answers as the network does, for another sample than it was made with."""
    answers = registry.part("problem", problem).PROBLEM
    network = Deployed(alive(arch, sample), sample, answers)
    raw = [x.numpy() for x in given(sample)]
    expected = network.outputs(raw)
    assert not np.array_equal(expected[0], expected[1])
    exporter = registry.part("exporter", "onnx")
    runner = exporter.load(exporter.export(network, sample.inputs, {}))
    assert verify("it", outputs(runner, raw), expected) < 1e-4
    runner.rehearse()


@usual_case
def test_default_exports(name: str, problem: str, sample: SampleSpec) -> None:
    exports_alike(registry.family(name)(), problem, sample)


@pytest.mark.slow
@every_case
@pytest.mark.parametrize("end", [0, 1])
def test_corners_export(name: str, problem: str, sample: SampleSpec, end: int) -> None:
    exports_alike(registry.family(name).corner(end), problem, sample)


@pytest.mark.slow
@usual_case
@pytest.mark.parametrize("nth", range(4))
def test_every_option_exports(name: str, problem: str, sample: SampleSpec, nth: int) -> None:
    family = registry.family(name)
    choices = {n: p.options for n, p in family.space().items() if isinstance(p, Choice)}
    assert all(len(options) <= 4 for options in choices.values()), "raise the range of nth"
    config = family().config() | {n: o[nth % len(o)] for n, o in choices.items()}
    exports_alike(family.at(config), problem, sample)


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
    sample = sample_of("classification", SHAPES["32x32"])
    network = registry.family("vgg")(stages=4, depth=1).build(sample)
    kinds = Counter(type(module).__name__ for module in network.modules())
    assert (kinds["Conv2d"], kinds["BatchNorm2d"], kinds["ReLU"]) == (5, 5, 5)
    assert (kinds["Halving"], kinds["Linear"]) == (3, 1)
