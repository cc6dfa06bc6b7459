"""Optuna's samplers as strategies, over Optuna's own ask-and-tell interface."""

import statistics
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from automed.space import Choice, Integer, Parameter, Real, Space
from automed.task import Direction
from automed.trial import Outcome, Trial

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution


class Row(NamedTuple):
    """A sampler: Optuna's class, its arguments, and what it is good for."""

    sampler: str
    arguments: dict[str, Any]
    summary: str


# Populations and start-up phases are sized for searches of tens of trials: with Optuna's own 50, a
# whole search would be NSGA-II's first generation.
ALGORITHMS = {
    "random": Row("RandomSampler", {}, "Optuna's independent random sampling."),
    "tpe": Row(
        "TPESampler",
        {"multivariate": True, "group": True, "n_startup_trials": 8},
        "Tree-structured Parzen estimators, multivariate: good from some 20 trials on.",
    ),
    "nsga2": Row(
        "NSGAIISampler",
        {"population_size": 12},
        "Non-dominated sorting genetic algorithm: for hundreds of cheap trials.",
    ),
    "gp": Row(
        "GPSampler",
        {"n_startup_trials": 8, "warn_independent_sampling": False},
        "Gaussian processes: for few, costly trials; asking takes over a second.",
    ),
}


def make(
    algorithm: str,
    space: Space,
    objectives: Mapping[str, Direction],
    *,
    epochs: int,
    seed: int,
    first: int,
) -> "OptunaStrategy":
    """See `Maker.make`."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    row = ALGORITHMS[algorithm]
    with warnings.catch_warnings(action="ignore"):  # "group is experimental", and the like
        sampler = getattr(optuna.samplers, row.sampler)(seed=seed, **row.arguments)
    return OptunaStrategy(sampler, space, objectives, epochs=epochs, first=first)


class OptunaStrategy:
    """One sampler over an in-memory study; the record on disk is another one.

    An infeasible trial is told as complete with its constraints broken. Its score was never
    measured: it stands in with the median of the scores seen, which neither lures a sampler nor
    repels it, while its costs are the measured ones. A failed trial is told as failed.
    """

    def __init__(
        self,
        sampler: "optuna.samplers.BaseSampler",
        space: Space,
        objectives: Mapping[str, Direction],
        *,
        epochs: int,
        first: int,
    ) -> None:
        import optuna

        self._distributions = {name: distribution(p) for name, p in space.items()}
        self._objectives = tuple(objectives)
        self._epochs = epochs
        self._study = optuna.create_study(sampler=sampler, directions=list(objectives.values()))
        self._pending: dict[int, optuna.trial.Trial] = {}
        self._next = first
        self._seen: dict[str, list[float]] = {name: [] for name in objectives}

    def ask(self) -> Trial:
        """The sampler's next point, at full fidelity."""
        with warnings.catch_warnings(action="ignore"):
            asked = self._study.ask(self._distributions)
        trial = Trial(self._next, asked.params["family"], asked.params, self._epochs)
        self._pending[trial.number] = asked
        self._next += 1
        return trial

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        """Hand the outcome to the sampler; a lower fidelity than asked for is no outcome yet."""
        import optuna

        self._next = max(self._next, trial.number + 1)
        if outcome.failure is None and outcome.feasible and not outcome.finished:
            return
        state, values = optuna.trial.TrialState.FAIL, None
        if outcome.failure is None:
            state = optuna.trial.TrialState.COMPLETE
            values = [self._value(name, outcome) for name in self._objectives]
        told = self._pending.pop(trial.number, None) or self._past(trial, state, values)
        for limit, violation in outcome.violations.items():
            told.set_constraint(limit, violation)
        if isinstance(told, optuna.trial.FrozenTrial):
            self._study.add_trial(told)
            return
        with warnings.catch_warnings(action="ignore"):
            self._study.tell(told, values, state)

    def _past(
        self, trial: Trial, state: "optuna.trial.TrialState", values: list[float] | None
    ) -> "optuna.trial.FrozenTrial":
        """A trial that was never asked for, as a study takes it from elsewhere."""
        import optuna

        known = {name: d for name, d in self._distributions.items() if name in trial.point}
        return optuna.trial.create_trial(
            state=state,
            values=values,
            params={name: trial.point[name] for name in known},
            distributions=known,
        )

    def _value(self, name: str, outcome: Outcome) -> float:
        try:
            value = outcome.value(name)
        except KeyError:
            return statistics.median(self._seen[name]) if self._seen[name] else 0.0
        self._seen[name].append(value)
        return value

    def relative_space(self) -> set[str]:
        """Names the sampler models together; the others it would draw independently."""
        study = self._study
        sampler, frozen = study.sampler, study.trials[-1]
        return set(sampler.infer_relative_search_space(study, frozen))


def distribution(parameter: Parameter) -> "BaseDistribution":
    """Optuna's word for a parameter."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match parameter:
        case Choice(options):
            return CategoricalDistribution(options)
        case Integer(low, high, step):
            return IntDistribution(low, high, step=step)
        case Real(low, high, log):
            return FloatDistribution(low, high, log=log)
