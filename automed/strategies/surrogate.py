"""What a search believes of architectures it has not trained: Gaussian processes, with error bars.

Fidelities are chained: the score after more epochs is what it was after fewer, scaled, and a
Gaussian process over architecture and costs of what that leaves (recursive co-kriging).

Source: Le Gratiet and Garnier 2014, doi:10.1615/Int.J.UncertaintyQuantification.2014006914.
"""

import math
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Kernel, Matern, WhiteKernel

from automed.space import Choice, Integer, Joint, Point, Real, Value

Floats = NDArray[np.float64]

GROWTH = 1.5
"""By what factor observations grow before the kernel's lengths are sought anew."""
SPREADS = 3.0
"""How far below the median a score counts, in distances from there to the best tenth: one at
chance level says that it is bad, and shall not say how much."""


ENOUGH = 10
"""Observations that a kernel's lengths can be sought from."""
PRIOR = ConstantKernel(1.0, (0.1, 10.0)) * Matern(2.5, (0.5, 20.0), nu=2.5) + WhiteKernel(
    0.05, (1e-3, 0.5)
)


class Encoding:
    """Points as rows of numbers: an option a column, numbers on their own scale from 0 to 1.

    What has no say in a point's family lies in the middle, as far from every value.
    """

    def __init__(self, space: Joint) -> None:
        self._space, self._columns = space, {}
        middle: list[float] = []
        for name, parameter in space.items():
            self._columns[name] = len(middle)
            if isinstance(parameter, Choice):
                middle += [1 / len(parameter.options)] * len(parameter.options)
            else:
                middle.append(0.5)
        self._middle = np.array(middle)

    def __call__(self, points: Sequence[Point]) -> Floats:
        """(N, F)."""
        rows = np.tile(self._middle, (len(points), 1))
        for row, point in zip(rows, points, strict=True):
            for name, value in self._space.active(point).items():
                parameter, column = self._space[name], self._columns[name]
                if isinstance(parameter, Choice):
                    row[column : column + len(parameter.options)] = 0.0
                    row[column + parameter.options.index(value)] = 1.0
                else:
                    row[column] = _share(parameter, value)
        return rows


def _share(parameter: Integer | Real, value: Value) -> float:
    low, high, at = float(parameter.low), float(parameter.high), float(value)
    if isinstance(parameter, Real) and parameter.log:
        low, high, at = math.log(low), math.log(high), math.log(at)
    return (at - low) / (high - low) if high > low else 0.5


class Process:
    """A Gaussian process of one quantity, its kernel sought anew as the observations grow.

    The kernel depends on the observations and their order alone, so that a search that is resumed
    goes on as it would have.
    """

    def __init__(self) -> None:
        self._kernel, self._sought = PRIOR, 0
        self._fitted: GaussianProcessRegressor | None = None

    def fit(self, x_NF: Floats, y_N: Floats) -> None:
        """Learn from all observations, in the order they were made."""
        milestone = _milestone(len(y_N))
        if milestone != self._sought:
            first = slice(0, milestone)
            self._kernel = PRIOR if milestone == 0 else _sought(x_NF[first], y_N[first])
            self._sought = milestone
        self._fitted = GaussianProcessRegressor(self._kernel, optimizer=None, normalize_y=True)
        self._fitted.fit(x_NF, y_N)

    def __call__(self, x_NF: Floats) -> tuple[Floats, Floats]:
        """Means (N,) and standard deviations (N,) of what is the architecture's own."""
        assert self._fitted is not None
        means, deviations = self._fitted.predict(x_NF, return_std=True)
        return means, deviations


def _milestone(number: int) -> int:
    milestone, after = 0, ENOUGH
    while after <= number:
        milestone, after = after, int(after * GROWTH)
    return milestone


def _sought(x_NF: Floats, y_N: Floats) -> Kernel:
    with warnings.catch_warnings(action="ignore"):  # lengths at the end of their range
        return GaussianProcessRegressor(PRIOR, normalize_y=True).fit(x_NF, y_N).kernel_


class Chain:
    """A process for every fidelity, each beginning from what the one before knows."""

    def __init__(self, num_rungs: int) -> None:
        self._processes = [Process() for _ in range(num_rungs)]
        self._slopes = [0.0] * num_rungs
        self.known = 0

    def fit(self, x_NF: Floats, y_NR: Floats) -> None:
        """Learn from scores (N, rungs), smaller better, NaN where there is none."""
        self.known = 0
        for rung, process in enumerate(self._processes):
            seen = np.isfinite(y_NR[:, rung])
            if rung:
                seen &= np.isfinite(y_NR[:, rung - 1])
            if seen.sum() < 4:
                return
            x, y = x_NF[seen], winsorised(y_NR[seen, rung])
            if rung:
                before = y_NR[seen, rung - 1]
                spread = float(before.var())
                slope = 0.0 if spread == 0 else float(np.cov(before, y)[0, 1] / spread)
                self._slopes[rung] = max(0.0, slope)
                y = y - self._slopes[rung] * before
            process.fit(x, y)
            self.known = rung + 1

    def __call__(self, x_NF: Floats, y_NR: Floats) -> tuple[Floats, Floats]:
        """Means and deviations (N,) at the highest fidelity known, given lower ones or NaN."""
        mean, variance = np.zeros(len(x_NF)), np.zeros(len(x_NF))
        for rung in range(self.known):
            own, deviation = self._processes[rung](x_NF)
            slope = self._slopes[rung] if rung else 0.0
            mean, variance = own + slope * mean, deviation**2 + slope**2 * variance
            if rung < self.known - 1:
                measured = np.isfinite(y_NR[:, rung])
                mean = np.where(measured, y_NR[:, rung], mean)
                variance = np.where(measured, 0.0, variance)
        return mean, np.sqrt(variance)


def winsorised(y_N: Floats) -> Floats:
    """Losses, the worst of them brought nearer: see SPREADS."""
    median = float(np.median(y_N))
    return np.minimum(y_N, median + SPREADS * (median - float(np.quantile(y_N, 0.1))) + 1e-12)
