"""What a parameter may be: the words a family uses to declare its search space."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, TypeVar

from automed.errors import SpaceError

T = TypeVar("T", int, float, str, bool)
Value = int | float | str | bool


@dataclass(frozen=True)
class Choice:
    """One of a few options, written from the cheapest network to the costliest.

    Attributes:
        options: What may be chosen.
        dims: Spatial dimensions of the samples in which it has a say; every one if empty.
    """

    options: tuple[Value, ...]
    dims: tuple[int, ...] = ()

    def __contains__(self, value: object) -> bool:
        return any(value == o and type(value) is type(o) for o in self.options)

    def position(self, value: Value) -> int:
        """Where an option stands; StopIteration if it is none."""
        return next(i for i, o in enumerate(self.options) if o == value and type(o) is type(value))

    @property
    def ends(self) -> tuple[Value, Value]:
        """The first and the last option."""
        return self.options[0], self.options[-1]


@dataclass(frozen=True)
class Integer:
    """A whole number from low to high, both included, in steps."""

    low: int
    high: int
    step: int = 1

    def __contains__(self, value: object) -> bool:
        return (
            isinstance(value, int)
            and not isinstance(value, bool)
            and self.low <= value <= self.high
            and (value - self.low) % self.step == 0
        )

    @property
    def ends(self) -> tuple[Value, Value]:
        """The smallest and the largest value."""
        return self.low, self.high


@dataclass(frozen=True)
class Real:
    """A real number from low to high, searched on a log scale if log is true."""

    low: float
    high: float
    log: bool = False

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high

    @property
    def ends(self) -> tuple[Value, Value]:
        """The smallest and the largest value."""
        return self.low, self.high


Parameter = Choice | Integer | Real
Space = Mapping[str, Parameter]
Point = Mapping[str, Value]


class Joint(dict[str, Parameter]):
    """One space over several families: `family`, then every parameter of each.

    Attributes:
        declared: Family to the names it declares.
    """

    def __init__(self, spaces: Mapping[str, Space]) -> None:
        super().__init__(family=Choice(tuple(spaces)))
        self.declared = {family: tuple(space) for family, space in spaces.items()}

    def active(self, point: Point) -> dict[str, Value]:
        """The part of a point that has a say in its family; the rest is sampled and ignored."""
        return {name: point[name] for name in ("family", *self.declared[str(point["family"])])}

    def own(self, family: str) -> tuple[str, ...]:
        """The names that no other family reads; none where only one family competes."""
        if len(self.declared) == 1:
            return ()
        readers = Counter(name for names in self.declared.values() for name in names)
        return tuple(name for name in self.declared[family] if readers[name] == 1)


def choice(*options: T, default: T | None = None, dims: tuple[int, ...] = ()) -> T:
    """Declare a field as one of these options; the first is the default unless one is named.

    With `dims` it has a say in samples of so many spatial dimensions alone.
    """
    return _declare(options[0] if default is None else default, Choice(options, dims))


def integer(low: int, high: int, *, step: int = 1, default: int | None = None) -> int:
    """Declare a field as a whole number in [low, high]; low is the default unless one is named."""
    return _declare(low if default is None else default, Integer(low, high, step))


def real(low: float, high: float, *, log: bool = False, default: float | None = None) -> float:
    """Declare a field as a real number in [low, high]; low is the default unless one is named."""
    return _declare(low if default is None else default, Real(low, high, log))


def repeated(times: int, one: T) -> tuple[T, ...]:
    """Declare a field as a tuple of independent parameters, one per stage."""
    like: Any = one  # at run time every declaring word returns a dataclass field
    declared: tuple[T, ...] = field(
        default=(like.default,) * times, metadata={**like.metadata, "times": times}
    )
    return declared


def concerns(parameter: Parameter, dims: int) -> bool:
    """Whether a parameter has a say in samples of so many spatial dimensions."""
    return not isinstance(parameter, Choice) or not parameter.dims or dims in parameter.dims


def space_of(family: type) -> dict[str, Parameter]:
    """The parameters a family's fields declare, in the order they are written.

    A repeated field gives one parameter per stage, named field.0, field.1, ...
    """
    space: dict[str, Parameter] = {}
    for f in _declared(family):
        times = f.metadata.get("times")
        names = [f.name] if times is None else [f"{f.name}.{i}" for i in range(times)]
        space |= dict.fromkeys(names, f.metadata["parameter"])
    return space


def flatten(values: Mapping[str, Any]) -> dict[str, Value]:
    """Field values as a flat config: depths=(2, 3) becomes depths.0=2, depths.1=3."""
    flat: dict[str, Value] = {}
    for name, value in values.items():
        if isinstance(value, tuple | list):
            flat |= {f"{name}.{i}": v for i, v in enumerate(value)}
        else:
            flat[name] = value
    return flat


def gather(config: Point) -> dict[str, Any]:
    """The inverse of flatten."""
    values: dict[str, Any] = {}
    for name, value in sorted(config.items(), key=lambda item: _index(item[0])):
        stem, dot, _ = name.partition(".")
        values[stem] = (*values.get(stem, ()), value) if dot else value
    return values


def joint(spaces: Mapping[str, Space]) -> Joint:
    """One space over several families.

    Families that share a name share the parameter, so a sampler learns about it from all of them.

    Raises:
        SpaceError: Two families declare one name differently.
    """
    together = Joint(spaces)
    for family, space in spaces.items():
        for name, parameter in space.items():
            if together.setdefault(name, parameter) != parameter:
                raise SpaceError(
                    f"{family} declares {name} as {parameter}, another family as {together[name]}; "
                    "a shared name must mean one parameter: rename one of them"
                )
    return together


def _index(name: str) -> int:
    return int(name.partition(".")[2] or 0)


def _declare(default: T, parameter: Parameter) -> T:
    for value in (default, *parameter.ends):
        if value not in parameter:
            raise SpaceError(f"{value!r}, a default or an end, lies outside {parameter}")
    if isinstance(parameter, Real) and parameter.log and parameter.low <= 0:
        raise SpaceError(f"a log scale begins above 0: {parameter}")
    declared: T = field(default=default, metadata={"parameter": parameter})
    return declared


def _declared(family: type) -> list[Field[Any]]:
    return [f for f in fields(family) if "parameter" in f.metadata]
