"""Finalists on validation, and once on the sealed part: scores with intervals, paired."""

import math
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from automed.data.dataset import Dataset
from automed.data.splits import Sealed
from automed.exporters import outputs
from automed.finalists import Finalist
from automed.measure import intervals
from automed.measure.latency import Latency
from automed.problems import Problem, sign
from automed.report.results import Comparison, Interval, Model
from automed.trial import SEARCH


class Judge:
    """Scores every model on one set of bootstrap draws a part, so that any two can be paired."""

    def __init__(
        self, problem: Problem, score: str, seed: int, val: Dataset, finalists: Iterable[Finalist]
    ) -> None:
        self._problem, self._score, self._seed = problem, score, seed
        self._better = sign(problem, score)
        self._drawn: set[str] = set()
        self._val = self._scored(val, {f.name: f.validation for f in finalists}, seed)
        self._sealed: dict[str, intervals.Scored] = {}

    @property
    def scores(self) -> dict[str, float]:
        """Name to validation score."""
        return {name: scored.values[self._score] for name, scored in self._val.items()}

    @property
    def resampled_by(self) -> str:
        """What the intervals draw, in a word; "sample" if they do so on any part."""
        return "sample" if "sample" in self._drawn else next(iter(self._drawn))

    def not_worse(self, models: list[Finalist]) -> list[Finalist]:
        """Those whose validation score is not significantly worse than that of the best.

        That is: the 95 % interval of the paired difference reaches zero.
        """
        scores = self.scores
        best = self._val[max(models, key=lambda f: self._better * scores[f.name]).name]
        behind = [self._val[f.name].minus(best, self._score) for f in models]
        return [
            f
            for f, bounds in zip(models, behind, strict=True)
            if max(self._better * bound for bound in bounds) >= 0
        ]

    def open(self, sealed: Sealed, models: Iterable[Finalist]) -> None:
        """Score models on the sealed part: once, when everything has been decided."""
        part = sealed.open()
        given = {f.name: outputs(f.runner, part.given) for f in models}
        self._sealed = self._scored(part, given, self._seed + 1)

    def model(self, f: Finalist, known: Latency, artefact: str | None) -> Model:
        """A finalist as the report shows it."""
        return Model(
            name=f.name,
            origin=f.origin,
            trial=f.trial,
            family=f.family,
            validation=_intervals(self._val[f.name]),
            sealed=_intervals(self._sealed.get(f.name)),
            costs={
                "latency_ms": known.median_ms,
                "latency_p95_ms": known.p95_ms,
                "latency_relative": known.relative,
                **f.costs,
            },
            artefact=artefact,
            verified=None
            if f.max_difference is None
            else {"max_difference": f.max_difference, "samples": len(f.validation)},
            config=f.config,
        )

    def comparisons(self, models: tuple[Model, ...]) -> tuple[Comparison, ...]:
        """Every model of the front against every baseline on the sealed part, paired."""
        if not self._sealed:
            return ()
        return tuple(
            Comparison(
                model=ours.name,
                baseline=other.name,
                difference=Interval(
                    *self._sealed[ours.name].minus(self._sealed[other.name], self._score)
                ),
                speedup=other.costs["latency_ms"] / ours.costs["latency_ms"],
            )
            for ours in models
            for other in models
            if ours.origin == SEARCH and other.origin != SEARCH
        )

    def _scored(
        self, part: Dataset, given: Mapping[str, NDArray[np.float32]], seed: int
    ) -> dict[str, intervals.Scored]:
        draws = intervals.weights(len(part), part.groups, seed)
        self._drawn.add(part.grouped_by if intervals.by_group(part.groups) else "sample")
        return {
            name: intervals.Scored.of(self._problem, answers, part.truth, draws)
            for name, answers in given.items()
        }


def _intervals(scored: intervals.Scored | None) -> dict[str, Interval]:
    if scored is None:
        return {}
    every = {name: Interval(*bounds) for name, bounds in scored.intervals().items()}
    # a metric that is undefined on the part, a correlation with a constant say, is not told
    return {name: it for name, it in every.items() if math.isfinite(it.value + it.low + it.high)}
