"""What one sample of a task holds: named inputs and targets, without any pixel of it."""

from dataclasses import dataclass
from typing import Literal

InputKind = Literal["image", "table"]
TargetKind = Literal["label", "labels", "value", "mask", "image", "field", "points"]


LEAST_SPREAD = 1e-6
"""What a standard deviation is taken for if it is less: that of a flat image."""


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """One named input of a network.

    Attributes:
        name: The input's name in batches and in exported graphs.
        kind: A signal, image or volume, or a row of a table.
        channels: Channels of an image (CT is 1), or columns of a table.
        size: Samples per axis: (L,), (H, W) or (D, H, W); empty for a table.
        units: What a raw value means: "HU", "uint8", "a.u.".
        window: Values mapped to 0 and 1 before the network, as (low, high).
        standardised: Whether the window is in standard deviations from each image's own mean, for
            scanners whose numbers have no common scale, instead of in raw values.
        spacing_mm: Millimetres per pixel and axis where they are known.
        axes: What pixels come after each other towards, an axis each, where it is known: "right",
            "anterior", "superior" in the patient, "down" and "right" in a picture.
    """

    name: str = "image"
    kind: InputKind = "image"
    channels: int = 1
    size: tuple[int, ...] = ()
    units: str = "a.u."
    window: tuple[float, float] = (0.0, 1.0)
    standardised: bool = False
    spacing_mm: tuple[float, ...] | None = None
    axes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample: (channels, *size)."""
        return (self.channels, *self.size)


@dataclass(frozen=True, kw_only=True)
class TargetSpec:
    """One named target of a network.

    Attributes:
        name: The target's name in batches.
        kind: A class label, several findings each there or not, values, a mask, an image, a
            displacement field or points.
        classes: Class names in the order of their numbers, names of findings or of values; empty
            where there are none.
        values: Numbers a place is described by where there are no classes: 1 for a grey image, for
            points a score, a radius and a coordinate an axis.
        centre: Of values, what a network's 0 stands for, one each: their means.
        scale: What a network's step from 0 to 1 stands for: their standard deviations.
    """

    name: str = "label"
    kind: TargetKind = "label"
    classes: tuple[str, ...] = ()
    values: int = 1
    centre: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    @property
    def channels(self) -> int:
        """What a network has to return per sample, or per place of it."""
        return len(self.classes) or self.values


@dataclass(frozen=True, kw_only=True)
class SampleSpec:
    """The named inputs and targets of every sample of a task."""

    inputs: tuple[InputSpec, ...]
    targets: tuple[TargetSpec, ...]

    @property
    def image(self) -> InputSpec:
        """The first input that is an image; of a table alone, the table."""
        return next((i for i in self.inputs if i.kind == "image"), self.inputs[0])

    @property
    def target(self) -> TargetSpec:
        """The first target: what the accuracy objective is about."""
        return self.targets[0]

    @property
    def dims(self) -> int:
        """Spatial dimensions of the image: 1 to 3, or 0 where there is only a table."""
        return len(self.image.size)
