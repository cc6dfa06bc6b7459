"""What a search believes of untrained architectures: Gaussian processes, with error bars."""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import ndtr, softmax
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Kernel, Matern, WhiteKernel

from automed.space import Choice, Integer, Joint, Point, Real, Value
from automed.strategies.random_search import drawn_point

Floats = NDArray[np.float64]
Telling = Callable[[Floats], Floats]

GROWTH = 1.5
"""By what factor observations grow before kernels are weighed anew."""
ENOUGH = 10
"""Observations that kernels can be weighed by."""
FEWEST = 4
"""Observations that are learnt from at all."""
MOST = 400
"""Observations that anything is learnt from; what is asked shall not wait for more of them."""
SOUGHT = 250
"""Observations that kernels are weighed by, at most."""
TAKEN = -math.log(2.0)
"""The logarithm of the share of a target's limit that an architecture takes which runs there."""
ANYONE = 200
"""Random architectures whose median is the corner of the hypervolume."""
KERNELS = tuple(
    Matern(length, "fixed", nu=2.5) + WhiteKernel(noise, "fixed")
    for length in (0.5, 1.0, 1.7, 3.0, 5.0)
    for noise in (0.01, 0.1)
)
"""What a quantity may be like: how far apart architectures still resemble one another (one option
exchanged for another is 1.4), and what share of the variance no parameter explains."""
IMPLAUSIBLE = 0.02
"""A kernel of less weight than this is left out."""
TELLING = 20
"""Observations that features can be weighed by."""
ALIKE = 0.5
"""By how much features differ in length, a standard deviation of its logarithm, if nothing is known
of them."""


class Belief(NamedTuple):
    """What is expected of architectures.

    Attributes:
        losses: Means (N,) at the highest rung that anything is known of.
        deviations: Their standard deviations (N,).
        costs: Logarithms (N, C): measured where they were, else predicted.
        allowed: Chance (N,) to keep within every limit.
    """

    losses: Floats
    deviations: Floats
    costs: Floats
    allowed: Floats


