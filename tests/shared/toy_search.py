"""What the tests of the loop share: a toy space and the parts around a loop, in this process."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from automed import loop
from automed.executors import Ask, Evaluate, Tell
from automed.family import architecture_key
from automed.record import Record
from automed.space import Integer, joint
from automed.strategies import Strategy
from automed.task import Direction
from automed.trial import BASELINE, Outcome, Trial

OBJECTIVES: dict[str, Direction] = {"auc": "maximize", "latency_ms": "minimize"}
SPACE = joint({"toy": {"width": Integer(1, 100), "ignored": Integer(0, 9)}})
"""Two values of `ignored` are one architecture, see `key`."""
FULL = 9
BROKEN, SLOW = 99, 60
"""A width that fails, and the widest that meets the limit."""


COSTLY = ("optuna:gp",)
"""Strategies that take seconds to ask, so that only the slow tests ask them."""


def each_strategy(names: Iterable[str]) -> pytest.MarkDecorator:
    """A test over these strategies."""
    costly = pytest.mark.slow
    return pytest.mark.parametrize(
        "name", [pytest.param(n, marks=costly if n in COSTLY else ()) for n in names]
    )


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
        while True:
            while len(flying) < self.in_flight and (trial := ask()) is not None:
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
        budget=loop.Budget(trials=trials, epochs=FULL, hours=hours),
        baselines=baselines,
        starts=starts,
        watch=watch or Log(),
    )


def interrupted_after(number: int) -> Analytic:
    evaluate = Analytic()

    def stop(trial: Trial) -> None:
        if len(evaluate.seen) == number:
            raise KeyboardInterrupt

    evaluate.before = stop
    return evaluate
