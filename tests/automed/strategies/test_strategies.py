"""One contract for every strategy that the registry knows, and what Optuna's samplers owe it."""

import math
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import mean

import optuna
import pytest
from optuna.trial import TrialState
from toy_search import InProcess, Log, each_strategy

from automed import loop, registry
from automed.front import hypervolume
from automed.record import Record
from automed.space import Choice, Integer, Joint, Real, Space, joint
from automed.strategies import Strategy
from automed.strategies.optuna_samplers import ALGORITHMS, OptunaStrategy
from automed.task import Direction
from automed.trial import Outcome, Trial

OBJECTIVES: Mapping[str, Direction] = {"auc": "maximize", "latency_ms": "minimize"}
DIRECTIONS = tuple(OBJECTIVES.values())
REFERENCE = (0.4, 2.0)
FULL = 4
RUNGS = (1, 2, FULL)
ENOUGH = 9
"""Trials after which every sampler has left its start-up phase and models what it saw."""
BASIC: Space = {
    "width": Integer(4, 32, 4),
    "rate": Real(1e-4, 1e-1, log=True),
    "flag": Choice((True, False)),
}


def shared(space: Space) -> Joint:
    """Two families that read the same parameters."""
    return joint(dict.fromkeys(("wide", "deep"), space))


SPACE = shared(BASIC)
HARDER = shared(
    {
        **BASIC,
        "depth": Integer(1, 4),
        "kernel": Choice((3, 5)),
        **{f"attention.{i}": Choice(("none", "se", "eca")) for i in range(4)},
    }
)
TINY = shared({"width": Integer(1, 3)})
NESTED = joint(
    {
        "wide": {"width": Integer(4, 32, 4), "flag": Choice((True, False)), "rate": Real(0.1, 0.5)},
        "deep": {"width": Integer(4, 32, 4), "depth": Integer(1, 3), "kernel": Choice((3, 5))},
    }
)
SEEDLESS = ("nni:grid",)
"""Strategies that draw nothing, so that every seed asks alike."""
strategies = each_strategy(registry.names("strategy"))
samplers = each_strategy(f"optuna:{n}" for n in ALGORITHMS)
several = each_strategy(f"optuna:{n}" for n, row in ALGORITHMS.items() if not row.one_objective)


def make(
    name: str,
    space: Joint = SPACE,
    *,
    seed: int = 0,
    first: int = 0,
    objectives: Mapping[str, Direction] = OBJECTIVES,
) -> Strategy:
    maker = registry.part("strategy", name)
    made: Strategy = maker.make(
        name.partition(":")[2], space, objectives, rungs=RUNGS, seed=seed, first=first
    )
    return made


def optuna_strategy(
    name: str,
    space: Joint = SPACE,
    *,
    seed: int = 0,
    objectives: Mapping[str, Direction] = OBJECTIVES,
) -> OptunaStrategy:
    made = make(name, space, seed=seed, objectives=objectives)
    assert isinstance(made, OptunaStrategy)
    return made


def decoded(strategy: OptunaStrategy, params: Mapping[str, object]) -> Mapping[str, object]:
    return {name: strategy._decoded(name, value) for name, value in params.items()}


def asked(strategy: Strategy) -> Trial:
    trial = strategy.ask()
    assert trial is not None
    return trial


def toy(trial: Trial) -> Outcome:
    """Width, depth and the better options buy score; width, depth and the flag cost latency."""
    point = trial.point
    width, depth = int(point["width"]) / 32, int(point.get("depth", 4)) / 4
    misses = mean([point.get(f"attention.{i}", "se") != "se" for i in range(4)])
    score = 1 - 0.4 * (1 - width) * (1 - depth) - 0.2 * misses - 0.1 * (trial.family == "deep")
    score -= 0.05 * abs(math.log10(float(point["rate"])) + 2)
    latency = 0.05 + width * depth * (1 + (point.get("kernel") == 5)) * (1 + bool(point["flag"]))
    return Outcome(
        scores={"auc": score},
        costs={"latency_ms": latency},
        violations={"latency_ms": latency / 5 - 1, "macs": -0.5},
        finished=True,
        epochs=trial.epochs,
    )


