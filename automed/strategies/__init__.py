"""Where the next trial comes from. A strategy answers two calls: ask and tell."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from automed.space import Joint, Point
from automed.task import Direction
from automed.trial import Outcome, Trial


class Strategy(Protocol):
    """Decides what to try next, and how far. Lives in the driver; never sees a network."""

    def ask(self) -> Trial | None:
        """The next trial, or None when there is nothing to try before something is told."""

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        """Learn what a trial gave: in any order, once per architecture and fidelity.

        Trials that were never asked may be told as well: replaying a record of outcomes is how a
        strategy is rebuilt after a crash.
        """


@runtime_checkable
class Recalling(Protocol):
    """A strategy that can learn from what an earlier search found."""

    def recall(self, earlier: Sequence[tuple[Point, float]]) -> None:
        """Learn, before anything is asked or told, from another search over the same space.

        Args:
            earlier: Points and what they lost there, smaller better, on a scale of their own.
        """


class Maker(Protocol):
    """What a module of strategies offers beside its table of ALGORITHMS, if it has several."""

    def make(
        self,
        algorithm: str,
        space: Joint,
        objectives: Mapping[str, Direction],
        *,
        rungs: Sequence[int],
        seed: int,
        first: int,
    ) -> Strategy:
        """The strategy over a joint space.

        Args:
            algorithm: One of the module's ALGORITHMS, or "".
            space: The joint space.
            objectives: Objective name to "maximize" or "minimize".
            rungs: Fidelities a training may stop at, in epochs, ascending; the last is full.
            seed: Of its random numbers, the same when a search is resumed. What is drawn for a
                trial should depend on it, the trial's number and what was told, so that a strategy
                rebuilt from the record goes on as the first would have.
            first: Number of the first trial it asks; the search's starting points come before.
        """
