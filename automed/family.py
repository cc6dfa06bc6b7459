"""The contract of a file in search_spaces/: a class is a space, an instance one architecture."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from automed.errors import SpaceError
from automed.sample import SampleSpec
from automed.space import Choice, Parameter, Point, Value, concerns, flatten, gather, space_of

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class Family(ABC):
    """A family of architectures. Its fields are the search space; an instance is one point.

    Attributes:
        recipe: Name of the training recipe that fits the family, a file in training/recipes/.
        problems: Names of the problems whose outputs the family can give.
        unfit: Problems that one may expect it to serve, and why it does not.
        dims: Spatial dimensions of the images it takes; 0 stands for a table alone.
        takes_table: Whether it takes a table beside the image.
        takes_images: Whether it takes several images of one size.
    """

    recipe: ClassVar[str] = "gradient"
    problems: ClassVar[tuple[str, ...]] = ("classification", "multilabel", "regression")
    unfit: ClassVar[Mapping[str, str]] = {}
    dims: ClassVar[tuple[int, ...]] = (2, 3)
    takes_table: ClassVar[bool] = False
    takes_images: ClassVar[bool] = False

    @classmethod
    def space(cls, dims: int | None = None) -> dict[str, Parameter]:
        """Every parameter of the family, in the order the fields are written.

        With `dims` only those that have a say in samples of so many spatial dimensions.
        """
        every = space_of(cls)
        return every if dims is None else {n: p for n, p in every.items() if concerns(p, dims)}

    @classmethod
    def at(cls, point: Point) -> Self:
        """The architecture at this point; what has a say in some samples alone may be missing.

        Raises:
            SpaceError: A name is unknown, missing or its value lies outside its parameter.
        """
        space = cls.space()
        if unknown := point.keys() - space.keys():
            raise SpaceError(f"{cls.__name__} has no {sorted(unknown)}; it has {sorted(space)}")
        needed = {n for n, p in space.items() if not (isinstance(p, Choice) and p.dims)}
        if missing := needed - point.keys():
            raise SpaceError(f"{cls.__name__} needs {sorted(missing)} too")
        for name, value in point.items():
            if value not in space[name]:
                raise SpaceError(f"{cls.__name__}.{name}={value!r}; allowed: {space[name]}")
        return cls(**gather(point))

    @classmethod
    def within(cls, joint_point: Point) -> Self:
        """The architecture at a point of a joint space; other families' names are ignored."""
        own = cls.space().keys() & joint_point.keys()
        return cls.at({name: joint_point[name] for name in own})

    @classmethod
    def refusal(cls, sample: SampleSpec) -> str:
        """Why the family cannot be built for these samples; empty where it can."""
        if sample.dims not in cls.dims:
            kinds = {0: "tables alone", 1: "signals", 2: "images", 3: "volumes"}
            given = kinds.get(sample.dims, f"{sample.dims} axes")
            return f"it takes {' and '.join(kinds[d] for d in cls.dims)}, not {given}"
        has_table = any(spec.kind == "table" for spec in sample.inputs)
        if has_table and sample.dims > 0 and not cls.takes_table:
            return "it takes no table beside the image"
        sizes = [spec.size for spec in sample.inputs if spec.kind == "image"]
        if len(sizes) > 1 and not cls.takes_images:
            return f"it takes one image a sample, not {len(sizes)}"
        if len(set(sizes)) > 1:
            return "it takes images of one size"
        return ""

    @classmethod
    def corner(cls, end: int) -> Self:
        """The architecture with every parameter at its first (0) or last (1) value."""
        return cls(**gather({name: p.ends[end] for name, p in cls.space().items()}))

    def config(self) -> dict[str, Value]:
        """The point this architecture lies at; `at` is the inverse."""
        return flatten(asdict(self))

    @abstractmethod
    def build(self, sample: SampleSpec) -> "nn.Module":
        """The untrained network: every input in the sample's order in, the raw output out.

        Images come windowed as (N, C, *size), tables as they are, (N, F). The output has
        `sample.target.channels` channels: for a label or findings logits (N, K), for values
        standardised numbers (N, V), for a mask logits (N, K, *size), for an image that image
        (N, C, *size) in its window, for a field displacements (N, dims, *size) in pixels, see
        `problems.registration`, for points (N, 2 + dims, *grid), see `problems.heat_map`, where a
        cell of the grid is 2**n pixels an axis. While training it may be a list of such, the finest
        first, for deep supervision, or either in a tuple with a penalty, a scalar that is added to
        the loss. What acts in training alone, such as dropout or noise, is a layer. Every point of
        the space must build for every image of at least 16 pixels an axis that `refusal` lets pass.
        """


def architecture_key(family: str, config: Mapping[str, Any]) -> str:
    """Twelve hex digits that name one architecture, whatever run, trial or seed it came from."""
    text = json.dumps([family, dict(sorted(config.items()))], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