EVERY = tuple(
    n for n in registry.names("family") if "classification" in registry.family(n).problems
)
FAILED = Outcome(failure="out of memory")
INFEASIBLE = Outcome(costs={"latency_ms": 9.0}, violations={"latency_ms": 3.5, "macs": -0.2})
PAUSED = Outcome(
    scores={"auc": 0.6},
    costs={"latency_ms": 1.0},
    violations={"latency_ms": -0.8, "macs": -0.5},
    epochs=1,
)


@strategies
def test_points_lie_in_the_joint_space(name: str) -> None:
    strategy = make(name)
    for _ in range(ENOUGH):
        trial = asked(strategy)
        assert trial.point.keys() == SPACE.keys()
        assert all(trial.point[n] in parameter for n, parameter in SPACE.items()), trial.point
        assert trial.family == trial.point["family"]
        assert 0 <= trial.epochs <= FULL
        strategy.tell(trial, toy(trial))


@strategies
def test_points_lie_in_the_joint_space_of_all_families(name: str) -> None:
    space = registry.space(EVERY, "classification")
    strategy = make(name, space)
    for _ in range(3):
        trial = asked(strategy)
        assert registry.family(trial.family).within(trial.point)
        strategy.tell(trial, replace(PAUSED, finished=True))


@strategies
def test_numbers_begin_where_they_are_told_to(name: str) -> None:
    strategy = make(name, first=5)
    assert [asked(strategy).number for _ in range(4)] == [5, 6, 7, 8]


@strategies
def test_equal_seeds_ask_alike(name: str) -> None:
    def points(seed: int, number: int = ENOUGH) -> list[Trial]:
        strategy, trials = make(name, seed=seed), []
        for _ in range(number):
            trials.append(asked(strategy))
            strategy.tell(trials[-1], toy(trials[-1]))
        return trials

    assert points(1) == points(1)
    assert (points(1, 3) == points(2, 3)) == (name in SEEDLESS)


@strategies
def test_any_outcome_in_any_order_leaves_it_asking(name: str) -> None:
    strategy, rng = make(name), random.Random(0)
    pending: list[Trial] = []
    numbers: set[int] = set()
    for step in range(2 * ENOUGH):
        if step < ENOUGH:
            pending.append(asked(strategy))
            assert pending[-1].number not in numbers
            numbers.add(pending[-1].number)
        if step % 3 or step >= ENOUGH:
            if not pending:
                break
            trial = pending.pop(rng.randrange(len(pending)))
            for outcome in ([FAILED], [INFEASIBLE], [PAUSED, toy(trial)], [toy(trial)])[step % 4]:
                strategy.tell(trial, outcome)
    assert not pending
    assert asked(strategy).number not in numbers


@strategies
@pytest.mark.parametrize("outcome", [FAILED, INFEASIBLE], ids=["failed", "infeasible"])
def test_it_asks_on_when_nothing_ever_works(name: str, outcome: Outcome) -> None:
    strategy = make(name)
    for _ in range(ENOUGH):
        strategy.tell(asked(strategy), outcome)
    trial = asked(strategy)
    assert all(trial.point[n] in parameter for n, parameter in SPACE.items())


def shown(trial: Trial) -> Outcome:
    """Of every kind, by the trial's number."""
    return (INFEASIBLE, toy(trial), toy(trial), FAILED, toy(trial))[trial.number % 5]


@strategies
def test_rebuilt_from_the_record_it_asks_what_it_would_have_asked(name: str) -> None:
    starts = [replace(asked(make("random", seed=9)), number=n) for n in range(2)]

    def rebuilt(past: list[Trial]) -> Strategy:
        strategy = make(name, first=2)
        for trial in past:
            strategy.tell(trial, shown(trial))
        return strategy

    first, past = rebuilt(starts), list(starts)
    for _ in range(2 * ENOUGH):
        past.append(asked(first))
        first.tell(past[-1], shown(past[-1]))
    again = rebuilt(past)
    for _ in range(3):
        trial = asked(again)
        assert trial == asked(first)
        first.tell(trial, toy(trial))
        again.tell(trial, toy(trial))