class Surrogate:
    """Scores, costs and limits, learnt from an architecture's parameters.

    Fidelities are chained: the score after more epochs is what it was after fewer, scaled, and a
    Gaussian process over parameters and costs of what that leaves (recursive co-kriging). It is a
    function of what it is taught and in which order, whatever it was taught before.

    Source: Le Gratiet and Garnier 2014, doi:10.1615/Int.J.UncertaintyQuantification.2014006914.

    Attributes:
        rung: The highest rung that anything is known of; -1 if there is none.
        worst: The loss that anything has to stay under to be worth something: the median of what
            is expected of random architectures.
        cheapest: The lowest costs (C,), logarithms, that are expected among random architectures.
        dearest: The highest of these.
    """

    def __init__(self, space: Joint, *, num_rungs: int) -> None:
        self._encode, self._chain = Encoding(space), Chain(num_rungs)
        self._costs: list[Process] = []
        self._limits: dict[str, Process] = {}
        self._earlier: Process | None = None
        rng = random.Random(0)
        self._anyone = np.array([self._encode(drawn_point(space, rng)) for _ in range(ANYONE)])
        self.worst, self.rung = math.inf, -1
        self.cheapest = self.dearest = np.empty(0)

    def row(self, point: Point) -> Floats:
        """A point in numbers (F,)."""
        return self._encode(point)

    def recall(self, rows_NF: Floats, losses_N: Floats) -> None:
        """Take what an earlier search found, of other images maybe, for a fidelity below all."""
        if len(losses_N) >= FEWEST:
            self._earlier = Process(losses=True)
            self._earlier.fit(rows_NF, (losses_N - losses_N.mean()) / (losses_N.std() + 1e-9))

    def learn(
        self,
        rows_NF: Floats,
        costs_NC: Floats,
        losses_NR: Floats,
        limits: Sequence[Mapping[str, float]],
    ) -> None:
        """Forget what was known and learn this.

        Args:
            rows_NF: Architectures, in an order that does not change as more become known.
            costs_NC: Logarithms of their costs, NaN where a target refused one.
            losses_NR: Losses by rung, NaN where there is none.
            limits: Logarithm of the share that each takes of every limit; of a target that takes
                one nothing is said.
        """
        lowered = np.isfinite(costs_NC).all(1)
        first = costs_NC[lowered][:ENOUGH]  # a scale that stays, for the kernels weighed on it
        self._middle, self._spread = first.mean(0), first.std(0) + 1e-9
        if not self._costs:
            self._costs = [Process() for _ in costs_NC.T]
        for process, costs in zip(self._costs, costs_NC.T, strict=True):
            process.fit(rows_NF[lowered], costs[lowered])
        for name in {n for taken in limits for n, share in taken.items() if share > 0}:
            held = np.array([taken.get(name, TAKEN) for taken in limits])
            self._limits.setdefault(name, Process(telling=np.abs)).fit(rows_NF, held)
        tried = np.isfinite(losses_NR).any(1)
        hints = self._hints(rows_NF[tried])
        self._chain.fit(self._features(rows_NF, costs_NC)[tried], losses_NR[tried], hints)
        self.rung = self._chain.known - 1
        nothing = np.full((ANYONE, costs_NC.shape[1]), np.nan)
        unknown = np.full((ANYONE, losses_NR.shape[1]), np.nan)
        anyone = self.belief(self._anyone, nothing, unknown)
        self.worst = float(np.median(anyone.losses))
        self.cheapest, self.dearest = anyone.costs.min(0), anyone.costs.max(0)

    def belief(self, rows_NF: Floats, costs_NC: Floats, losses_NR: Floats) -> Belief:
        """What is expected of architectures, given what is known of them, NaN where nothing is."""
        costs = costs_NC.copy()
        missing = np.isnan(costs).any(1)
        allowed = np.ones(len(rows_NF))
        if missing.any():
            for process, column in zip(self._costs, costs.T, strict=True):
                column[missing] = process(rows_NF[missing])[0]
            for process in self._limits.values():
                mean, deviation = process(rows_NF[missing])
                allowed[missing] *= ndtr(-mean / np.maximum(deviation, 1e-9))
        features = self._features(rows_NF, costs)
        mean, deviation = self._chain(features, losses_NR, self._hints(rows_NF))
        return Belief(mean, deviation, costs, allowed)

    def _hints(self, rows_NF: Floats) -> Floats:
        """Losses (N,) that an earlier search would expect; 0 if there was none."""
        return np.zeros(len(rows_NF)) if self._earlier is None else self._earlier(rows_NF)[0]

    def _features(self, rows_NF: Floats, costs_NC: Floats) -> Floats:
        return np.concatenate([rows_NF, (costs_NC - self._middle) / self._spread], 1)


class Encoding:
    """Points as rows of numbers: an option a column, numbers on their own scale from 0 to 1.

    What has no say in a point's family lies in the middle, as far from every value.
    """

    def __init__(self, space: Joint) -> None:
        self._space = space
        self._columns: dict[str, int] = {}
        middle: list[float] = []
        for name, parameter in space.items():
            self._columns[name] = len(middle)
            if isinstance(parameter, Choice):
                middle += [1 / len(parameter.options)] * len(parameter.options)
            else:
                middle.append(0.5)
        self._middle = np.array(middle)

    def __call__(self, point: Point) -> Floats:
        """(F,)."""
        row = self._middle.copy()
        for name, value in self._space.active(point).items():
            parameter, column = self._space[name], self._columns[name]
            if isinstance(parameter, Choice):
                row[column : column + len(parameter.options)] = 0.0
                row[column + parameter.position(value)] = 1.0
            else:
                row[column] = _share(parameter, value)
        return row


def _share(parameter: Integer | Real, value: Value) -> float:
    low, high, at = float(parameter.low), float(parameter.high), float(value)
    if isinstance(parameter, Real) and parameter.log:
        low, high, at = math.log(low), math.log(high), math.log(at)
    return (at - low) / (high - low) if high > low else 0.5


