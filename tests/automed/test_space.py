"""The words that declare a space accept what lies in it and nothing else."""

from dataclasses import dataclass
from typing import Any

import pytest

from automed.errors import SpaceError
from automed.space import (
    Choice,
    Integer,
    Parameter,
    Real,
    choice,
    flatten,
    gather,
    integer,
    joint,
    real,
    repeated,
    space_of,
)


@dataclass(frozen=True, kw_only=True)
class Toy:
    kind: str = choice("plain", "dense", default="dense")
    width: int = integer(4, 12, step=4)
    rate: float = real(1e-4, 1e-1, log=True, default=1e-2)
    depths: tuple[int, ...] = repeated(3, integer(1, 3, default=2))
    note: str = "not searched"


def test_fields_declare_parameters_and_defaults() -> None:
    assert Toy() == Toy(kind="dense", width=4, rate=1e-2, depths=(2, 2, 2))
    assert list(space_of(Toy).items()) == [
        ("kind", Choice(("plain", "dense"))),
        ("width", Integer(4, 12, 4)),
        ("rate", Real(1e-4, 1e-1, log=True)),
        ("depths.0", Integer(1, 3)),
        ("depths.1", Integer(1, 3)),
        ("depths.2", Integer(1, 3)),
    ]


@pytest.mark.parametrize(
    ("parameter", "inside", "outside"),
    [
        (Choice(("a", "b")), ["a", "b"], ["c", "", None, 0]),
        (Choice((True, False)), [True, False], [1, 0, "True"]),
        (Choice((1, 2)), [1, 2], [True, 1.0, 3]),
        (Integer(4, 12, 4), [4, 8, 12], [0, 6, 16, 4.0, True, "4", None]),
        (Real(0.0, 0.5), [0.0, 0.25, 0.5, 0], [-0.1, 0.6, float("nan"), float("inf"), "0"]),
    ],
)
def test_membership(parameter: Parameter, inside: list[Any], outside: list[Any]) -> None:
    assert [v for v in inside if v not in parameter] == []
    assert [v for v in outside if v in parameter] == []
    assert all(end in parameter for end in parameter.ends)


@pytest.mark.parametrize(
    "declare",
    [
        lambda: choice("a", "b", default="c"),
        lambda: choice(1, 2, default=True),
        lambda: integer(1, 3, default=4),
        lambda: integer(1, 4, step=2),
        lambda: integer(3, 1),
        lambda: real(0.0, 1.0, default=2.0),
        lambda: real(1.0, 0.0),
        lambda: real(0.0, 1.0, log=True),
    ],
)
def test_declarations_that_contradict_themselves_are_refused(declare: Any) -> None:
    with pytest.raises(SpaceError):
        declare()


def test_gather_is_the_inverse_of_flatten() -> None:
    values = {"width": 8, "depths": tuple(range(12)), "kind": "plain"}
    flat = flatten(values)
    assert flat["depths.11"] == 11
    assert gather(flat) == values


def test_gather_goes_by_index_not_by_order() -> None:
    config = {"depths.10": 10, "width": 8, **{f"depths.{i}": i for i in reversed(range(10))}}
    assert gather(config) == {"width": 8, "depths": tuple(range(11))}


def test_joint_space_shares_equal_names() -> None:
    width, growth = Integer(4, 8), Integer(2, 6)
    assert joint({"a": {"width": width}, "b": {"width": width, "growth": growth}}) == {
        "family": Choice(("a", "b")),
        "width": width,
        "growth": growth,
    }


def test_joint_space_refuses_one_name_with_two_meanings() -> None:
    with pytest.raises(SpaceError, match=r"b declares width as .*Integer\(low=4, high=9"):
        joint({"a": {"width": Integer(4, 8)}, "b": {"width": Integer(4, 9)}})
