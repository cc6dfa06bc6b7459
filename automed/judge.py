"""Finalists on validation, and once on the sealed part: scores with intervals, paired."""

import math
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from automed.artefacts import FULL, Artefact
from automed.data.dataset import Dataset
from automed.data.splits import Sealed
from automed.exporters import outputs
from automed.finalists import Finalist
from automed.measure import intervals
from automed.measure.intervals import Scored
from automed.problems import Problem, sign
from automed.report.results import Comparison, File, Interval, Model
from automed.trial import SEARCH


class Judge:
    """Scores every file on one set of bootstrap draws a part, so that any two can be paired."""

    def __init__(
        self, problem: Problem, score: str, seed: int, val: Dataset, finalists: Iterable[Finalist]
    ) -> None:
        self._problem, self._score, self._seed = problem, score, seed
        self._better = sign(problem, score)
        self._val = _Part(problem, val, seed)
        self._sealed: _Part | None = None
        for f in finalists:
            for file in f.files:
                self._val.see(f.name, file, file.validation)

    @property
    def scores(self) -> dict[str, float]:
        """Name to validation score."""
        return {name: scored.values[self._score] for name, scored in self._val.models.items()}

    @property
    def resampled_by(self) -> str:
        """What the intervals draw, in a word; "sample" if they do so on any part."""
        parts = [self._val] if self._sealed is None else [self._val, self._sealed]
        words = [part.drawn_by for part in parts]
        return "sample" if "sample" in words else words[0]

    def not_worse(self, models: list[Finalist]) -> list[Finalist]:
        """Those whose validation score is not significantly worse than that of the best.

        That is: the 95 % interval of the paired difference reaches zero.
        """
        scores, scored = self.scores, self._val.models
        best = scored[max(models, key=lambda f: self._better * scores[f.name]).name]
        behind = [scored[f.name].minus(best, self._score) for f in models]
        return [
            f
            for f, bounds in zip(models, behind, strict=True)
            if max(self._better * bound for bound in bounds) >= 0
        ]

    def lost(self, f: Finalist, file: Artefact) -> float:
        """How much worse a file's validation score is than that of its model's fp32 file."""
        self._val.see(f.name, file, file.validation)
        return -self._better * self._val.change(f, file, self._score)[0]

    def open(self, sealed: Sealed, models: Iterable[Finalist]) -> None:
        """Score models on the sealed part: once, when everything has been decided."""
        part = sealed.open()
        self._sealed = _Part(self._problem, part, self._seed + 1)
        for f in models:
            for file in f.files:
                self._sealed.see(f.name, file, outputs(file.runner, part.given))

    def model(
        self,
        f: Finalist,
        costs: Mapping[str, float],
        files: tuple[File, ...] = (),
    ) -> Model:
        """A finalist as the report shows it."""
        first = f.files[0]
        return Model(
            name=f.name,
            origin=f.origin,
            trial=f.trial,
            family=f.family,
            validation=_intervals(self._val.models[f.name]),
            sealed=_intervals(self._sealed.models[f.name]) if self._sealed else {},
            costs=costs,
            artefact=files[0].path if files else None,
            files=files,
            verified=None
            if first.max_difference is None
            else {"max_difference": first.max_difference, "samples": len(first.validation)},
            config=f.config,
        )

    def file(self, f: Finalist, file: Artefact, path: str, costs: Mapping[str, float]) -> File:
        """A finalist's file as the report shows it."""

        def told(part: _Part | None) -> Interval | None:
            scored = part.files[f.name, file.label] if part else None
            return _intervals(scored).get(self._score)

        def change(part: _Part | None) -> Interval | None:
            known = part is not None and file.precision != FULL
            return _interval(part.change(f, file, self._score)) if part and known else None

        return File(
            target=file.target,
            precision=file.precision,
            how=file.how,
            path=path,
            costs=costs,
            max_difference=file.max_difference,
            validation=told(self._val),
            sealed=told(self._sealed),
            change=change(self._val),
            sealed_change=change(self._sealed),
        )

    def comparisons(self, models: tuple[Model, ...]) -> tuple[Comparison, ...]:
        """Every model of the front against every baseline on the sealed part, paired."""
        if self._sealed is None:
            return ()
        scored = self._sealed.models
        return tuple(
            Comparison(
                model=ours.name,
                baseline=other.name,
                difference=difference,
                speedup=other.costs["latency_ms"] / ours.costs["latency_ms"],
            )
            for ours in models
            for other in models
            if ours.origin == SEARCH and other.origin != SEARCH
            if (difference := _interval(scored[ours.name].minus(scored[other.name], self._score)))
        )


class _Part:
    """What files score on one part, and what their models do: as their first files."""

    def __init__(self, problem: Problem, part: Dataset, seed: int) -> None:
        self._problem, self._truth = problem, part.truth
        self._draws = intervals.weights(len(part), part.groups, seed)
        self.drawn_by = part.grouped_by if intervals.by_group(part.groups) else "sample"
        self.files: dict[tuple[str, str], Scored] = {}
        self.models: dict[str, Scored] = {}

    def see(self, name: str, file: Artefact, given: NDArray[np.float32]) -> None:
        scored = Scored.of(self._problem, given, self._truth, self._draws)
        self.files[name, file.label] = scored
        self.models.setdefault(name, scored)

    def change(self, f: Finalist, file: Artefact, score: str) -> tuple[float, float, float]:
        """A file's score minus that of the fp32 file on its target, paired."""
        full = self.files[f.name, file.target]
        return self.files[f.name, file.label].minus(full, score)


def _intervals(scored: Scored | None) -> dict[str, Interval]:
    every = {} if scored is None else scored.intervals()
    return {name: it for name, bounds in every.items() if (it := _interval(bounds))}


def _interval(bounds: tuple[float, float, float]) -> Interval | None:
    """None for what is undefined on a part, a correlation with a constant say: it is not told."""
    return Interval(*bounds) if all(map(math.isfinite, bounds)) else None
