"""What arrays of any kind say of labels, masks, points, patients and parts, as codes."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from automed.data.dataset import Array
from automed.errors import DataError

_PART_OF = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_NO_LABEL = frozenset({"", "nan"})
_MOST_CLASSES = 64


def part_of(name: str) -> str:
    """The part a name stands for: "train", "val", "test", or "" for none of them."""
    return _PART_OF.get(name.strip().lower(), "")


def words(raw: Array) -> list[str]:
    """Each value as stripped text, bytes decoded."""
    return [
        (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip()
        for value in raw.tolist()
    ]


def split(raw: Array, source: str) -> NDArray[np.str_]:
    """The part of each row, empty for none.

    Raises:
        DataError: No row is in any part.
    """
    parts = np.array([part_of(word) for word in words(raw)])
    if not (parts != "").any():
        raise DataError(
            f"{source}: no row of the split is train, val or test; write these words, "
            "or give split=none to have automed split"
        )
    return parts


def groups(raw: Array, source: str) -> NDArray[np.int64]:
    """Codes (N,) of patients, from 0 in the order of first appearance.

    Raises:
        DataError: A row has none.
    """
    ids = np.array(words(raw))
    missing = int(np.isin(ids, ("", "nan")).sum())
    if missing:
        raise DataError(
            f"{source}: {missing:,} rows have no patient; every row needs one: fill them in, "
            "or give group=none to split by image"
        )
    _, first, codes = np.unique(ids, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first)).astype(np.int64)[codes.reshape(-1)]


def labels(
    raw: Array, names: Sequence[str], source: str
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Indices into the classes, -1 for no label; and the classes' names.

    Raises:
        DataError: Labels and names do not fit, or labels are neither whole numbers nor words.
    """
    numbers = _whole_numbers(raw, source)
    if numbers is None:
        return _encode_words(words(raw), names, source)
    found = np.unique(numbers[numbers >= 0])
    if not names:
        names = [f"class {number}" for number in found]
    elif found.size and found[-1] < len(names):
        return np.maximum(numbers, -1), tuple(names)
    elif len(found) != len(names):
        raise DataError(
            f"{source}: {len(found)} different labels up to {found.max(initial=0)} but "
            f"{len(names)} class names; give a name to each label"
        )
    return np.where(numbers < 0, -1, np.searchsorted(found, numbers)), tuple(names)


def masks(
    raw: Array, names: Sequence[str], source: str
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Masks as class numbers, those that occur counted from 0, the background; and their names.

    Raises:
        DataError: Masks hold something else, or names do not fit.
    """
    found = np.unique(raw)
    whole = raw.dtype.kind in "biu" or bool(np.isfinite(found).all() and (found % 1 == 0).all())
    if not whole or found[0] < 0 or len(found) > _MOST_CLASSES:
        raise DataError(
            f"{source}: masks of {len(found):,} values from {found[0]:g} to {found[-1]:g}; a mask "
            f"holds 0 for background and up to {_MOST_CLASSES - 1} whole numbers for classes"
        )
    found = np.union1d(found, [0])
    names = names or ("background", *(f"class {number:g}" for number in found[1:]))
    if len(names) != len(found):
        raise DataError(
            f"{source}: {len(found)} different values in the masks, background among them, but "
            f"{len(names)} class names; give a name to each"
        )
    return np.searchsorted(found, raw).astype(np.uint8), tuple(names)


def points(raw: Array, images: Array | None, source: str) -> NDArray[np.float32]:
    """Objects of the images, as many rows as the fullest image has, at least one.

    Raises:
        DataError: They have another shape than points of these images.
    """
    wanted = 0 if images is None else images.ndim - 1
    if raw.dtype.kind not in "iuf" or raw.ndim != 3 or raw.shape[-1] != wanted:
        raise DataError(
            f"{source}: points of shape {raw.shape}, {raw.dtype}; allowed are numbers of shape "
            f"(N,M,{wanted or 'axes+1'}) beside images: centre per axis and radius in pixels, in "
            "the order of the image's axes, and rows of NaN where an image has fewer than M"
        )
    points = raw.astype(np.float32)
    is_empty = np.isnan(points).all(axis=-1)
    most = int((~is_empty).sum(axis=1).max(initial=1))
    first = np.argsort(is_empty, axis=1, kind="stable")[:, :most]
    return np.take_along_axis(points, first[..., None], axis=1)


def _encode_words(
    labels: Sequence[str], names: Sequence[str], source: str
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    found = sorted({label for label in labels if label.lower() not in _NO_LABEL})
    unknown = len(set(found) - set(names)) if names else 0
    if unknown:
        raise DataError(
            f"{source}: {unknown} labels are not among the class names "
            f"{', '.join(names)}; mend the labels or the names"
        )
    index = {name: code for code, name in enumerate(names or found)}
    return np.array([index.get(label, -1) for label in labels], np.int64), tuple(names or found)


def _whole_numbers(raw: Array, source: str) -> NDArray[np.int64] | None:
    """Labels as numbers, negative for no label; None where they are words."""
    if raw.dtype.kind in "biu":
        return raw.astype(np.int64)
    if raw.dtype.kind in "SU":
        try:
            values = np.array([float(word or "nan") for word in words(raw)])
        except ValueError:
            return None
        is_whole = _are_whole(values)
        return np.where(np.isnan(values), -1.0, values).astype(np.int64) if is_whole else None
    if raw.dtype.kind == "f":
        values = raw.astype(np.float64)
        if _are_whole(values):
            return np.where(np.isnan(values), -1.0, values).astype(np.int64)
    raise DataError(
        f"{source}: labels of type {raw.dtype} that are not whole; a label is a whole number "
        "or a word: give one class a row"
    )


def _are_whole(values: NDArray[np.float64]) -> bool:
    known = values[~np.isnan(values)]
    return bool(np.isfinite(known).all() and (known == np.floor(known)).all())
