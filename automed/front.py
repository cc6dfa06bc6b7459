"""The Pareto front: which points nothing beats, how much they cover, and which to take."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

BULGE = 0.2
"""How far above the line between a front's ends a knee must stand, as a share of its range."""
CHUNK = 500
"""Rows that are compared with each other at once."""


def oriented(values: ArrayLike, directions: Sequence[str]) -> NDArray[np.float64]:
    """Values (N, M) with every objective turned so that smaller is better."""
    signs = np.array([-1.0 if d == "maximize" else 1.0 for d in directions])
    turned: NDArray[np.float64] = np.asarray(values, np.float64).reshape(-1, len(signs)) * signs
    return turned


def front(values: ArrayLike, directions: Sequence[str]) -> list[int]:
    """Positions of the non-dominated rows of values (N, M); of equal rows the first stays.

    Rows that are not finite were not measured: they are not on the front and beat nothing.
    """
    losses = oriented(values, directions)
    finite = [(i, row) for i, row in enumerate(losses) if np.isfinite(row).all()]
    return [
        i
        for i, row in finite
        if not any(
            (other <= row).all() and ((other < row).any() or j < i) for j, other in finite if j != i
        )
    ]


def num_beating(losses_NM: NDArray[np.float64], by_KM: NDArray[np.float64]) -> NDArray[np.intp]:
    """By how many rows (N,) each is beaten: nowhere better, somewhere worse; less is better."""
    shape = len(losses_NM), len(by_KM)
    nowhere, somewhere = np.ones(shape, bool), np.zeros(shape, bool)
    for mine, theirs in zip(losses_NM.T, by_KM.T, strict=True):
        nowhere &= theirs <= mine[:, None]
        somewhere |= theirs < mine[:, None]
    times: NDArray[np.intp] = (nowhere & somewhere).sum(1)
    return times


def unbeaten(losses_NM: NDArray[np.float64]) -> NDArray[np.intp]:
    """Positions of the rows that no other beats, ascending; equal rows stay; less is better.

    Of many rows not all are compared with all: what is beaten within its chunk is beaten by a row
    that is left.
    """
    every = np.arange(len(losses_NM))
    if len(every) > CHUNK:
        chunks = np.split(every, range(CHUNK, len(every), CHUNK))
        every = np.concatenate([chunk[unbeaten(losses_NM[chunk])] for chunk in chunks])
    left: NDArray[np.intp] = every[num_beating(losses_NM[every], losses_NM[every]) == 0]
    return left


def hypervolume(values: ArrayLike, directions: Sequence[str], reference: Sequence[float]) -> float:
    """Area dominated by two-objective values (N, 2) up to the reference point.

    Raises:
        ValueError: Not two objectives.
    """
    if len(directions) != 2:
        raise ValueError(f"hypervolume is of two objectives here, not {len(directions)}")
    losses = oriented(values, directions)
    corner = oriented([list(reference)], directions)[0]
    inside = losses[((losses < corner) & np.isfinite(losses)).all(axis=1)]
    area, ceiling = 0.0, corner[1]
    for first, second in inside[np.lexsort((inside[:, 1], inside[:, 0]))]:
        if second < ceiling:
            area += (corner[0] - first) * (ceiling - second)
            ceiling = second
    return float(area)


def knee(scores: ArrayLike, latencies: ArrayLike) -> int:
    """Position of the point of a front where more latency stops buying much score.

    Both axes are scaled to [0, 1], latency by its logarithm since a factor is what people feel;
    the knee is the point farthest above the line from the fastest to the most accurate model. A
    front that nowhere bulges above that line has no knee: then it is the most accurate model.

    Source: Branke et al. 2004, Finding knees in multi-objective optimization.
    """
    y, x = np.asarray(scores, dtype=np.float64), np.log(np.asarray(latencies, dtype=np.float64))
    if len(y) < 3:
        return int(np.argmax(y))
    span_x, span_y = max(float(np.ptp(x)), 1e-12), max(float(np.ptp(y)), 1e-12)
    above = (y - y.min()) / span_y - (x - x.min()) / span_x
    return int(np.argmax(above if above.max() > BULGE else y))
