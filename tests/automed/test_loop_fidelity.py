"""The loop when a strategy asks for an architecture again, trained further."""

from collections.abc import Sequence
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
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
    interrupted_after,
    key,
    search,
    trial,
)

from automed import loop
from automed.record import STUDY_FILE, Record
from automed.trial import Outcome, Trial


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return Record.create(tmp_path / "run", "toy", OBJECTIVES, {})


def study(folder: Path) -> list[optuna.trial.FrozenTrial]:
    seen = optuna.load_study(study_name=None, storage=f"sqlite:///{folder / STUDY_FILE}")
    return seen.get_trials()


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


@pytest.mark.parametrize("in_flight", [1, 3])
def test_the_budget_counts_epochs(record: Record, in_flight: int) -> None:
    """Two trainings: one whole, and 3 + 3 + 3 of 9 epochs; what is lowered alone costs none."""
    rungs = [(20, 0), (10, 3), (30, 0), (20, 3), (40, 3), (10, FULL), (50, 3), (20, FULL)]
    strategy = Scripted(trial(n, w, epochs=e) for n, (w, e) in enumerate(rungs))
    evaluate, executor = Analytic(), InProcess(in_flight=in_flight)
    search(strategy, record, evaluate=evaluate, executor=executor, trials=2)
    assert [(t.point["width"], t.epochs) for t in evaluate.seen] == rungs[:7]
    assert strategy.asked == 7
    states = {t.point["width"]: o.state for t, o in record.rows()}
    assert states == {20: "paused", 10: "complete", 30: "lowered", 40: "paused", 50: "paused"}


def test_the_budget_counts_what_an_interrupted_run_has_spent(
    record: Record, tmp_path: Path
) -> None:
    rungs = [(20, 3), (10, 3), (30, FULL), (20, FULL), (40, 3)]
    script = [trial(n, w, epochs=e) for n, (w, e) in enumerate(rungs)]
    assert not search(Scripted(script), record, evaluate=interrupted_after(2), trials=2)
    evaluate = Analytic()
    assert search(Scripted(script[2:]), Record.open(tmp_path / "run"), evaluate=evaluate, trials=2)
    assert [(t.point["width"], t.epochs) for t in evaluate.seen] == rungs[2:4]


def test_a_search_that_trains_nothing_ends(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "MAX_LOWERED", 10)
    strategy, evaluate = Scripted(trial(n, 1 + n, epochs=0) for n in range(90)), Analytic()
    search(strategy, record, evaluate=evaluate, trials=2)
    assert len(evaluate.seen) == 2 * 10


def test_known_trials_hold_no_checkpoints(record: Record) -> None:
    """Weights lie on disk; in a long search they would fill the memory."""
    state = loop._State(
        Halving(WIDTHS), record, SPACE, key, loop.Budget(trials=9, epochs=FULL), Log()
    )
    InProcess(in_flight=2).run(state.ask, Analytic(), state.tell)
    assert len(state.known) == len(WIDTHS)
    for known, outcome in state.known.values():
        assert outcome.checkpoint is None
        assert known.previous is None or known.previous.checkpoint is None
