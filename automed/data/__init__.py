"""From files on disk to audited, split samples in memory, the test part sealed; no torch."""

from collections.abc import Mapping
from dataclasses import dataclass

from automed import registry
from automed.data.audit import audit
from automed.data.dataset import Dataset
from automed.data.pairs import paired
from automed.data.splits import Parts, split
from automed.errors import DataError
from automed.sample import TargetKind


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where samples come from, and how they are cut and windowed; equal sources, equal parts.

    Attributes:
        place: A path, or the name of embedded data.
        keys: Which arrays or columns play which role, as (role, name).
        seed: Of the split.
        window: Raw values mapped to 0 and 1; None to take what fits the images' units.
        hu_window: The window for images in Hounsfield units.
        target: What is to be learnt.
        one_class: Whether what is learnt is to give back images of class 0.
    """

    place: str
    keys: tuple[tuple[str, str], ...] = ()
    seed: int = 0
    window: tuple[float, float] | None = None
    hu_window: tuple[float, float] = (-1000.0, 400.0)
    target: TargetKind = "label"
    one_class: bool = False


def read(source: str, keys: Mapping[str, str], target: TargetKind = "label") -> Dataset:
    """The audited samples of a source, in the first format that accepts it.

    Fields are learnt from pairs of images with masks, see `pairs.paired`: no format knows them.

    Raises:
        DataError: No format accepts the source, or its content cannot be used as it is.
    """
    for name in registry.places("format"):
        module = registry.part("format", name)
        if module.accepts(source):
            wanted = "mask" if target == "field" else target
            dataset: Dataset = module.read(source, keys, wanted)
            audit(dataset)
            return paired(dataset) if target == "field" else dataset
    raise DataError(
        f"no data at {source!r}, or no format that reads it; give an .npz with images and labels, "
        "a folder with one sub-folder per class, a .csv naming image files, or leave --data out"
    )


def open_parts(source: Source) -> Parts:
    """The training, validation and sealed test part of a source.

    Raises:
        DataError: The data cannot be used as it is.
    """
    return split(
        read(source.place, dict(source.keys), source.target),
        seed=source.seed,
        window=source.window,
        hu_window=source.hu_window,
        one_class=source.one_class,
    )
