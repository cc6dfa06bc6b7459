"""A family's points: what is refused, what comes back, and how an architecture is named."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from automed.errors import SpaceError
from automed.family import Family, architecture_key
from automed.sample import InputSpec, SampleSpec, TargetSpec
from automed.space import choice, integer, repeated


@dataclass(frozen=True, kw_only=True)
class Perceptron(Family):
    """Linear layers."""

    widths: tuple[int, ...] = repeated(2, integer(2, 6, step=2))
    bias: bool = choice(True, False)

    def build(self, sample: SampleSpec) -> nn.Module:
        """The network."""
        pixels = sample.image.channels
        for axis in sample.image.size:
            pixels *= axis
        first, second = self.widths
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(pixels, first, self.bias),
            nn.Linear(first, second, self.bias),
            nn.Linear(second, len(sample.target.classes), self.bias),
        )


POINT = {"widths.0": 2, "widths.1": 6, "bias": False}


def test_config_is_the_point() -> None:
    assert Perceptron.at(POINT) == Perceptron(widths=(2, 6), bias=False)
    assert Perceptron.at(POINT).config() == POINT


def test_order_of_names_does_not_matter() -> None:
    assert Perceptron.at(dict(reversed(POINT.items()))) == Perceptron.at(POINT)


def test_an_instance_builds() -> None:
    sample = SampleSpec(
        inputs=(InputSpec(size=(16, 16)),), targets=(TargetSpec(classes=("a", "b")),)
    )
    assert Perceptron.at(POINT).build(sample)(torch.zeros(3, 1, 16, 16)).shape == (3, 2)


@pytest.mark.parametrize(
    ("point", "told"),
    [
        (POINT | {"colour": 1}, r"has no \['colour'\]; it has .*widths\.0"),
        ({"bias": True}, r"needs \['widths\.0', 'widths\.1'\]"),
        (POINT | {"widths.1": 5}, r"widths\.1=5; allowed: Integer"),
        (POINT | {"bias": 0}, r"bias=0; allowed: Choice"),
    ],
)
def test_errors_name_the_parameter_and_what_is_allowed(point: Any, told: str) -> None:
    with pytest.raises(SpaceError, match=told):
        Perceptron.at(point)


def test_within_takes_its_own_names_only() -> None:
    assert Perceptron.within(POINT | {"family": "x", "growth": 12}) == Perceptron.at(POINT)


def test_corners() -> None:
    assert Perceptron.corner(0) == Perceptron(widths=(2, 2), bias=True)
    assert Perceptron.corner(1) == Perceptron(widths=(6, 6), bias=False)


def test_key_names_the_architecture_alone() -> None:
    key = architecture_key("perceptron", POINT)
    assert key == architecture_key("perceptron", dict(reversed(POINT.items())))
    others = [
        architecture_key("other", POINT),
        *(architecture_key("perceptron", POINT | {name: 4}) for name in POINT),
    ]
    assert len({key, *others}) == 5
    assert len(key) == 12
    assert int(key, 16) >= 0


def test_key_is_the_same_in_every_version() -> None:
    assert architecture_key("vgg", {"width": 8, "separable": True}) == "6bb7c4bdca02"
