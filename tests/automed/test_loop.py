"""The loop, with a real record and an executor that evaluates in this process."""

import time
from pathlib import Path

import pytest
from toy_search import (
    BROKEN,
    FULL,
    OBJECTIVES,
    SLOW,
    SPACE,
    Analytic,
    InProcess,
    Log,
    Scripted,
    baseline,
    each_strategy,
    interrupted_after,
    key,
    search,
    trial,
)

from automed import loop, registry
from automed.errors import UnreachableError
from automed.record import Record
from automed.trial import Outcome, Trial


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return Record.create(tmp_path / "run", "toy", OBJECTIVES, {})


@pytest.mark.parametrize("in_flight", [1, 3])
def test_duplicates_do_not_count_in_the_budget(record: Record, in_flight: int) -> None:
    strategy, evaluate = Scripted(trial(n, 1 + n // 2) for n in range(40)), Analytic()
    assert search(
        strategy, record, evaluate=evaluate, executor=InProcess(in_flight=in_flight), trials=4
    )
    assert evaluate.widths == [1, 2, 3, 4]
    assert [t.number for t, _ in record.rows()] == [0, 2, 4, 6]
    assert {t.number for t, _ in strategy.told} >= set(range(7))


def test_failed_architectures_count_too_and_infeasible_ones_cost_no_training(
    record: Record,
) -> None:
    strategy = Scripted(trial(n, w) for n, w in enumerate([BROKEN, SLOW + 1, 5, 6, 7]))
    search(strategy, record, trials=3)
    states = ["failed", "infeasible", "complete", "complete"]
    assert [o.state for _, o in record.rows()] == states
    assert [o.state for _, o in strategy.told] == states


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
    assert strategy.asked >= 2
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


def test_a_device_that_is_gone_is_the_fault_of_no_trial(record: Record) -> None:
    class Gone(Analytic):
        def __call__(self, trial: Trial) -> Outcome:
            known = super().__call__(trial)
            return known if len(self.seen) < 3 else Outcome(failure="no board", unreachable=True)

    with pytest.raises(UnreachableError, match="no board"):
        search(Scripted(trial(n, n + 1) for n in range(9)), record, evaluate=Gone())
    assert [o.state for _, o in record.rows()] == ["complete", "complete"]


@each_strategy(registry.names("strategy"))
def test_every_strategy_searches(name: str, record: Record) -> None:
    strategy = registry.part("strategy", name).make(
        name.partition(":")[2], SPACE, OBJECTIVES, rungs=(1, 3, FULL), seed=0, first=2
    )
    starts = [trial(0, 50), trial(1, BROKEN)]
    assert search(strategy, record, executor=InProcess(in_flight=3), trials=8, starts=starts)
    rows = list(record.rows())
    assert len({key(t) for t, _ in rows}) == len(rows)
    assert 7 < sum(o.trainings(FULL) for _, o in rows) < 9  # the last one may go beyond
    assert {t.number for t, _ in rows} >= {0, 1}
