"""Reads a folder with one sub-folder of images per class."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from automed.data import pixels
from automed.data.columns import Columns, assemble
from automed.data.dataset import Dataset
from automed.data.encoding import part_of
from automed.errors import DataError
from automed.sample import TargetKind

_LAYOUT = "one sub-folder per class, with PNG, JPEG or NIfTI images in it"


@dataclass(frozen=True)
class _File:
    path: Path
    label: str
    part: str


def accepts(source: str) -> bool:
    """Whether a source is a folder."""
    return Path(source).is_dir()


def read(source: str, keys: Mapping[str, str], target: TargetKind = "label") -> Dataset:
    """The images of a folder, labelled by the sub-folders they lie in, at any depth.

    Sub-folders called train, val and test (or training, validation, testing), each with class
    folders, are taken as the split. Files are read in the order of their names; hidden ones are
    ignored; others that are no image are left out and counted in a note.

    Args:
        source: Path of the folder.
        keys: Nothing can be chosen here.
        target: What is to be learnt: a folder of classes has labels only.

    Raises:
        DataError: There is no such layout, no image, or images differ in size.
    """
    root = Path(source)
    if target != "label":
        raise DataError(
            f"the folder has classes, but no {target} for each image; "
            "give sub-folders images and masks with files of the same names, or an .npz or a .csv"
        )
    if keys:
        raise DataError(
            f"a folder of images takes no keys, {', '.join(keys)} given; use a CSV to name columns"
        )
    delivered = _delivered_parts(root)
    if delivered:
        files = [file for folder in delivered for file in _labelled(folder, part_of(folder.name))]
    else:
        files = list(_labelled(root, ""))
    images = [file for file in files if pixels.readable(file.path)]
    if not images:
        raise DataError(f"no image found in the folder; expected is {_LAYOUT}")
    read_files, pictures = _pictures(images)
    array, spacing_mm, axes, notes = pixels.stack(pictures)
    return assemble(
        Columns(
            images=array,
            labels=np.array([file.label for file in read_files]),
            classes=tuple(sorted({file.label for file in read_files})),
            split=np.array([file.part for file in read_files]) if delivered else None,
            spacing_mm=spacing_mm,
            axes=axes,
            notes=(
                *_counted(len(files) - len(images), "files that are no image in a class folder"),
                *_counted(len(images) - len(read_files), "images that could not be read"),
                *notes,
            ),
        ),
        source="the folder",
        form="image folder",
    )


def visible(folder: Path) -> list[Path]:
    """What a folder holds, in the order of names, hidden entries left out."""
    return sorted(
        entry for entry in folder.iterdir() if not entry.name.startswith((".", "__MACOSX"))
    )


def _delivered_parts(root: Path) -> Sequence[Path]:
    """The sub-folders that are parts of a split, if all are."""
    folders = [entry for entry in visible(root) if entry.is_dir()]
    parts = [part_of(folder.name) for folder in folders]
    is_split = len(parts) > 1 and "" not in parts and len(set(parts)) == len(parts)
    return folders if is_split else ()


def _labelled(folder: Path, part: str) -> Iterator[_File]:
    """The files of each class folder; files beside the class folders are nobody's."""
    for entry in visible(folder):
        if entry.is_dir():
            for path in _walk(entry):
                yield _File(path, entry.name, part)


def _walk(folder: Path) -> Iterator[Path]:
    for entry in visible(folder):
        if entry.is_dir():
            yield from _walk(entry)
        else:
            yield entry


def _pictures(files: Sequence[_File]) -> tuple[list[_File], list[pixels.Picture]]:
    read_files, pictures = [], []
    reasons: dict[str, int] = {}
    for file in files:
        try:
            pictures.append(pixels.read(file.path))
        except pixels.ImageError as error:
            reasons[error.reason] = reasons.get(error.reason, 0) + 1
        else:
            read_files.append(file)
    if not pictures:
        commonest = max(reasons, key=lambda reason: reasons[reason])
        raise DataError(f"none of {len(files):,} images can be read; the commonest {commonest}")
    return read_files, pictures


def _counted(count: int, what: str) -> tuple[str, ...]:
    return (f"{count:,} {what} left out",) if count else ()
