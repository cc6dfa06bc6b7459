"""Intervals for scores and for differences of scores, resampled by patient."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from automed.problems import Problem

RESAMPLES = 1000


def weights(
    num: int, groups: NDArray[np.int64] | None, seed: int, resamples: int = RESAMPLES
) -> NDArray[np.float64]:
    """Bootstrap weights (resamples, num): how often each sample was drawn.

    Whole groups (patients) are drawn with replacement where they are known, else samples.
    """
    rng = np.random.default_rng(seed)
    codes = np.arange(num) if groups is None else np.unique(groups, return_inverse=True)[1]
    units = int(codes.max()) + 1
    drawn = rng.multinomial(units, np.full(units, 1 / units), size=resamples)
    return drawn[:, codes].astype(np.float64)


def intervals(
    problem: Problem,
    outputs: NDArray[Any],
    labels: NDArray[Any],
    weights_RN: NDArray[np.float64],
) -> dict[str, tuple[float, float, float]]:
    """Every metric as (value, low, high): the sample's value, 95 % percentile bootstrap bounds."""
    values = problem.scores(outputs, labels)
    resampled = problem.scores(outputs, labels, weights_RN)
    return {name: (float(value[0]), *_bounds(resampled[name])) for name, value in values.items()}


def difference(
    problem: Problem,
    metric: str,
    first: NDArray[Any],
    second: NDArray[Any],
    labels: NDArray[Any],
    weights_RN: NDArray[np.float64],
) -> tuple[float, float, float]:
    """Metric of the first outputs minus the second's, paired over resamples: (value, low, high)."""
    value = problem.scores(first, labels)[metric] - problem.scores(second, labels)[metric]
    resampled = (
        problem.scores(first, labels, weights_RN)[metric]
        - problem.scores(second, labels, weights_RN)[metric]
    )
    return (float(value[0]), *_bounds(resampled))


def _bounds(values_R: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.nanpercentile(values_R, (2.5, 97.5))
    return float(low), float(high)
