"""NNI's tuners as strategies, in this process, without its web server and its dispatcher."""

import importlib
import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from automed.space import Choice, Integer, Joint, Parameter, Point, Real, Value
from automed.strategies.scalarisation import Scalarisation
from automed.task import Direction
from automed.trial import Outcome, Trial


class Row(NamedTuple):
    """A tuner: NNI's module and class, its arguments, and what it is good for."""

    module: str
    tuner: str
    arguments: dict[str, Any]
    summary: str


# A population is sized for searches of tens of trials, as in optuna_samplers; all else is NNI's.
ALGORITHMS = {
    "tpe": Row(
        "tpe_tuner",
        "TpeTuner",
        {"optimize_mode": "minimize"},
        "NNI's Parzen estimators, a parameter at a time, after 20 random trials.",
    ),
    "evolution": Row(
        "evolution_tuner",
        "EvolutionTuner",
        {"optimize_mode": "minimize", "population_size": 12},
        "NNI's naive evolution: the better of two is mutated; several objectives as one.",
    ),
    "random": Row("random_tuner", "RandomTuner", {}, "NNI's random sampling, without repeats."),
    "grid": Row(
        "gridsearch_tuner",
        "GridSearchTuner",
        {},
        "NNI's grid, ever finer: for spaces small enough to be tried in full.",
    ),
}

_ONE_SEARCHER = "it starts and ends trials itself and cannot be asked; take optuna:tpe"
REFUSED = {
    "anneal": "the hyperopt 0.1.2 it pins fails on numpy 2; take nni:tpe",
    "gp": "it starts SciPy's optimiser from a matrix, which SciPy refuses; take optuna:gp",
    "metis": "it starts SciPy's optimiser from a matrix, which SciPy refuses; take optuna:gp",
    "smac": "it needs smac4nni, a fork that NNI does not install; take optuna:tpe",
    "dngo": "it needs pybnn, which NNI does not install; take optuna:gp",
    "bohb": f"{_ONE_SEARCHER} --stopping halving",
    "hyperband": f"{_ONE_SEARCHER} --stopping halving",
    "pbt": "it hands weights from trial to trial within one architecture; take nni:evolution",
    "ppo": "it needs gym, which NNI does not install; take nni:evolution",
    "regularized-evolution": "it takes NNI's own supernets alone; take nni:evolution",
    "network-morphism": "it grows networks of its own, not points of a space; take nni:evolution",
    "batch": "it repeats a list of points that you write; take nni:grid",
}


def make(
    algorithm: str,
    space: Joint,
    objectives: Mapping[str, Direction],
    *,
    rungs: Sequence[int],
    seed: int,
    first: int,
) -> "NniStrategy":
    """See `Maker.make`."""
    return NniStrategy(algorithm, space, objectives, epochs=rungs[-1], seed=seed, first=first)


