"""From files on disk to audited, split samples in memory, the test part sealed; no torch."""

from collections.abc import Mapping

from automed import registry
from automed.data.audit import audit
from automed.data.dataset import Dataset
from automed.data.splits import Parts, split
from automed.errors import DataError
from automed.sample import TargetKind


def read(source: str, keys: Mapping[str, str], target: TargetKind = "label") -> Dataset:
    """The audited samples of a source, in the first format that accepts it.

    Raises:
        DataError: No format accepts the source, or its content cannot be used as it is.
    """
    for name in registry.places("format"):
        module = registry.part("format", name)
        if module.accepts(source):
            dataset: Dataset = module.read(source, keys, target)
            audit(dataset)
            return dataset
    raise DataError(
        f"no data at {source!r}, or no format that reads it; give an .npz with images and labels, "
        "a folder with one sub-folder per class, a .csv naming image files, or leave --data out"
    )


def open_parts(
    source: str,
    keys: Mapping[str, str],
    *,
    seed: int,
    window: tuple[float, float] | None,
    hu_window: tuple[float, float],
    target: TargetKind = "label",
    one_class: bool = False,
) -> Parts:
    """The training, validation and sealed test part of a source.

    Args:
        source: A path, or the name of embedded data.
        keys: Which arrays or columns play which role.
        seed: Of the split.
        window: Raw values mapped to 0 and 1; None to take what fits the images' units.
        hu_window: The window for images in Hounsfield units.
        target: What is to be learnt.
        one_class: Whether what is learnt is to give back images of class 0.

    Raises:
        DataError: The data cannot be used as it is.
    """
    return split(
        read(source, keys, target),
        seed=seed,
        window=window,
        hu_window=hu_window,
        one_class=one_class,
    )
