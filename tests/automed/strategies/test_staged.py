"""Samplers that become multi-fidelity by a rule outside of them, through the real loop."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import optuna
import pytest
from toy_search import InProcess, Log

from automed import api, loop, registry
from automed.errors import StrategyError, UnknownNameError
from automed.record import STUDY_FILE, Record
from automed.space import Integer, joint
from automed.strategies import Strategy
from automed.strategies.staged import Staged
from automed.strategies.stopping import Rule
from automed.strategies.stopping.halving import order
from automed.task import Budget, Direction
from automed.trial import Outcome, Trial

OBJECTIVES: Mapping[str, Direction] = {"auc": "maximize", "latency_ms": "minimize"}
FULL = 9
RUNGS = (1, 3, FULL)
SPACE = joint({"toy": {"width": Integer(1, 30), "depth": Integer(1, 9)}})
rules = pytest.mark.parametrize("name", [n for n in registry.names("stopping") if n != "none"])
samplers = pytest.mark.parametrize("sampler", ["random", "optuna:tpe", "nni:evolution"])


@dataclass
class Curves:
    """An Evaluate whose trials learn along a curve; depth is worth nothing and costs latency."""

    seen: list[Trial] = field(default_factory=list)
    epochs: Counter[str] = field(default_factory=Counter)

    def __call__(self, trial: Trial) -> Outcome:
        self.seen.append(trial)
        begun = 0 if trial.previous is None else trial.previous.epochs
        self.epochs[trial.name] += trial.epochs - begun
        width, depth = int(trial.point["width"]), int(trial.point["depth"])
        top = 0.5 + width / 62
        curve = tuple({"auc": top - 0.3 * math.exp(-e / 2)} for e in range(1, trial.epochs + 1))
        return Outcome(
            scores=curve[-1],
            costs={"latency_ms": width / 10 + depth},
            violations={"latency_ms": depth / 8 - 1},
            epochs=trial.epochs,
            finished=trial.epochs == FULL,
            curve=curve,
            graph=f"{width}/{depth}",
            checkpoint=b"state",
        )

    def warm(self, worker: int) -> None:
        """Nothing to load."""


def rule(name: str, objectives: Mapping[str, Direction] = OBJECTIVES, epochs: int = FULL) -> Rule:
    made: Rule = registry.part("stopping", name).make(
        name.partition(":")[2], objectives, rungs=Budget(epochs=epochs).rungs
    )
    return made


@dataclass
class Heard:
    """A sampler that remembers what it was told at the end of a trial."""

    sampler: Strategy
    over: Counter[int] = field(default_factory=Counter)
    finished: dict[int, Outcome] = field(default_factory=dict)

    def ask(self) -> Trial | None:
        return self.sampler.ask()

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        if outcome.settled:
            self.over[trial.number] += 1
            self.finished[trial.number] = outcome
        self.sampler.tell(trial, outcome)


def staged(sampler: str, stopping: str, *, seed: int = 0) -> tuple[Staged, Heard]:
    made = registry.part("strategy", sampler).make(
        sampler.partition(":")[2], SPACE, OBJECTIVES, rungs=RUNGS, seed=seed, first=0
    )
    heard = Heard(made)
    return Staged(heard, rule(stopping), epochs=FULL), heard


def search(
    strategy: Strategy, record: Record, evaluate: Curves, *, trials: int = 20, in_flight: int = 1
) -> bool:
    return loop.run(
        strategy=strategy,
        executor=InProcess(in_flight=in_flight),
        evaluate=evaluate,
        record=record,
        space=SPACE,
        key=lambda t: str(sorted(t.point.items())),
        budget=loop.Budget(trials=trials, epochs=FULL),
        watch=Log(),
    )


def new_record(folder: Path) -> Record:
    return Record.create(folder, "toy", OBJECTIVES, {})


@samplers
@pytest.mark.parametrize("in_flight", [1, 3])
def test_halving_trains_less_and_tells_the_sampler_once(
    sampler: str, in_flight: int, tmp_path: Path
) -> None:
    strategy, heard = staged(sampler, "halving")
    record, evaluate = new_record(tmp_path / "run"), Curves()
    assert search(strategy, record, evaluate, in_flight=in_flight)
    outcomes = {t.name: o for t, o in record.rows()}
    states = Counter(o.state for o in outcomes.values())
    assert len(outcomes) > 20  # what is not trained to its end pays for others
    assert states["complete"] >= 2
    assert states["paused"] >= 5
    spent = sum(o.trainings(FULL) for o in outcomes.values())
    assert 20 <= spent + 1e-9 < 21  # the last one may go beyond
    assert set(heard.over) >= {t.number for t, o in record.rows() if o.state == "complete"}
    assert set(heard.over.values()) == {1}
    assert sum(evaluate.epochs.values()) == round(spent * FULL)
    for name, outcome in outcomes.items():
        assert evaluate.epochs[name] == outcome.epochs  # nothing is trained twice
        assert outcome.epochs in (1, 3, FULL)
    stopped = [t.number for t, o in record.rows() if o.state == "paused"]
    assert all(heard.finished[n].epochs < FULL for n in stopped if n in heard.finished)
    record.close()
    seen = optuna.load_study(
        study_name=None, storage=f"sqlite:///{tmp_path / 'run' / STUDY_FILE}"
    ).get_trials()
    assert {t.state.name for t in seen} <= {"COMPLETE", "PRUNED"}


@rules
def test_each_rule_goes_through_the_loop(name: str, tmp_path: Path) -> None:
    strategy, heard = staged("random", name)
    record, evaluate = new_record(tmp_path / "run"), Curves()
    assert search(strategy, record, evaluate, trials=12)
    assert set(heard.over.values()) == {1}
    states = Counter(o.state for _, o in record.rows())
    assert states["complete"] >= 1
    assert states["paused"] >= 1, "nothing was stopped"
    assert sum(evaluate.epochs.values()) < 13 * FULL


@pytest.mark.parametrize("after", [3, 8, 12])
@pytest.mark.parametrize("sampler", ["random", "optuna:tpe", "nni:tpe"])
def test_an_interrupted_search_ends_as_if_it_had_not_been(
    sampler: str, after: int, tmp_path: Path
) -> None:
    def told(record: Record) -> list[tuple[int, object, int]]:
        return [(t.number, t.point, o.epochs) for t, o in record.rows()]

    whole = new_record(tmp_path / "whole")
    search(staged(sampler, "halving")[0], whole, Curves())
    begun, evaluate = new_record(tmp_path / "begun"), Curves()

    class Interrupted(Curves):
        def __call__(self, trial: Trial) -> Outcome:
            if len(self.seen) == after:
                raise KeyboardInterrupt
            return super().__call__(trial)

    assert not search(staged(sampler, "halving")[0], begun, Interrupted())
    again = Record.open(tmp_path / "begun")
    assert search(staged(sampler, "halving")[0], again, evaluate)
    assert told(again) == told(whole)


def test_the_same_architecture_is_judged_once() -> None:
    strategy, heard = staged("random", "halving")
    first, second = strategy.ask(), strategy.ask()
    assert first is not None
    assert second is not None
    outcome = replace(Curves()(replace(first, name="a")), violations={})
    strategy.tell(first, outcome)
    strategy.tell(second, outcome)
    assert heard.over == {second.number: 1}
    promoted = strategy.ask()
    assert promoted is not None
    assert (promoted.number, promoted.epochs) == (first.number, 3)


def test_halving_keeps_a_third_of_each_rung() -> None:
    halving, kept = rule("halving"), 0
    assert halving.rungs == (1, 3)
    for number in range(30):
        trial = Trial(number, "toy", {"width": 1 + number * 7 % 30, "depth": 1}, 1)
        kept += halving.goes_on(trial, Curves()(trial), 1)
    assert 7 <= kept <= 14


def test_the_order_is_by_rank_and_spans_the_front() -> None:
    values = [(0.9, 9.0), (0.5, 1.0), (0.7, 4.0), (0.6, 4.0), (0.4, 2.0)]
    assert order(values, tuple(OBJECTIVES.values())) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("epochs", [1, 2, 3, 6, 40])
@rules
def test_rungs_are_below_full_fidelity(name: str, epochs: int) -> None:
    rungs = rule(name, epochs=epochs).rungs
    assert rungs == tuple(sorted(set(rungs)))
    assert all(1 <= rung < epochs for rung in rungs)


def test_none_has_no_rungs() -> None:
    assert rule("none").rungs == ()


def test_what_a_rule_cannot_judge_is_refused() -> None:
    with pytest.raises(StrategyError, match="take nni:medianstop or halving"):
        rule("nni:curvefitting", {"mae": "minimize", "latency_ms": "minimize"})
    with pytest.raises(UnknownNameError, match="did you mean 'halving'"):
        rule("halvin")


@pytest.mark.usefixtures("inline")
def test_a_real_search_stops_trainings_and_says_so(tmp_path: Path) -> None:
    run = api.search(
        data="phantom:lung-ct?patients=30&seed=1",
        out=tmp_path / "run",
        families=("vgg",),
        trials=7,
        epochs=3,
        workers=1,
        seed=3,
        baselines=(),
        strategy="random",
        stopping="halving",
        executor="inline",
    )
    trials = run.results.trials
    stopped = [t for t in trials if t["state"] == "stopped"]
    complete = [t for t in trials if t["state"] == "complete"]
    assert stopped
    assert complete
    assert {t["epochs"] for t in complete} == {3}
    assert {t["epochs"] for t in stopped} == {1}
    mean = sum(t["seconds"]["train"] for t in complete) / len(complete)
    assert sum(t["seconds"]["train"] for t in stopped) / len(stopped) < mean
    assert "stopped" in (run.folder / "trials.csv").read_text()
    page = (run.folder / "report.html").read_text()
    assert f"<b>{len(stopped)}</b> stopped" in page
    assert "stopping rule: halving" in page