@strategies
def test_rebuilt_after_a_crash_it_goes_on_with_new_numbers(name: str) -> None:
    first = make(name, first=2)
    past = [asked(first) for _ in range(ENOUGH)]
    told = [(t, shown(t)) for t in past]
    told[4] = (past[4], PAUSED)
    rebuilt = make(name, first=2)
    for trial, outcome in told[:-1]:  # the last was running when the search was killed
        rebuilt.tell(trial, outcome)
    ahead = [asked(rebuilt) for _ in range(2)]
    known = {t.number for t, _ in told[:-1]}
    assert [t.number for t in ahead] == [max(known) + 1, max(known) + 2]
    assert all(t.point not in [p.point for p in past[:-1]] for t in ahead)
    for trial in ahead:
        rebuilt.tell(trial, toy(trial))
    rebuilt.tell(past[4], toy(past[4]))
    assert asked(rebuilt).number == max(known) + 3


@strategies
def test_a_space_that_is_tried_in_full_ends_the_search(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "MAX_REPEATS", 20)
    evaluated: list[Mapping[str, object]] = []

    def evaluate(trial: Trial) -> Outcome:
        evaluated.append(trial.point)
        return toy(replace(trial, point={**trial.point, "rate": 0.01, "flag": True}))

    loop.run(
        strategy=make(name, TINY),
        executor=InProcess(),
        evaluate=evaluate,
        record=Record.create(tmp_path / "run", "tiny", OBJECTIVES, {}),
        space=TINY,
        key=lambda t: str(sorted(t.point.items())),
        budget=loop.Budget(trials=100, epochs=FULL),
        watch=Log(),
    )
    distinct = {str(sorted(point.items())) for point in evaluated}
    assert 5 <= len(distinct) == len(evaluated) <= 6


@strategies
def test_what_another_family_alone_declares_is_of_no_account(name: str) -> None:
    """Every point is whole, of every family, and known again when it is told unasked."""
    strategy, other = make(name, NESTED), make(name, NESTED)
    families = set()
    for _ in range(2 * ENOUGH):
        trial = asked(strategy)
        assert trial.point.keys() == NESTED.keys()
        assert all(trial.point[n] in parameter for n, parameter in NESTED.items()), trial.point
        assert all(type(v) in (str, int, float, bool) for v in trial.point.values())
        families.add(trial.family)
        outcome = replace(
            PAUSED, finished=True, scores={"auc": 0.5 + int(trial.point["width"]) / 64}
        )
        strategy.tell(trial, outcome)
        other.tell(trial, outcome)
    assert asked(strategy).point == asked(other).point
    assert families <= {"wide", "deep"}


@strategies
@pytest.mark.parametrize("number", [1, 3])
def test_as_many_objectives_as_there_are(name: str, number: int) -> None:
    objectives: dict[str, Direction] = {"auc": "maximize", "latency_ms": "minimize"}
    objectives = dict([*objectives.items(), ("size_bytes", "minimize")][:number])
    strategy = make(name, objectives=objectives)
    for _ in range(ENOUGH):
        trial = asked(strategy)
        outcome = toy(trial)
        strategy.tell(trial, replace(outcome, costs={**outcome.costs, "size_bytes": trial.number}))
    assert asked(strategy).number == ENOUGH


@samplers
def test_every_dimension_is_modelled_together(name: str) -> None:
    space = registry.space(EVERY, "classification")
    strategy = optuna_strategy(name, space)
    for number in range(6):
        trial = asked(strategy)
        outcome = INFEASIBLE if number % 3 == 2 else replace(PAUSED, finished=True)
        strategy.tell(trial, outcome)
    modelled = strategy.relative_space()
    if isinstance(strategy._study.sampler, optuna.samplers.RandomSampler):
        assert not modelled
    else:
        assert modelled == space.keys()