class NniStrategy:
    """One tuner; several objectives reach it as one loss, see `Scalarisation`.

    Every trial is asked for a trade-off of its own, and before it is, all that the tuner knows is
    judged anew by that trade-off.

    What only one family declares is searched under that family's branch of NNI's nested space; in
    a point of another family it stands at its first value, and is ignored. Options are searched by
    their position. Random numbers come from the seed and the trial's number, so that a strategy
    rebuilt from the record asks what the first would have asked. Of the tuners `tpe` and `random`
    take a seed; `evolution` draws from Python's global generator, which is lent to it for the call,
    and `grid` draws nothing.
    """

    def __init__(
        self,
        algorithm: str,
        space: Joint,
        objectives: Mapping[str, Direction],
        *,
        epochs: int,
        seed: int,
        first: int,
    ) -> None:
        self._space, self._epochs, self._seed = space, epochs, seed
        self._own = {family: space.own(family) for family in space.declared}
        self._nested = {name: family for family, names in self._own.items() for name in names}
        self._scalarisation = Scalarisation(objectives)
        self._next = first
        self._pending: set[int] = set()
        self._learnt: dict[int, Mapping[Any, float]] = {}
        self._tuner = self._made(ALGORITHMS[algorithm])

    def ask(self) -> Trial | None:
        """The tuner's next point, or None when it has none left or waits to be told."""
        if not self._waits():
            self._judge_anew(self._next)
            with self._drawing(f"ask {self._next}"):
                config = self._generated(self._next)
            if config is not None:
                point = self._point(config)
                self._pending.add(self._next)
                self._next += 1
                return Trial(self._next - 1, str(point["family"]), point, self._epochs)
        return None

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        """Hand the loss to the tuner; a lower fidelity than asked for is no outcome yet."""
        self._next = max(self._next, trial.number + 1)
        self._adopt(trial)
        self._pending.add(trial.number)
        if not outcome.settled:
            return
        self._pending.discard(trial.number)
        works = outcome.failure is None
        with self._drawing(f"tell {trial.number}"):
            if works:
                self._scalarisation.see(trial.number, outcome)
                self._learn(trial)
            self._tuner.trial_end(trial.number, works)

    def _made(self, row: Row) -> Any:
        """The tuner with its space, silent."""
        import nni

        nni.silence_stdout()
        logging.getLogger("nni").setLevel(logging.ERROR)
        tuner = getattr(importlib.import_module(f"nni.algorithms.hpo.{row.module}"), row.tuner)
        made = tuner(**row.arguments)
        made.update_search_space(self._searched())
        if hasattr(made, "population"):  # drawn from a generator that takes no seed: draw it again
            made.population.clear()
            self._tuner = made
            with self._drawing("first"):
                for _ in range(made.population_size):
                    made._random_generate_individual()
        return made

    @contextmanager
    def _drawing(self, step: str) -> Iterator[None]:
        """Every generator the tuner may draw from starts from the seed and a step's name."""
        import numpy as np

        entropy = random.Random(f"{self._seed}/{step}").randrange(2**32)
        if hasattr(self._tuner, "rng"):
            self._tuner.rng = np.random.default_rng(entropy)
        if hasattr(self._tuner, "random_state"):
            self._tuner.random_state = np.random.RandomState(entropy)
        everyone = random.getstate()
        random.seed(entropy)
        try:
            yield
        finally:
            random.setstate(everyone)

    def _generated(self, number: int) -> Mapping[str, Any] | None:
        import nni

        try:
            config: Mapping[str, Any] = self._tuner.generate_parameters(number)
        except nni.NoMoreTrialError:
            return None
        return config

    def _waits(self) -> bool:
        """Whether the whole population is being evaluated."""
        return getattr(self._tuner, "population", None) == []

    def _adopt(self, trial: Trial) -> None:
        """Make the tuner believe that it asked this trial.

        Whole numbers that it did ask lay between two steps: it learns the step they stand for.
        """
        from nni.common.hpo_utils import format_parameters

        tuner, config = self._tuner, self._config(trial.point)
        if hasattr(tuner, "running_trials"):  # evolution
            if trial.number not in self._pending and not self._waits():
                self._judge_anew(trial.number)
                with self._drawing(f"ask {trial.number}"):
                    self._generated(trial.number)  # whose place this one takes
            tuner.running_trials[trial.number] = _evolution_individual(self._indexed(config))
        elif hasattr(tuner, "grid"):
            tuner.import_data([{"parameter": config}])
        else:
            formatted = format_parameters(config, tuner.space)
            tuner.dedup.add_history(formatted)
            if hasattr(tuner, "_running_params"):  # tpe
                tuner._running_params[trial.number] = formatted

    def _learn(self, trial: Trial) -> None:
        """Tell the tuner that a trial has ended; what it is worth is judged at every ask."""
        params = getattr(self._tuner, "_running_params", {}).get(trial.number)
        self._tuner.receive_trial_result(trial.number, self._config(trial.point), 0.0)
        if params is not None:
            self._learnt[trial.number] = params
        if hasattr(self._tuner, "population"):
            self._tuner.population[-1].info = trial.number

    def _judge_anew(self, number: int) -> None:
        """Judge all that the tuner knows for the trade-off of the trial it is asked for."""
        tuner, losses = self._tuner, self._scalarisation.losses(number)
        for individual in getattr(tuner, "population", ()):
            if individual.result is not None:
                individual.result = -losses[individual.info]
        if self._learnt:
            from nni.algorithms.hpo.tpe_tuner import Record

            tuner._history.clear()
            for known, params in self._learnt.items():
                for key, value in params.items():
                    tuner._history[key].append(Record(value, losses[known]))
            tuner.liar._best = min(losses.values())

    def _searched(self) -> dict[str, Any]:
        """The joint space in NNI's words."""
        branches = [
            {"_name": str(i), **{n: _distribution(self._space[n]) for n in self._own[f]}}
            for i, f in enumerate(map(str, _options(self._space["family"])))
        ]
        shared = {n: _distribution(p) for n, p in self._space.items() if n not in self._nested}
        return shared | {"family": {"_type": "choice", "_value": branches}}

    def _point(self, config: Mapping[str, Any]) -> dict[str, Value]:
        """A point of the joint space from what the tuner gave."""
        branch = config["family"]
        family = str(_options(self._space["family"])[int(branch["_name"])])
        given = {**config, **branch}
        given["family"] = branch["_name"]
        return {
            n: _value(p, given[n]) if self._nested.get(n, family) == family else p.ends[0]
            for n, p in self._space.items()
        }

    def _config(self, point: Point) -> dict[str, Any]:
        """What the tuner would have given for a point; the inverse of `_point`."""
        family = str(point["family"])
        place = _options(self._space["family"]).index(family)
        branch = {n: _coded(self._space[n], point[n]) for n in self._own[family]}
        shared = {
            n: _coded(p, point[n])
            for n, p in self._space.items()
            if n not in self._nested and n != "family"
        }
        return shared | {"family": {"_name": str(place), **branch}}

    def _indexed(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A config as evolution keeps it: every choice with its index."""
        family = dict(config["family"])
        place = int(family.pop("_name"))
        inside = {n: _with_index(self._space[n], v) for n, v in family.items()}
        shared = {n: _with_index(self._space[n], v) for n, v in config.items() if n != "family"}
        branch = {"_name": str(place), **inside}
        return shared | {"family": {"_index": place, "_value": branch}}


def _evolution_individual(config: dict[str, Any]) -> Any:
    from nni.algorithms.hpo.evolution_tuner import Individual

    return Individual(config=config)


def _options(parameter: Parameter) -> tuple[Value, ...]:
    assert isinstance(parameter, Choice)
    return parameter.options


def _steps(parameter: Integer) -> int:
    """How many values it has."""
    return (parameter.high - parameter.low) // parameter.step + 1


def _distribution(parameter: Parameter) -> dict[str, Any]:
    """NNI's word for a parameter: options by position, whole numbers by steps from the lowest."""
    match parameter:
        case Choice(options):
            return {"_type": "choice", "_value": list(range(len(options)))}
        case Integer():
            ends = [-0.499, _steps(parameter) - 0.501, 1]  # every step is as wide as the others
            return {"_type": "quniform", "_value": ends}
        case Real(low, high, log):
            return {"_type": "loguniform" if log else "uniform", "_value": [low, high]}


def _value(parameter: Parameter, given: Any) -> Value:
    """The value behind what a tuner gave, as a plain Python one."""
    match parameter:
        case Choice(options):
            return options[int(given)]
        case Integer(low, _, step):
            return low + step * min(max(round(float(given)), 0), _steps(parameter) - 1)
        case Real(low, high):
            return min(max(float(given), low), high)


def _coded(parameter: Parameter, value: Value) -> float:
    """What a tuner would have given for a value; the inverse of `_value`."""
    match parameter:
        case Choice():
            return parameter.position(value)
        case Integer(low, _, step):
            return float((int(value) - low) // step)
        case Real():
            return float(value)


def _with_index(parameter: Parameter, coded: float) -> Any:
    return {"_index": coded, "_value": coded} if isinstance(parameter, Choice) else coded
