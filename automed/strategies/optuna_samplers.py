"""Optuna's samplers as strategies, over Optuna's own ask-and-tell interface."""

import random
import statistics
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from automed.space import Choice, Integer, Joint, Parameter, Real, Value
from automed.strategies.scalarisation import Scalarisation
from automed.task import Direction
from automed.trial import Outcome, Trial

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution


class Row(NamedTuple):
    """A sampler: Optuna's class, its arguments, what it is good for, and what it cannot take.

    Attributes:
        sampler: Name of the class.
        arguments: Its arguments beside the seed.
        summary: One line for lists.
        one_objective: It takes one objective: several reach it as one loss, see `Scalarisation`.
        numbers_only: It takes no categories: options are searched by their position.
        one_stream: It is one sequence of points: the seed must not change from ask to ask.
        keeps_books: It notes on a trial what it was drawn from, and overlooks trials without.
    """

    sampler: str
    arguments: dict[str, Any]
    summary: str
    one_objective: bool = False
    numbers_only: bool = False
    one_stream: bool = False
    keeps_books: bool = False


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
        keeps_books=True,
    ),
    "nsga3": Row(
        "NSGAIIISampler",
        {"population_size": 12},
        "NSGA with reference points: for three objectives and more, and hundreds of trials.",
        keeps_books=True,
    ),
    "cmaes": Row(
        "CmaEsSampler",
        {"n_startup_trials": 1, "with_margin": True, "warn_independent_sampling": False},
        "CMA-ES over options by position; several objectives as one; for hundreds of trials.",
        one_objective=True,
        numbers_only=True,
        keeps_books=True,
    ),
    "qmc": Row(
        "QMCSampler",
        {"scramble": True, "warn_independent_sampling": False},
        "Quasi-Monte Carlo (Sobol): covers the space more evenly than random sampling.",
        numbers_only=True,
        one_stream=True,
        keeps_books=True,
    ),
    "gp": Row(
        "GPSampler",
        {"n_startup_trials": 8, "warn_independent_sampling": False},
        "Gaussian processes: for few, costly trials; asking takes over a second.",
    ),
}