class Process:
    """A mixture of Gaussian processes of one quantity, one for each plausible kernel.

    Few observations, chosen where they promise much, fit a long kernel and a short one alike: the
    likeliest alone is far too sure of itself, and a search that believes it stays where it is. So
    each counts by its likelihood, and where they disagree the mixture is unsure. What features are
    worth to the likeliest stretches them for all.

    Kernels and features are weighed by the first observations, whose number grows in steps to
    SOUGHT. Equal observations in an equal order give the same weights. Of many observations it
    learns from the more telling half and from an even choice of the others, MOST in all.

    Args:
        telling: Values whose observations are the more telling the smaller they are.
        losses: Whether it is losses that are learnt; see `compressed`.
    """

    def __init__(self, *, telling: Telling = np.asarray, losses: bool = False) -> None:
        self._telling, self._tamed = telling, compressed if losses else np.asarray
        self._weights = self._stretch = np.empty(0)
        self._sought = self._held = np.empty((0, 0)), np.empty(0)
        self._fitted: list[GaussianProcessRegressor] = []

    def fit(self, x_NF: Floats, y_N: Floats) -> None:
        """Learn from observations, in the order they were made."""
        first = _milestone(len(y_N))
        x, y = x_NF[:first], y_N[:first]
        if not self._fitted or not _same((x, y), self._sought):
            self._sought, self._fitted = (x, y), []
            self._weights, self._stretch = _weighed(x, self._tamed(y) if first else y)
        kept = _thinned(np.argsort(self._telling(y_N), kind="stable"))
        x, y = x_NF[kept] * self._stretch, self._tamed(y_N)[kept]
        if not self._fitted or not _same((x, y), self._held):
            self._fitted = [_process(KERNELS[k], x, y) for k in np.flatnonzero(self._weights)]
            self._held = x, y

    def __call__(self, x_NF: Floats) -> tuple[Floats, Floats]:
        """Means (N,) and standard deviations (N,) of what is the architecture's own."""
        x = x_NF * self._stretch
        beliefs = [process.predict(x, return_std=True) for process in self._fitted]
        means, deviations = np.moveaxis(np.array(beliefs), 1, 0)
        weights = self._weights[self._weights > 0]
        mean = weights @ means
        return mean, np.sqrt(weights @ (deviations**2 + (means - mean) ** 2))


def _process(kernel: Kernel, x_NF: Floats, y_N: Floats) -> GaussianProcessRegressor:
    return GaussianProcessRegressor(kernel, optimizer=None, normalize_y=True).fit(x_NF, y_N)


def _weighed(x_NF: Floats, y_N: Floats) -> tuple[Floats, Floats]:
    """Chances (K,) of the kernels, 0 for those that are implausible, and stretches (F,)."""
    stretch = np.ones(x_NF.shape[1])
    if not len(y_N):
        return np.full(len(KERNELS), 1 / len(KERNELS)), stretch
    likelihoods = _likelihoods(x_NF, y_N)
    if len(y_N) >= TELLING:
        stretch = _stretch(KERNELS[int(np.argmax(likelihoods))], x_NF, y_N)
        likelihoods = _likelihoods(x_NF * stretch, y_N)
    chances = softmax(likelihoods)
    plausible: Floats = np.where(chances < IMPLAUSIBLE, 0.0, chances)
    plausible /= plausible.sum()
    return plausible, stretch


def _likelihoods(x_NF: Floats, y_N: Floats) -> list[float]:
    return [_process(k, x_NF, y_N).log_marginal_likelihood_value_ for k in KERNELS]


