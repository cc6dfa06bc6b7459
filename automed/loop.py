"""The loop: asks within the budget, hands to the executor, records, tells; never trains."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from automed.errors import UnreachableError
from automed.executors import Evaluate, Executor
from automed.space import Space
from automed.strategies import Strategy
from automed.trial import BASELINE, Outcome, Trial

MAX_REPEATS = 200
"""Known architectures in a row after which a strategy counts as exhausted."""
MAX_LOWERED = 50
"""Architectures that are built, lowered and timed for each training of the budget, at most."""


class Record(Protocol):
    """What the loop needs of a record."""

    def write(self, trial: Trial, outcome: Outcome, space: Space) -> None:
        """Keep an outcome."""

    def rows(self) -> Iterable[tuple[Trial, Outcome]]:
        """Every trial with its latest outcome."""

    def baselines(self) -> Iterable[tuple[Trial, Outcome]]:
        """Every baseline with its outcome."""

    def checkpoint(self, trial: Trial) -> bytes:
        """The state to continue a trial from."""


class Watch(Protocol):
    """Who looks on."""

    def started(self, trial: Trial) -> None:
        """A trial goes to a worker."""

    def ended(self, trial: Trial, outcome: Outcome) -> None:
        """Its outcome is in the record."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """When to stop asking.

    Attributes:
        trials: Full trainings in all, counted with those of an interrupted run; see
            `Outcome.trainings` for what counts less.
        epochs: Of a full training.
        hours: Wall time from the start of this process's search; None for no bound.
    """

    trials: int
    epochs: int
    hours: float | None = None


def run(
    *,
    strategy: Strategy,
    executor: Executor,
    evaluate: Evaluate,
    record: Record,
    space: Space,
    key: Callable[[Trial], str],
    budget: Budget,
    baselines: Iterable[Trial] = (),
    starts: Iterable[Trial] = (),
    watch: Watch,
) -> bool:
    """Search until the budget is spent or the strategy has nothing left.

    Args:
        strategy: Told first everything the record holds.
        executor: Where trials run.
        evaluate: What turns a trial into an outcome.
        record: Written before the strategy is told.
        space: The joint space, for the record.
        key: Names a trial's architecture; equal keys are one architecture.
        budget: When to stop asking.
        baselines: Unsearched networks, evaluated first; no strategy is told of them.
        starts: Trials every search begins with, whatever its strategy, which is told of them.
        watch: Who looks on.

    Returns:
        Whether the search went to its end; False after KeyboardInterrupt.

    Raises:
        UnreachableError: A device is gone that trials are timed on.
    """
    state = _State(strategy, record, space, key, budget, watch)
    state.replay(baselines, starts)
    try:
        executor.run(state.ask, evaluate, state.tell)
    except KeyboardInterrupt:
        return False
    return True


class _State:
    """What is known, what is running, and who waits for the same architecture."""

    def __init__(
        self,
        strategy: Strategy,
        record: Record,
        space: Space,
        key: Callable[[Trial], str],
        budget: Budget,
        watch: Watch,
    ) -> None:
        self.strategy, self.record, self.space = strategy, record, space
        self.key, self.budget, self.watch = key, budget, watch
        self.known: dict[str, tuple[Trial, Outcome]] = {}
        self.spent = self.planned = 0.0
        self.running: dict[str, Trial] = {}
        self.waiting: dict[str, list[Trial]] = {}
        self.baselines: Iterator[Trial] = iter(())
        self.starts: Iterator[Trial] = iter(())
        self.deadline = None if budget.hours is None else time.monotonic() + 3600 * budget.hours

    def replay(self, baselines: Iterable[Trial], starts: Iterable[Trial]) -> None:
        """Rebuild the strategy from the record, and leave out what that holds already."""
        for trial, outcome in self.record.rows():
            self._keep(self.key(trial), trial, outcome)
            self.strategy.tell(trial, outcome)
        done = {trial.name for trial, _ in self.record.baselines()}
        self.baselines = (b for b in baselines if b.name not in done)
        self.starts = (s for s in starts if self.key(s) not in self.known)

    def ask(self) -> Trial | None:
        """The next trial worth a worker's time."""
        for _ in range(MAX_REPEATS):
            if self.deadline is not None and time.monotonic() > self.deadline:
                return None
            for baseline in self.baselines:
                self.watch.started(baseline)
                return baseline
            is_spent = self.spent + self.planned > self.budget.trials - 1e-9
            trial = None if is_spent else self._proposed()
            if trial is None:
                return None
            key = self.key(trial)
            if key in self.running:
                self.waiting.setdefault(key, []).append(trial)
                continue
            if key in self.known:
                first, outcome = self.known[key]
                if outcome.settled or outcome.epochs >= trial.epochs:
                    self.strategy.tell(trial, outcome)
                    continue
                trial = replace(
                    first, epochs=trial.epochs, previous=self._resumable(first, outcome)
                )
            elif len(self.known) + len(self.running) >= MAX_LOWERED * self.budget.trials:
                return None
            else:
                trial = replace(trial, name=f"{trial.family}-{trial.number:03d}")
            self.running[key] = trial
            self.planned += self._to_come(trial)
            self.watch.started(trial)
            return trial
        return None

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        """Record an outcome, then tell the strategy and whoever asked for the same.

        A device that is gone is the fault of no trial: nothing is recorded of it.
        """
        if outcome.unreachable:
            raise UnreachableError(outcome.failure or "")
        self.record.write(trial, outcome, self.space)
        if trial.origin != BASELINE:
            key = self.key(trial)
            self.planned -= self._to_come(self.running.pop(key))
            self._keep(key, replace(trial, previous=None), replace(outcome, checkpoint=None))
            for asked in (trial, *self.waiting.pop(key, ())):
                self.strategy.tell(asked, outcome)
        self.watch.ended(trial, outcome)

    def _proposed(self) -> Trial | None:
        """A start, then whatever the strategy asks; starts are numbered as the strategy's own."""
        for start in self.starts:
            return start
        return self.strategy.ask()

    def _keep(self, key: str, trial: Trial, outcome: Outcome) -> None:
        if key in self.known:
            self.spent -= self.known[key][1].trainings(self.budget.epochs)
        self.known[key] = trial, outcome
        self.spent += outcome.trainings(self.budget.epochs)

    def _to_come(self, trial: Trial) -> float:
        """The share of a full training that a trial is sent out for."""
        begun = 0 if trial.previous is None else trial.previous.epochs
        return (trial.epochs - begun) / self.budget.epochs

    def _resumable(self, trial: Trial, outcome: Outcome) -> Outcome:
        if outcome.epochs == 0:
            return outcome
        return replace(outcome, checkpoint=self.record.checkpoint(trial))
