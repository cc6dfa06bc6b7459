"""Reads a folder of images beside a folder of masks whose files have the same names."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from automed.data import pixels
from automed.data.columns import Columns, assemble
from automed.data.dataset import Dataset
from automed.data.image_folder import visible
from automed.errors import DataError
from automed.sample import TargetKind

IMAGES = ("images", "image", "imagestr")
MASKS = ("masks", "mask", "labels", "label", "labelstr")
"""Names of the two folders, in small letters; those ending in tr are the Medical Decathlon's."""


def accepts(source: str) -> bool:
    """Whether a source is a folder that holds one of images and one of masks."""
    root = Path(source)
    return root.is_dir() and all(_folders(root))


def read(source: str, keys: Mapping[str, str], target: TargetKind = "mask") -> Dataset:
    """Images with masks, 2D or 3D: PNG, JPEG or NIfTI, a mask named as its image but for its end.

    Smaller images are padded at the far end of each axis to the largest size of the set, with
    their least value, and their masks with background. Each file counts as one patient. Hidden
    files are ignored.

    Args:
        source: Path of the folder.
        keys: Nothing can be chosen here.
        target: What is to be learnt: such a folder has masks only.

    Raises:
        DataError: An image has no mask, a pair cannot be read or does not fit together; files are
            counted, never named.
    """
    if target != "mask":
        raise DataError(
            f"the folder has masks, but no {target} for each image; give a sub-folder per class, "
            "or choose a task of segmentation or registration"
        )
    if keys:
        raise DataError(
            f"a folder of pairs takes no keys, {', '.join(keys)} given; use a CSV to name columns"
        )
    images, masks = (_files(folder) for folder in _folders(Path(source)) if folder)
    lacking = len(images.keys() - masks.keys())
    if not images or lacking:
        shown = f"{lacking:,} of {len(images):,} images have no mask" if images else "no image"
        raise DataError(
            f"{shown} in the folder; each image needs a mask of the same name in the folder of "
            f"masks, as {' or '.join(pixels.SUFFIXES)}: add the masks, or take the images away"
        )
    names = sorted(images)
    pictures = [_picture(images[name], "image") for name in names]
    outlines = [_picture(masks[name], "mask") for name in names]
    _require_pairs(pictures, outlines)
    array, spacing_mm, axes, notes = pixels.stack(_of_one_size(pictures))
    sizes = {picture.pixels.shape[1:] for picture in pictures}
    padding = (
        f"images of {len(sizes):,} sizes padded at the far end of each axis to "
        f"{'x'.join(map(str, array.shape[2:]))}, with their least value and background"
    )
    unused = len(masks.keys() - images.keys())
    return assemble(
        Columns(
            images=array,
            masks=pixels.stack(_of_one_size(outlines, fill=0)).images,
            groups=np.arange(len(names)),
            spacing_mm=spacing_mm,
            axes=axes,
            notes=(
                *notes,
                *([padding] if len(sizes) > 1 else []),
                *([f"{unused:,} masks without an image left out"] if unused else []),
                "each file is taken for one patient; where a patient has several, use a CSV with "
                "a column of patients",
            ),
        ),
        source="the folder",
        form="folder of image and mask pairs",
    )


def _folders(root: Path) -> tuple[Path | None, Path | None]:
    """The folder of images and that of masks, each if there is exactly one."""
    folders = [entry for entry in visible(root) if entry.is_dir()]
    found = [[f for f in folders if f.name.lower() in names] for names in (IMAGES, MASKS)]
    images, masks = (one[0] if len(one) == 1 else None for one in found)
    return images, masks


def _files(folder: Path) -> dict[str, Path]:
    """Image files by their names without ends, which tell pairs."""
    paths = [path for path in visible(folder) if pixels.readable(path)]
    named = {_stem(path): path for path in paths}
    if len(named) < len(paths):
        raise DataError(
            f"{len(paths) - len(named):,} files of one folder differ from others in the end of "
            "their names only; pairs are told by the rest: leave one of each"
        )
    return named


def _stem(path: Path) -> str:
    end = max((s for s in pixels.SUFFIXES if path.name.lower().endswith(s)), key=len)
    return path.name[: -len(end)]


def _picture(path: Path, what: str) -> pixels.Picture:
    try:
        return pixels.read(path)
    except pixels.ImageError as error:
        raise DataError(f"one {what} of the folder {error.reason}") from error


def _require_pairs(pictures: Sequence[pixels.Picture], masks: Sequence[pixels.Picture]) -> None:
    coloured = sum(len(mask.pixels) > 1 for mask in masks)
    if coloured:
        raise DataError(
            f"{coloured:,} of {len(masks):,} masks have colours or channels; a mask holds one "
            "whole number a pixel, 0 for background: save them as grey images"
        )
    torn = Counter(
        f"{_size(picture)} with a mask of {_size(mask)}"
        for picture, mask in zip(pictures, masks, strict=True)
        if picture.pixels.shape[1:] != mask.pixels.shape[1:]
    )
    if torn:
        (commonest, _), *_ = torn.most_common(1)
        raise DataError(
            f"{torn.total():,} of {len(masks):,} images differ in size from their masks, as "
            f"{commonest}; every pixel needs its class: resample the masks"
        )


def _of_one_size(
    pictures: Sequence[pixels.Picture], fill: int | None = None
) -> list[pixels.Picture]:
    """Pictures of one size and pixel type, filled up with `fill`, or with their least values."""
    if len({picture.pixels.ndim for picture in pictures}) > 1:
        raise DataError("2D and 3D images in one folder; all share the number of axes: part them")
    largest = np.max([picture.pixels.shape[1:] for picture in pictures], axis=0)
    kinds = {picture.pixels.dtype for picture in pictures}
    common = kinds.pop() if len(kinds) == 1 else np.dtype(np.float32)
    grown = []
    for picture in pictures:
        values = picture.pixels.astype(common, copy=False)
        ends = [(0, 0), *((0, more) for more in largest - values.shape[1:])]
        filled = np.pad(values, ends, constant_values=values.min() if fill is None else fill)
        grown.append(replace(picture, pixels=filled))
    return grown


def _size(picture: pixels.Picture) -> str:
    return "x".join(map(str, picture.pixels.shape[1:]))