def _stretch(kernel: Kernel, x_NF: Floats, y_N: Floats) -> Floats:
    """Factors (F,) by which features are worth more or less than a kernel takes them for.

    They are those that observations and ALIKE together make most plausible.
    """
    smooth, noise = kernel.k1, kernel.k2
    lengths = np.full(x_NF.shape[1], smooth.length_scale)
    process = _process(Matern(lengths, nu=smooth.nu) + noise, x_NF, y_N)
    start = np.log(lengths)

    def implausible(logs_F: Floats) -> tuple[float, Floats]:
        likelihood, slope = process.log_marginal_likelihood(logs_F, True, clone_kernel=False)
        apart = (logs_F - start) / ALIKE
        return 0.5 * float(apart @ apart) - likelihood, apart / ALIKE - slope

    found = minimize(implausible, start, jac=True, method="L-BFGS-B")
    stretch: Floats = np.exp(start - found.x)
    return stretch


def _thinned(ranked_N: NDArray[np.intp]) -> NDArray[np.intp]:
    """The first half of MOST, and as many evenly out of the rest, in the order of observation."""
    first, rest = np.split(ranked_N, [MOST // 2])
    even = np.linspace(0, len(rest) - 1, min(len(rest), MOST - MOST // 2)).astype(np.intp)
    return np.sort(np.concatenate([first, rest[even]]))


def _same(some: tuple[Floats, Floats], others: tuple[Floats, Floats]) -> bool:
    """Whether these are the same observations."""
    return all(map(np.array_equal, some, others))


def _milestone(number: int) -> int:
    milestone, after = 0, ENOUGH
    while after <= min(number, SOUGHT):
        milestone, after = after, int(after * GROWTH)
    return milestone


class Chain:
    """A process for every fidelity, each beginning from what the one before knows.

    Attributes:
        known: How many fidelities anything is known of, from the lowest on.
    """

    def __init__(self, num_rungs: int) -> None:
        self._processes = [Process(losses=True) for _ in range(num_rungs)]
        self._slopes = [0.0] * num_rungs
        self.known = 0

    def fit(self, x_NF: Floats, y_NR: Floats, hints_N: Floats) -> None:
        """Learn from scores (N, R), smaller better, NaN where there is none.

        Args:
            x_NF: Features.
            y_NR: Scores.
            hints_N: What stands before the lowest fidelity; equal numbers if nothing does.
        """
        self.known = 0
        for rung, process in enumerate(self._processes):
            seen = np.isfinite(y_NR[:, : rung + 1]).all(1)
            if seen.sum() < FEWEST:
                return
            y, before = y_NR[seen, rung], (y_NR[:, rung - 1] if rung else hints_N)[seen]
            first = _milestone(len(y)) or len(y)
            slope = _slope(compressed(before[:first]), compressed(y[:first]))
            self._slopes[rung] = max(0.0, slope)
            process.fit(x_NF[seen], y - self._slopes[rung] * before)
            self.known = rung + 1

    def __call__(self, x_NF: Floats, y_NR: Floats, hints_N: Floats) -> tuple[Floats, Floats]:
        """Means and deviations (N,) at the highest fidelity known, given lower ones or NaN."""
        mean, variance = hints_N, np.zeros(len(x_NF))
        for rung in range(self.known):
            own, deviation = self._processes[rung](x_NF)
            slope = self._slopes[rung]
            mean, variance = own + slope * mean, deviation**2 + slope**2 * variance
            if rung < self.known - 1:
                measured = np.isfinite(y_NR[:, rung])
                mean = np.where(measured, y_NR[:, rung], mean)
                variance = np.where(measured, 0.0, variance)
        return mean, np.sqrt(variance)


def _slope(x_N: Floats, y_N: Floats) -> float:
    """Of y by x, least squares; 0 where x is constant."""
    spread = float(x_N.var(ddof=1))
    return float(np.cov(x_N, y_N)[0, 1]) / spread if spread > 0 else 0.0


def compressed(y_N: Floats) -> Floats:
    """Losses, those above the median brought nearer by a logarithm, in an unchanged order.

    Its unit is the distance from the median to the best tenth: one at chance level says that it is
    bad, and says little of how much.
    """
    median = float(np.median(y_N))
    unit = median - float(np.quantile(y_N, 0.1)) + 1e-12
    return np.where(y_N > median, median + unit * np.log1p(np.maximum(y_N - median, 0) / unit), y_N)
