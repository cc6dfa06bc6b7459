"""Reads .npz files: plain arrays with labels, and MedMNIST's layout with its own split."""

import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from automed.data.columns import GROUP_NAMES, PARTS, Columns, assemble, choose
from automed.data.dataset import Array, Dataset
from automed.data.encoding import words
from automed.errors import DataError
from automed.sample import TargetKind

ROLES: Mapping[str, tuple[str, ...]] = {
    "images": ("images",),
    "signals": ("signals",),
    "table": ("table",),
    "labels": ("labels",),
    "values": ("values", "value"),
    "masks": ("masks",),
    "points": ("points",),
    "targets": ("targets",),
    "group": GROUP_NAMES,
    "split": ("split",),
    "classes": ("class_names", "classes"),
}
"""What an array can stand for, and the names looked for when none is given."""

_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    SyntaxError,
    NotImplementedError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What zipfile and numpy raise over broken bytes, some before a checksum is reached."""


def accepts(source: str) -> bool:
    """Whether a source is named like an .npz file."""
    return source.lower().endswith(".npz")


def read(source: str, keys: Mapping[str, str], target: TargetKind = "label") -> Dataset:
    """The samples of an .npz file.

    Images: (N, H, W); of 4 axes, a last one of 1, 3 or 4 is channels (N, H, W, C), else a second
    one of 1 or 3 is channels (N, C, H, W), else it is a stack of volumes (N, D, H, W); of 5 axes,
    a second one of 1 or 3 is channels (N, C, D, H, W), or else a last one of 1, 3 or 4.
    Signals: (N, L) or (N, C, L), instead of images. Table: (N, F) numbers, beside or instead of
    images. Labels: (N,) or (N, 1) whole numbers or words; a negative number means no label.
    Several labels a sample are columns (N, K) of 0 and 1. Values: (N,) or (N, V) numbers.
    Masks: (N, *size) whole numbers, 0 for background. Targets: images or signals as those given,
    of the same shape, in the same units. Points: (N, M, axes + 1), see `Columns`.

    Args:
        source: Path of the file.
        keys: Array names by role (see ROLES), where they are not the usual ones. A group may be
            derived ("candidate_index//5000"); "none" means that the file's own group or split is
            not to be used.
        target: What is to be learnt: labels, values, masks, target images or points.

    Raises:
        DataError: The file or an array cannot be used.
    """
    path = Path(source)
    name = path.name
    if not path.is_file():
        raise DataError(f"{name}: no such file; name one that exists")
    try:
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as archive:
            columns = _columns(archive, keys, target, name)
    except _DAMAGE as error:
        raise DataError(
            f"{name}: damaged, or not an .npz file; save it again with numpy.savez"
        ) from error
    return assemble(columns, source=name, form="npz")


def _columns(
    archive: Mapping[str, Array], keys: Mapping[str, str], target: TargetKind, source: str
) -> Columns:
    is_medmnist = "train_images" in archive and "images" not in archive and "images" not in keys
    if is_medmnist and target in ("label", "labels"):
        return _medmnist_columns(archive, keys, target, source)
    there = sorted(archive)
    chosen = choose(
        ROLES,
        keys,
        there,
        target=target,
        source=source,
        kind="array",
        derived=lambda role, name: _is_derived(there, name),
    )
    arrays = {role: _array(archive, name, source) for role, name in chosen.items()}
    classes = tuple(words(arrays["classes"].reshape(-1))) if "classes" in arrays else ()
    notes = (f"patients are told apart by {chosen['group']!r}",) if "group" in chosen else ()
    return Columns(
        images=_grid(arrays, source),
        table=_numbers(arrays["table"], source) if "table" in arrays else None,
        labels=_column(arrays["labels"], "labels", source) if target == "label" else None,
        findings=arrays["labels"] if target == "labels" else None,
        values=arrays["values"] if target == "value" else None,
        masks=arrays["masks"][:, None] if target == "mask" else None,
        points=arrays["points"] if target == "points" else None,
        targets=_laid_out(arrays, "targets", source) if target == "image" else None,
        groups=_column(arrays["group"], "group", source) if "group" in arrays else None,
        split=_column(arrays["split"], "split", source) if "split" in arrays else None,
        classes=classes,
        notes=notes,
    )


def _medmnist_columns(
    archive: Mapping[str, Array], keys: Mapping[str, str], target: TargetKind, source: str
) -> Columns:
    if keys:
        raise DataError(
            f"{source}: keys {', '.join(keys)} given for a MedMNIST file, which names its own "
            "arrays; leave them out, or name the images too"
        )
    parts = [part for part in PARTS if f"{part}_images" in archive]
    images = [_array(archive, f"{part}_images", source) for part in parts]
    labels = [_array(archive, f"{part}_labels", source) for part in parts]
    if target == "label":
        labels = [_column(array, "labels", source) for array in labels]
    for part, part_images, part_labels in zip(parts, images, labels, strict=True):
        if len(part_images) != len(part_labels):
            raise DataError(
                f"{source}: {len(part_images):,} {part}_images but {len(part_labels):,} "
                f"{part}_labels; every image needs one label"
            )
    if len({array.shape[1:] for array in images}) > 1:
        sizes = ", ".join("x".join(map(str, array.shape[1:])) for array in images)
        raise DataError(
            f"{source}: images of more than one size: {sizes}; all images share one size: "
            "resample or crop them to one first"
        )
    return Columns(
        images=_channels_first(np.concatenate(images), source),
        labels=np.concatenate(labels) if target == "label" else None,
        findings=np.concatenate(labels) if target == "labels" else None,
        split=np.repeat(parts, [len(array) for array in images]),
    )


def _grid(arrays: Mapping[str, Array], source: str) -> Array | None:
    """Images or signals as (N, C, *size), or None where the file has only a table."""
    role = next((role for role in ("images", "signals") if role in arrays), None)
    return None if role is None else _laid_out(arrays, role, source)


def _laid_out(arrays: Mapping[str, Array], role: str, source: str) -> Array:
    """Images as (N, C, *size); where there are signals and no images, signals so."""
    if "images" in arrays or "signals" not in arrays:
        return _channels_first(arrays[role], source)
    signals = arrays[role]
    if signals.dtype.kind not in "iuf" or signals.ndim not in (2, 3):
        raise DataError(
            f"{source}: {role} of shape {signals.shape}, {signals.dtype}; allowed are numbers of "
            "shape (N,L) and (N,C,L): arrange the axes so"
        )
    return signals.reshape(len(signals), -1, signals.shape[-1])


def _numbers(table: Array, source: str) -> Array:
    if table.ndim != 2 or table.dtype.kind not in "biuf":
        raise DataError(
            f"{source}: a table of shape {table.shape}, {table.dtype}; allowed are numbers of "
            "shape (N,F): one row a sample"
        )
    return table


def _is_derived(there: Sequence[str], name: str) -> bool:
    origin, _, divisor = name.rpartition("//")
    return origin in there and divisor.isdecimal() and int(divisor) > 0


def _array(archive: Mapping[str, Array], name: str, source: str) -> Array:
    """One array in native byte order, divided if its name says so."""
    origin, _, divisor = name.rpartition("//")
    derived = name not in archive and bool(origin)
    stored = origin if derived else name
    if stored not in archive:
        raise DataError(f"{source}: no array named {stored!r}; it holds {', '.join(archive)}")
    try:
        array = archive[stored]
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise DataError(
            f"{source}: {stored!r} holds Python objects, which are not unpickled for safety; "
            "save it as an array of numbers or of fixed-length words"
        ) from error
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if not derived:
        return array
    if array.dtype.kind not in "iu":
        raise DataError(f"{source}: {name!r} divides {array.dtype}; only whole numbers can be")
    return array // int(divisor)


def _column(array: Array, role: str, source: str) -> Array:
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        several = ", or several findings a row to problem multilabel" if role == "labels" else ""
        raise DataError(
            f"{source}: {role} of shape {array.shape}; allowed are (N,) and (N, 1): "
            f"give one value a row{several}"
        )
    return array


def _channels_first(images: Array, source: str) -> Array:
    """(N, C, *size) of an array whose axes are guessed as `read` says."""
    if images.dtype.kind not in "iuf":
        raise DataError(
            f"{source}: images of type {images.dtype}; pixels are whole numbers or floats"
        )
    shape = images.shape
    if images.ndim == 3:
        return images[:, None]
    if images.ndim == 5 and shape[1] in (1, 3):
        return images
    if images.ndim in (4, 5) and shape[-1] in (1, 3, 4):
        return np.ascontiguousarray(np.moveaxis(images, -1, 1))
    if images.ndim == 4:
        return images if shape[1] in (1, 3) else images[:, None]
    raise DataError(
        f"{source}: images of shape {shape}; allowed are (N,H,W), (N,H,W,C), (N,C,H,W), (N,D,H,W), "
        "(N,C,D,H,W) and (N,D,H,W,C): arrange the axes so"
    )