@several
def test_what_optuna_is_told(name: str) -> None:
    strategy = optuna_strategy(name)
    trials = [asked(strategy) for _ in range(5)]
    complete = [toy(trials[0]), toy(trials[1])]
    for trial, outcome in zip(trials, [*complete, INFEASIBLE, FAILED, PAUSED], strict=True):
        strategy.tell(trial, outcome)
    told = strategy._study.get_trials()
    assert [t.state for t in told] == [
        *(TrialState.COMPLETE,) * 3,
        TrialState.FAIL,
        TrialState.RUNNING,
    ]
    assert [decoded(strategy, t.params) for t in told] == [t.point for t in trials]
    for frozen, outcome in zip(told, complete, strict=False):
        assert frozen.values == [outcome.value(n) for n in OBJECTIVES]
    middle = mean(o.value("auc") for o in complete)
    assert told[2].values == pytest.approx([middle, INFEASIBLE.value("latency_ms")])
    assert told[2].constraints == INFEASIBLE.violations
    assert max(told[2].constraints.values()) > 0
    assert 2 not in [t.number for t in strategy._study.best_trials]


@several
def test_what_stands_in_before_the_first_score_is_told_anew(name: str) -> None:
    """A score of 0 would be perfect for an error, and hopeless for an AUC."""
    objectives: dict[str, Direction] = {"mae": "minimize", "latency_ms": "minimize"}
    strategy = optuna_strategy(name, objectives=objectives)
    early, scored, running = (asked(strategy) for _ in range(3))
    strategy.tell(early, INFEASIBLE)
    strategy.tell(scored, replace(toy(scored), scores={"mae": 3.0}))
    told = {str(decoded(strategy, t.params)): t for t in strategy._study.get_trials()}
    assert [told[str(t.point)].state for t in (early, scored, running)] == [
        TrialState.COMPLETE,
        TrialState.COMPLETE,
        TrialState.RUNNING,
    ]
    assert told[str(early.point)].values == [3.0, INFEASIBLE.value("latency_ms")]
    strategy.tell(running, replace(toy(running), scores={"mae": 2.0}))
    assert len(strategy._study.get_trials(states=(TrialState.COMPLETE,))) == 3


@samplers
def test_told_without_being_asked_it_knows_the_point(name: str) -> None:
    source = asked(make("random", seed=3))
    strategy = optuna_strategy(name)
    strategy.tell(source, toy(source))
    (told,) = strategy._study.get_trials()
    assert (decoded(strategy, told.params), told.state) == (source.point, TrialState.COMPLETE)
    assert asked(strategy).point != source.point


@pytest.mark.parametrize(
    "name", ["pareto", "optuna:tpe", "optuna:nsga2", "nni:evolution", "nni:tpe"]
)
def test_sixty_trials_cover_more_than_at_random(name: str) -> None:
    def covered(name: str, seed: int) -> float:
        strategy, values = make(name, HARDER, seed=seed), []
        for _ in range(60):
            trial = asked(strategy)
            outcome = toy(trial)
            strategy.tell(trial, outcome)
            values.append([outcome.value(n) for n in OBJECTIVES])
        return hypervolume(values, DIRECTIONS, REFERENCE)

    ours = mean(covered(name, seed) for seed in range(6))
    assert ours > 1.03 * mean(covered("random", seed) for seed in range(6))


@pytest.mark.parametrize("name", ["optuna:tpe", "optuna:nsga2"])
def test_broken_limits_are_learnt(name: str) -> None:
    """Half of the widths are too slow; a sampler that minds its constraints asks fewer of them."""
    wide = 0
    for seed in range(4):
        strategy = optuna_strategy(name, HARDER, seed=seed)
        for number in range(70):
            trial = asked(strategy)
            outcome, width = toy(trial), int(trial.point["width"])
            broken = width / 16 - 1
            if broken > 0:
                outcome = replace(outcome, scores={}, finished=False)
                wide += number >= 30
            strategy.tell(trial, replace(outcome, violations={"latency_ms": broken}))
    assert wide < 0.33 * 4 * 40


def test_random_search_reaches_every_value() -> None:
    strategy = make("random")
    points = [asked(strategy).point for _ in range(300)]
    assert {p["width"] for p in points} == set(range(4, 33, 4))
    assert {p["flag"] for p in points} == {True, False}
    small = mean(float(p["rate"]) < 10**-2.5 for p in points)
    assert 0.4 < small < 0.6  # half of a log scale
