"""Intervals for scores and for differences of scores, resampled by patient."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automed.problems import Problem

RESAMPLES = 1000


def weights(
    num: int, groups: NDArray[np.int64] | None, seed: int, resamples: int = RESAMPLES
) -> NDArray[np.float64]:
    """Bootstrap weights (resamples, num): how often each sample was drawn.

    Whole groups (patients) are drawn with replacement where they are known, see `by_group`, else
    samples.
    """
    rng = np.random.default_rng(seed)
    codes = np.arange(num)
    if groups is not None and by_group(groups):
        codes = np.unique(groups, return_inverse=True)[1]
    units = int(codes.max()) + 1
    drawn = rng.multinomial(units, np.full(units, 1 / units), size=resamples)
    return drawn[:, codes].astype(np.float64)


def by_group(groups: NDArray[np.int64] | None) -> bool:
    """Whether groups can be drawn: of one alone every draw is the same, and says nothing."""
    return groups is not None and len(np.unique(groups)) > 1


@dataclass(frozen=True)
class Scored:
    """A model's metrics on one part: the sample's values, and those of every bootstrap draw.

    Attributes:
        values: Metric name to its value.
        draws: Metric name to (R,) values; models scored on the same draws can be paired.
    """

    values: Mapping[str, float]
    draws: Mapping[str, NDArray[np.float64]]

    @classmethod
    def of(
        cls,
        problem: Problem,
        outputs: NDArray[Any],
        truth: NDArray[Any],
        weights_RN: NDArray[np.float64],
    ) -> "Scored":
        """What these outputs score, with the draws' weights from `weights`."""
        once = np.ones((1, len(truth)))
        scores = problem.scores(outputs, truth, np.concatenate([once, weights_RN]))
        return cls(
            {name: float(values[0]) for name, values in scores.items()},
            {name: values[1:] for name, values in scores.items()},
        )

    def intervals(self) -> dict[str, tuple[float, float, float]]:
        """Metric name to (value, low, high): 95 % percentile bootstrap bounds."""
        return {name: (value, *_bounds(self.draws[name])) for name, value in self.values.items()}

    def minus(self, other: "Scored", metric: str) -> tuple[float, float, float]:
        """The difference to another model on the same draws, paired: (value, low, high)."""
        value = self.values[metric] - other.values[metric]
        return (value, *_bounds(self.draws[metric] - other.draws[metric]))


def _bounds(values_R: NDArray[np.float64]) -> tuple[float, float]:
    if np.isnan(values_R).all():  # a metric that is undefined on the part
        return math.nan, math.nan
    low, high = np.nanpercentile(values_R, (2.5, 97.5))
    return float(low), float(high)
