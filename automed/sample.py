"""What one sample of a task holds: named inputs and targets, without any pixel of it."""

from dataclasses import dataclass
from typing import Literal

InputKind = Literal["image", "sequence", "table"]
TargetKind = Literal["label", "mask", "image", "field", "points"]


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """One named input of a network.

    Attributes:
        name: The input's name in batches and in exported graphs.
        kind: An image or volume, a sequence of them, or a row of a table.
        channels: Channels of an image (CT is 1), or columns of a table.
        size: Pixels or voxels per axis, (H, W) or (D, H, W); empty for a table.
        units: What a raw value means: "HU", "uint8", "a.u.".
        window: Raw values mapped to 0 and 1 before the network, as (low, high).
        spacing_mm: Millimetres per pixel and axis where they are known.
    """

    name: str = "image"
    kind: InputKind = "image"
    channels: int = 1
    size: tuple[int, ...] = ()
    units: str = "a.u."
    window: tuple[float, float] = (0.0, 1.0)
    spacing_mm: tuple[float, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class TargetSpec:
    """One named target of a network.

    Attributes:
        name: The target's name in batches.
        kind: A class label, a mask, an image, a displacement field or points.
        classes: Class names in the order of their numbers; empty where there are none.
    """

    name: str = "label"
    kind: TargetKind = "label"
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SampleSpec:
    """The named inputs and targets of every sample of a task."""

    inputs: tuple[InputSpec, ...]
    targets: tuple[TargetSpec, ...]

    @property
    def image(self) -> InputSpec:
        """The first image-like input."""
        return next(i for i in self.inputs if i.kind != "table")

    @property
    def target(self) -> TargetSpec:
        """The first target: what the accuracy objective is about."""
        return self.targets[0]

    @property
    def dims(self) -> int:
        """Spatial dimensions of the image: 2 or 3."""
        return len(self.image.size)