def make(
    algorithm: str,
    space: Joint,
    objectives: Mapping[str, Direction],
    *,
    rungs: Sequence[int],
    seed: int,
    first: int,
) -> "OptunaStrategy":
    """See `Maker.make`."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    row = ALGORITHMS[algorithm]
    return OptunaStrategy(row, space, objectives, epochs=rungs[-1], seed=seed, first=first)


class OptunaStrategy:
    """One sampler over an in-memory study; the record on disk is another one.

    An infeasible trial is told as complete with its constraints broken. Its score was never
    measured: it stands in with the median of the scores seen, which neither lures a sampler nor
    repels it, while its costs are the measured ones. As long as no score is known all stand-ins
    are equal; with the first one the study is told anew. A failed trial is told as failed.

    Random numbers come from the seed and the trial's number, so that a strategy rebuilt from the
    record asks what the first would have asked. To a sampler that takes one objective a trial is
    told by the trade-off of its own number, and stays as it was told.
    """

    def __init__(
        self,
        row: Row,
        space: Joint,
        objectives: Mapping[str, Direction],
        *,
        epochs: int,
        seed: int,
        first: int,
    ) -> None:
        self._row, self._space, self._epochs, self._seed = row, space, epochs, seed
        self._distributions = {n: distribution(self._searched(p)) for n, p in space.items()}
        self._objectives = dict(objectives)
        self._one = Scalarisation(objectives) if row.one_objective else None
        self._next = first
        self._seen: dict[str, list[float]] = {name: [] for name in objectives}
        self._early: list[tuple[Trial, Outcome]] = []
        self._pending: dict[int, optuna.trial.Trial] = {}
        self._study = self._new_study()

    def ask(self) -> Trial:
        """The sampler's next point, at full fidelity."""
        asked = self._asked(self._next)
        point = {n: self._decoded(n, value) for n, value in asked.params.items()}
        trial = Trial(self._next, str(point["family"]), point, self._epochs)
        self._pending[trial.number] = asked
        self._next += 1
        return trial

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        """Hand the outcome to the sampler; a lower fidelity than asked for is no outcome yet."""
        self._next = max(self._next, trial.number + 1)
        asked_anew = self._row.keeps_books or not outcome.settled
        if asked_anew and trial.number not in self._pending:
            point = {n: self._encoded(n, v) for n, v in trial.point.items()}
            self._pending[trial.number] = self._asked(trial.number, point)
        if not outcome.settled:
            return
        guessed = self._one is None and not all(self._seen.values())
        held = {**outcome.costs, **outcome.scores}
        for name in self._seen.keys() & held.keys():
            self._seen[name].append(float(held[name]))
        self._hand(trial, outcome)
        if guessed:
            self._early.append((trial, outcome))
            if all(self._seen.values()):
                self._tell_anew()

    def _tell_anew(self) -> None:
        """Tell the early trials to a fresh study, now that there is a score to stand in."""
        points = {number: asked.params for number, asked in self._pending.items()}
        for trial, _ in self._early:
            points[trial.number] = {n: self._encoded(n, v) for n, v in trial.point.items()}
        self._study = self._new_study()
        self._pending = {number: self._asked(number, points[number]) for number in sorted(points)}
        for trial, outcome in self._early:
            self._hand(trial, outcome)
        self._early.clear()

    def _hand(self, trial: Trial, outcome: Outcome) -> None:
        import optuna

        state, values = optuna.trial.TrialState.FAIL, None
        if outcome.failure is None:
            state, values = optuna.trial.TrialState.COMPLETE, self._values(trial, outcome)
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
            params={name: self._encoded(name, trial.point[name]) for name in known},
            distributions=known,
        )

    def _values(self, trial: Trial, outcome: Outcome) -> list[float]:
        if self._one is None:
            return [self._value(name, outcome) for name in self._objectives]
        self._one.see(trial.number, outcome)
        return [self._one.losses(trial.number)[trial.number]]

    def _value(self, name: str, outcome: Outcome) -> float:
        try:
            return outcome.value(name)
        except KeyError:
            return statistics.median(self._seen[name]) if self._seen[name] else 0.0

    def _new_study(self) -> "optuna.Study":
        import optuna

        one = self._one is not None
        return optuna.create_study(
            sampler=self._sampler("all"),
            directions=["minimize"] if one else list(self._objectives.values()),
        )

    def _sampler(self, stream: int | str) -> "optuna.samplers.BaseSampler":
        import optuna

        seed = random.Random(f"{self._seed}/{stream}").randrange(2**32)
        with warnings.catch_warnings(action="ignore"):  # "group is experimental", and the like
            made: optuna.samplers.BaseSampler = getattr(optuna.samplers, self._row.sampler)(
                seed=seed, **self._row.arguments
            )
        return made

    def _asked(self, number: int, point: Mapping[str, Any] | None = None) -> "optuna.trial.Trial":
        """Optuna's trial of a number, at the sampler's point or at one that somebody else chose."""
        if not self._row.one_stream:
            self._study.sampler = self._sampler(number)
        if point is not None:
            self._study.enqueue_trial(dict(point))
        with warnings.catch_warnings(action="ignore"):
            asked = self._study.ask()
            if self._row.keeps_books:
                _ = asked.relative_params  # drawn, and noted on the trial, even if not taken
            for name, one in self._distributions.items():
                asked._suggest(name, one)
        return asked

    def _searched(self, parameter: Parameter) -> Parameter:
        if self._row.numbers_only and isinstance(parameter, Choice):
            return Integer(0, len(parameter.options) - 1)
        return parameter

    def _decoded(self, name: str, value: Any) -> Any:
        parameter = self._space[name]
        if self._row.numbers_only and isinstance(parameter, Choice):
            return parameter.options[value]
        return value

    def _encoded(self, name: str, value: Value) -> Value:
        parameter = self._space[name]
        if self._row.numbers_only and isinstance(parameter, Choice):
            return parameter.position(value)
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
