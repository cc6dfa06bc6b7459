"""NNI's assessors as stopping rules: they judge the learning curve of the score alone."""

import importlib
import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from automed.errors import StrategyError
from automed.task import Direction, is_cost
from automed.trial import Outcome, Trial

STAGES = 4
"""Trials are judged after each of so many equal stretches of a full training but the last."""


class Row(NamedTuple):
    """An assessor: NNI's module and class, and what it is good for."""

    module: str
    assessor: str
    summary: str


ALGORITHMS = {
    "medianstop": Row(
        "medianstop_assessor",
        "MedianstopAssessor",
        "NNI: stops what is worse than the median of the completed trials' curves.",
    ),
    "curvefitting": Row(
        "curvefitting_assessor",
        "CurvefittingAssessor",
        "NNI: stops what is forecast to end below 0.95 of the best; from six epochs on.",
    ),
}


def make(algorithm: str, objectives: Mapping[str, Direction], *, rungs: Sequence[int]) -> "NniRule":
    """See `Maker.make`."""
    return NniRule(algorithm, objectives, epochs=rungs[-1])


class NniRule:
    """One assessor, told the curve of the score at every stage."""

    def __init__(self, algorithm: str, objectives: Mapping[str, Direction], *, epochs: int) -> None:
        self._score = next(name for name in objectives if not is_cost(name))
        mode = objectives[self._score]
        if algorithm == "curvefitting" and mode == "minimize":
            raise StrategyError(
                f"nni:curvefitting takes scores that grow, and {self._score} is to be minimised; "
                "take nni:medianstop or halving"
            )
        stages = {math.ceil(epochs * k / STAGES) for k in range(1, STAGES)}
        self.rungs = tuple(sorted(stages - {epochs}))
        import nni

        nni.silence_stdout()
        row = ALGORITHMS[algorithm]
        module = importlib.import_module(f"nni.algorithms.hpo.{row.module}")
        for name in ("nni", "medianstop_Assessor", "curvefitting_Assessor"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        arguments: dict[str, Any] = (
            {"epoch_num": epochs} if algorithm == "curvefitting" else {"optimize_mode": mode}
        )
        self._assessor = getattr(module, row.assessor)(**arguments)

    def goes_on(self, trial: Trial, outcome: Outcome, rung: int) -> bool:
        """Whether the assessor does not find it bad; what it cannot judge goes on."""
        from nni.assessor import AssessResult

        curve = self._curve(outcome)[:rung]
        if not curve:
            return True
        with warnings.catch_warnings(action="ignore"):  # of the fits that do not converge
            verdict = self._assessor.assess_trial(trial.number, curve)
        return bool(verdict != AssessResult.Bad)

    def ended(self, trial: Trial, outcome: Outcome) -> None:
        """Its whole curve is what others are measured by."""
        curve = self._curve(outcome)
        if not curve:
            return
        if hasattr(self._assessor, "_update_data"):
            self._assessor._update_data(trial.number, curve)
        else:
            self._assessor.trial_history = curve
        self._assessor.trial_end(trial.number, True)

    def _curve(self, outcome: Outcome) -> list[float]:
        return [float(epoch[self._score]) for epoch in outcome.curve if self._score in epoch]
