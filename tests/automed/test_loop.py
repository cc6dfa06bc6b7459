"""The loop, with a real record and an executor that evaluates in this process."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from automed import loop, registry
from automed.executors import Ask, Evaluate, Tell
from automed.family import architecture_key
from automed.record import STUDY_FILE, Record
from automed.space import Choice, Integer, Space
from automed.strategies import Strategy
from automed.task import Direction
from automed.trial import BASELINE, Outcome, Trial

OBJECTIVES: dict[str, Direction] = {"auc": "maximize", "latency_ms": "minimize"}
SPACE: Space = {
    "family": Choice(("toy",)),
    "width": Integer(1, 100),
    "ignored": Integer(0, 9),  # of another family: two values of it are one architecture
}
FULL = 9
BROKEN, SLOW = 99, 60
"""A width that fails, and the widest that meets the limit."""


def key(trial: Trial) -> str:
    return architecture_key(trial.family, {"width": trial.point["width"]})


def trial(number: int, width: int, *, epochs: int = FULL, ignored: int = 0) -> Trial:
    return Trial(number, "toy", {"family": "toy", "width": width, "ignored": ignored}, epochs)


def baseline(number: int, width: int) -> Trial:
    return Trial(number, "toy", {"width": width}, FULL, BASELINE, f"base{width}")


@dataclass
class Analytic:
    """An Evaluate without a network: wider is better, slower, and beyond a width infeasible."""

    seen: list[Trial] = field(default_factory=list)
    before: Callable[[Trial], None] = lambda trial: None

    def __call__(self, trial: Trial) -> Outcome:
        self.before(trial)
        self.seen.append(trial)
        width = int(trial.point["width"])
        if width == BROKEN:
            return Outcome(failure="RuntimeError: broken")
        lowered = Outcome(
            costs={"latency_ms": width / 10},
            violations={"latency_ms": width / SLOW - 1},
            epochs=0,
            graph=f"g{width}",
        )
        if trial.epochs == 0 or not lowered.feasible:
            return lowered
        return replace(
            lowered,
            scores={"auc": 1 - 1 / (width * trial.epochs)},
            epochs=trial.epochs,
            finished=trial.epochs == FULL,
            checkpoint=f"{width}@{trial.epochs}".encode(),
        )

    def warm(self, worker: int) -> None:
        """Nothing to load."""

    @property
    def widths(self) -> list[int]:
        return [int(t.point["width"]) for t in self.seen]


@dataclass
class InProcess:
    """An Executor that keeps several trials in flight and ends them one by one."""

    in_flight: int = 1
    newest_first: bool = False

    def run(self, ask: Ask, evaluate: Evaluate, tell: Tell) -> None:
        flying: deque[Trial] = deque()
        asking = True
        while True:
            while asking and len(flying) < self.in_flight:
                trial = ask()
                asking = trial is not None
                if trial is not None:
                    flying.append(trial)
            if not flying:
                return
            trial = flying.pop() if self.newest_first else flying.popleft()
            tell(trial, evaluate(trial))


@dataclass
class Scripted:
    """A Strategy that asks what it was given, and remembers what it was told."""

    script: Iterable[Trial]
    told: list[tuple[Trial, Outcome]] = field(default_factory=list)
    asked: int = 0

    def __post_init__(self) -> None:
        self._left = iter(self.script)

    def ask(self) -> Trial | None:
        self.asked += 1
        return next(self._left, None)

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        self.told.append((trial, outcome))

    @property
    def numbers(self) -> list[int]:
        return [t.number for t, _ in self.told]


@dataclass
class Log:
    """A Watch."""

    lines: list[tuple[str, str]] = field(default_factory=list)

    def started(self, trial: Trial) -> None:
        self.lines.append(("started", trial.name))

    def ended(self, trial: Trial, outcome: Outcome) -> None:
        self.lines.append(("ended", trial.name))


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return Record.create(tmp_path / "run", "toy", OBJECTIVES, {})


def study(folder: Path) -> list[optuna.trial.FrozenTrial]:
    seen = optuna.load_study(study_name=None, storage=f"sqlite:///{folder / STUDY_FILE}")
    return seen.get_trials()


def search(
    strategy: Strategy,
    record: Record,
    *,
    evaluate: Analytic | None = None,
    executor: InProcess | None = None,
    trials: int = 100,
    hours: float | None = None,
    baselines: Sequence[Trial] = (),
    starts: Sequence[Trial] = (),
    watch: Log | None = None,
) -> bool:
    return loop.run(
        strategy=strategy,
        executor=executor or InProcess(),
        evaluate=evaluate or Analytic(),
        record=record,
        space=SPACE,
        key=key,
        budget=loop.Budget(trials=trials, hours=hours),
        baselines=baselines,
        starts=starts,
        watch=watch or Log(),
    )


@pytest.mark.parametrize("in_flight", [1, 3])
def test_budget_counts_architectures(record: Record, in_flight: int) -> None:
    strategy, evaluate = Scripted(trial(n, 1 + n // 2) for n in range(40)), Analytic()
    assert search(
        strategy, record, evaluate=evaluate, executor=InProcess(in_flight=in_flight), trials=4
    )
    assert evaluate.widths == [1, 2, 3, 4]
    assert [t.number for t, _ in record.rows()] == [0, 2, 4, 6]
    assert {t.number for t, _ in strategy.told} >= set(range(7))


def test_failed_and_infeasible_architectures_count_too(record: Record) -> None:
    strategy = Scripted(trial(n, w) for n, w in enumerate([BROKEN, SLOW + 1, 5, 6]))
    search(strategy, record, trials=3)
    assert [o.state for _, o in record.rows()] == ["failed", "infeasible", "complete"]
    assert [o.state for _, o in strategy.told] == ["failed", "infeasible", "complete"]


def test_duplicates_are_answered_from_what_is_known(record: Record) -> None:
    script = [trial(0, 5), trial(1, 5), trial(2, 7), trial(3, 5, ignored=4), trial(4, BROKEN)]
    script += [trial(5, BROKEN), trial(6, SLOW + 1), trial(7, SLOW + 1), trial(8, 5, epochs=1)]
    strategy, evaluate = Scripted(script), Analytic()
    search(strategy, record, evaluate=evaluate)
    assert evaluate.widths == [5, 7, BROKEN, SLOW + 1]
    assert [(t.number, o.graph) for t, o in strategy.told] == [
        *((0, "g5"), (1, "g5"), (2, "g7"), (3, "g5"), (4, ""), (5, "")),
        *((6, "g61"), (7, "g61"), (8, "g5")),
    ]
    assert len(list(record.rows())) == 4


def test_a_duplicate_in_flight_is_told_when_the_first_ends(record: Record) -> None:
    script = [trial(0, 5), trial(1, 5), trial(2, 5, ignored=3), trial(3, 7), trial(4, 8)]
    strategy, evaluate = Scripted(script), Analytic()
    executor = InProcess(in_flight=2, newest_first=True)
    search(strategy, record, evaluate=evaluate, executor=executor)
    assert evaluate.widths == [7, 8, 5]
    assert strategy.numbers == [3, 4, 0, 1, 2]
    assert len({id(outcome) for t, outcome in strategy.told if t.point["width"] == 5}) == 1


def test_the_record_is_written_before_the_strategy_is_told(record: Record) -> None:
    class Sceptic(Scripted):
        def tell(self, trial: Trial, outcome: Outcome) -> None:
            assert trial.number in [t.number for t, _ in record.rows()]
            super().tell(trial, outcome)

    strategy = Sceptic([trial(0, 5), trial(1, 6)])
    search(strategy, record)
    assert strategy.numbers == [0, 1]


def test_starts_come_first_and_are_told(record: Record) -> None:
    starts = [trial(0, 30), trial(1, 31), trial(2, 30, ignored=5)]
    strategy, evaluate = Scripted(trial(3 + n, 5 + n) for n in range(9)), Analytic()
    search(strategy, record, evaluate=evaluate, trials=4, starts=starts)
    assert evaluate.widths == [30, 31, 5, 6]
    assert strategy.numbers == [0, 1, 3, 4]
    assert [t.name for t, _ in record.rows()] == ["toy-000", "toy-001", "toy-003", "toy-004"]


def test_starts_are_within_the_budget(record: Record) -> None:
    evaluate = Analytic()
    search(
        Scripted([]),
        record,
        evaluate=evaluate,
        trials=2,
        starts=[trial(n, n + 1) for n in range(5)],
    )
    assert evaluate.widths == [1, 2]


def test_baselines_run_but_are_neither_told_nor_counted(record: Record) -> None:
    strategy, evaluate, watch = Scripted([trial(0, 5), trial(1, 6)]), Analytic(), Log()
    baselines = [baseline(0, 5), baseline(1, BROKEN)]
    search(strategy, record, evaluate=evaluate, trials=2, baselines=baselines, watch=watch)
    assert evaluate.widths == [5, BROKEN, 5, 6]
    assert strategy.numbers == [0, 1]
    assert [t.name for t, _ in record.baselines()] == ["base5", "base99"]
    assert len(list(record.rows())) == 2
    assert watch.lines == [
        (what, name)
        for name in ("base5", "base99", "toy-000", "toy-001")
        for what in ("started", "ended")
    ]


def test_a_strategy_with_nothing_left_ends_the_search(record: Record) -> None:
    strategy = Scripted([trial(0, 5)])
    assert search(strategy, record, executor=InProcess(in_flight=3))
    assert strategy.asked == 2
    assert len(list(record.rows())) == 1


def test_a_strategy_that_only_repeats_itself_ends_the_search(record: Record) -> None:
    strategy = Scripted(trial(n, 5) for n in range(10**6))
    assert search(strategy, record)
    assert len(list(record.rows())) == 1
    assert strategy.asked <= loop.MAX_REPEATS + 2
    assert strategy.numbers == list(range(strategy.asked))


def test_hours_end_the_asking_not_what_runs(record: Record) -> None:
    def slow(trial: Trial) -> None:
        time.sleep(0.1)

    strategy, evaluate = Scripted(trial(n, n + 1) for n in range(90)), Analytic(before=slow)
    executor = InProcess(in_flight=3)
    assert search(strategy, record, evaluate=evaluate, executor=executor, hours=0.5 / 3600)
    assert 3 <= len(evaluate.seen) < 12
    assert len(list(record.rows())) == len(evaluate.seen) == strategy.asked


def test_no_hours_at_all_start_nothing(record: Record) -> None:
    strategy, evaluate = Scripted([trial(0, 5)]), Analytic()
    assert search(strategy, record, evaluate=evaluate, hours=0.0, baselines=[baseline(0, 5)])
    assert strategy.asked == 0
    assert evaluate.seen == []


def interrupted_after(number: int) -> Analytic:
    evaluate = Analytic()

    def stop(trial: Trial) -> None:
        if len(evaluate.seen) == number:
            raise KeyboardInterrupt

    evaluate.before = stop
    return evaluate


def test_an_interrupted_search_goes_on_where_it_was(record: Record, tmp_path: Path) -> None:
    starts, baselines = [trial(0, 30), trial(1, 31)], [baseline(0, 5), baseline(1, 6)]
    strategy = Scripted(trial(2 + n, 40 + n) for n in range(20))
    executor = InProcess(in_flight=2)
    assert not search(
        strategy,
        record,
        evaluate=interrupted_after(5),
        executor=executor,
        trials=6,
        starts=starts,
        baselines=baselines,
    )
    assert [t.number for t, _ in record.rows()] == [0, 1, 2]

    again = Record.open(tmp_path / "run")
    resumed = Scripted(trial(5 + n, 41 + n) for n in range(20))
    evaluate = Analytic()
    assert search(
        resumed,
        again,
        evaluate=evaluate,
        executor=executor,
        trials=6,
        starts=starts,
        baselines=baselines,
    )
    assert resumed.numbers == [0, 1, 2, 5, 6, 7]  # first the past, then what it asked
    assert evaluate.widths == [41, 42, 43]
    assert len(list(again.rows())) == 6
    assert len(list(again.baselines())) == 2


def test_an_error_in_the_loop_is_not_hidden(record: Record) -> None:
    def crash(trial: Trial) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        search(Scripted([trial(0, 5)]), record, evaluate=Analytic(before=crash))


@pytest.mark.parametrize("name", registry.names("strategy"))
def test_every_strategy_searches(name: str, record: Record) -> None:
    strategy = registry.part("strategy", name).make(
        name.partition(":")[2], SPACE, OBJECTIVES, epochs=FULL, seed=0, first=2
    )
    starts = [trial(0, 50), trial(1, BROKEN)]
    assert search(strategy, record, executor=InProcess(in_flight=3), trials=8, starts=starts)
    rows = list(record.rows())
    assert len({key(t) for t, _ in rows}) == len(rows) == 8
    assert {t.number for t, _ in rows} >= {0, 1}


class Halving:
    """Asynchronous successive halving: every rung keeps the better half of what it has seen.

    A promotion repeats the point with more epochs, under a number of its own.
    """

    rungs = (0, 1, 3, FULL)

    def __init__(self, widths: Sequence[int], first: int = 0) -> None:
        self._widths, self._next = iter(widths), first
        self._seen: dict[int, dict[int, float]] = {rung: {} for rung in self.rungs}
        self._promoted: set[tuple[int, int]] = set()
        self.told: list[tuple[int, int]] = []

    def ask(self) -> Trial | None:
        for rung, above in reversed(list(zip(self.rungs, self.rungs[1:], strict=False))):
            seen = self._seen[rung]
            best = sorted(seen, key=lambda w: -seen[w])[: max(1, len(seen) // 2) if rung else None]
            for width in best:
                if (width, above) not in self._promoted and len(seen) >= (2 if rung else 1):
                    self._promoted.add((width, above))
                    return self._trial(width, above)
        width = next(self._widths, None)
        return None if width is None else self._trial(width, 0)

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        width = int(trial.point["width"])
        self._next = max(self._next, trial.number + 1)
        self.told.append((width, outcome.epochs))
        self._promoted |= {(width, rung) for rung in self.rungs if rung <= outcome.epochs}
        if outcome.failure is None and outcome.feasible:
            self._seen[outcome.epochs][width] = outcome.scores.get("auc", 0.0)

    def _trial(self, width: int, epochs: int) -> Trial:
        asked = trial(self._next, width, epochs=epochs)
        self._next += 1
        return asked


WIDTHS = (20, 10, 40, 30, SLOW + 1, BROKEN, 50, 5)


def by_width(folder: Path) -> dict[int, optuna.trial.FrozenTrial]:
    frozen = study(folder)
    assert len({t.params["width"] for t in frozen}) == len(frozen)  # one for each architecture
    return {t.params["width"]: t for t in frozen}


@pytest.mark.parametrize("in_flight", [1, 3])
def test_successive_halving_goes_through_the_loop(
    record: Record, tmp_path: Path, in_flight: int
) -> None:
    evaluate, strategy = Analytic(), Halving(WIDTHS)
    between: list[TrialState] = []

    def look(trial: Trial) -> None:
        if trial.previous is not None:
            frozen = by_width(tmp_path / "run")[int(trial.point["width"])]
            assert f'"epochs": {trial.previous.epochs}' in frozen.user_attrs["outcome"]
            between.append(frozen.state)

    evaluate.before = look
    assert search(strategy, record, evaluate=evaluate, executor=InProcess(in_flight=in_flight))

    assert set(between) == {TrialState.RUNNING}
    asked = [(int(t.point["width"]), t.epochs) for t in evaluate.seen]
    assert len(set(asked)) == len(asked)  # every rung of an architecture is evaluated once
    assert strategy.told == [(w, 0 if w in (SLOW + 1, BROKEN) else e) for w, e in asked]
    assert {e for _, e in asked} == set(Halving.rungs)
    for seen in evaluate.seen:
        rung = Halving.rungs.index(seen.epochs)
        if rung == 0:
            assert seen.previous is None
            continue
        assert seen.previous is not None
        below, width = Halving.rungs[rung - 1], seen.point["width"]
        assert (seen.previous.epochs, seen.previous.graph) == (below, f"g{width}")
        assert seen.previous.checkpoint == (f"{width}@{below}".encode() if below else None)
    names = {t.point["width"]: t.name for t in evaluate.seen}
    assert len({t.name for t in evaluate.seen}) == len(names) == len(WIDTHS)

    record.close()
    frozen = by_width(tmp_path / "run")
    assert frozen.keys() == set(WIDTHS)
    full = {w for w, epochs in asked if epochs == FULL}
    assert full
    for width, row in frozen.items():
        if width == BROKEN:
            assert (row.state, row.constraints) == (TrialState.FAIL, {})
        elif width in full:
            assert row.state == TrialState.COMPLETE
            assert row.values == pytest.approx([1 - 1 / (width * FULL), width / 10])
        else:
            assert row.state == TrialState.PRUNED
        if width == SLOW + 1:
            assert row.constraints["latency_ms"] > 0
    outcomes = {t.point["width"]: o for t, o in Record.open(tmp_path / "run").rows()}
    assert {w for w, o in outcomes.items() if o.state == "complete"} == full
    assert "paused" in {o.state for o in outcomes.values()}


def test_halving_goes_on_after_an_interruption(record: Record, tmp_path: Path) -> None:
    assert not search(Halving(WIDTHS), record, evaluate=interrupted_after(6))
    before = {t.point["width"]: o for t, o in record.rows()}
    assert "paused" in {o.state for o in before.values()}

    again = Record.open(tmp_path / "run")
    left = [w for w in WIDTHS if w not in before]
    evaluate = Analytic()
    assert search(Halving(left), again, evaluate=evaluate)
    for seen in evaluate.seen:
        earlier = before.get(seen.point["width"])
        assert earlier is None or seen.epochs > earlier.epochs
    continued = [t for t in evaluate.seen if t.point["width"] in before]
    assert continued
    assert {t.previous is None for t in continued} == {False}
    assert by_width(tmp_path / "run").keys() == set(WIDTHS)


def test_at_the_end_of_the_budget_started_architectures_may_go_on(record: Record) -> None:
    rungs = [(20, 0), (10, 0), (20, 1), (10, 1), (20, FULL), (30, 0), (10, FULL)]
    strategy = Scripted(trial(n, w, epochs=e) for n, (w, e) in enumerate(rungs))
    evaluate = Analytic()
    search(strategy, record, evaluate=evaluate, trials=2)
    assert [(t.point["width"], t.epochs) for t in evaluate.seen] == rungs[:5]
    assert strategy.asked == 6  # a new architecture is over the budget and ends the search
    assert [o.state for _, o in record.rows()] == ["complete", "paused"]


def test_known_trials_hold_no_checkpoints(record: Record) -> None:
    """Weights lie on disk; in a long search they would fill the memory."""
    state = loop._State(Halving(WIDTHS), record, SPACE, key, loop.Budget(trials=9), Log())
    InProcess(in_flight=2).run(state.ask, Analytic(), state.tell)
    assert len(state.known) == len(WIDTHS)
    for known, outcome in state.known.values():
        assert outcome.checkpoint is None
        assert known.previous is None or known.previous.checkpoint is None
