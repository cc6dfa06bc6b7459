"""Encodes several numbers a sample, some of which nobody may know: findings and values."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from automed.data.dataset import Array
from automed.errors import DataError

_ALLOWED = "1 where a finding is there, 0 where it is not, negative or empty where nobody knows"


def encode_findings(
    raw: Array, names: Sequence[str], source: str
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Findings (N, K) as 0, 1, or NaN where it is not known, and their names.

    Args:
        raw: (N, K) of 0 and 1; negative or NaN is unknown.
        names: Of the findings; empty to number them.
        source: Base name of the file, for errors only.

    Raises:
        DataError: There are not several columns, or they hold something else.
    """
    if raw.ndim != 2 or raw.shape[1] < 2 or raw.dtype.kind not in "biuf":
        raise DataError(
            f"{source}: labels of shape {raw.shape}, {raw.dtype}; several findings a sample are "
            f"columns (N, K) of numbers: {_ALLOWED}; one class a row is for problem classification"
        )
    truth_NK = raw.astype(np.float32)
    truth_NK[truth_NK < 0] = np.nan
    strange = np.isfinite(truth_NK) & (truth_NK != 0) & (truth_NK != 1) | np.isinf(truth_NK)
    if strange.any():
        seen = ", ".join(f"{value:g}" for value in np.unique(truth_NK[strange])[:3])
        raise DataError(f"{source}: labels hold {seen}; allowed are {_ALLOWED}: recode them")
    return truth_NK, _named(names, truth_NK.shape[1], "finding", source)


def encode_values(
    raw: Array, names: Sequence[str], source: str
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Values (N, V), NaN where one is not known, and their names.

    Args:
        raw: (N,) or (N, V) numbers.
        names: Of the values; empty to number them.
        source: Base name of the file, for errors only.

    Raises:
        DataError: They are no numbers, or infinite.
    """
    if raw.ndim not in (1, 2) or raw.dtype.kind not in "biuf":
        raise DataError(
            f"{source}: values of shape {raw.shape}, {raw.dtype}; allowed are numbers (N,) or "
            "(N, V), NaN where one is not known: code words as numbers"
        )
    truth_NV = raw.reshape(len(raw), -1).astype(np.float32)
    infinite = int(np.isinf(truth_NV).any(axis=1).sum())
    if infinite:
        raise DataError(
            f"{source}: {infinite:,} rows hold infinite values; give a number, or NaN where it is "
            "not known"
        )
    return truth_NV, _named(names, truth_NV.shape[1], "value", source)


def _named(names: Sequence[str], number: int, what: str, source: str) -> tuple[str, ...]:
    if not names:
        return (what,) if number == 1 else tuple(f"{what} {n}" for n in range(number))
    if len(names) != number:
        raise DataError(
            f"{source}: {number} columns of {what}s but {len(names)} names; give a name to each"
        )
    return tuple(names)
