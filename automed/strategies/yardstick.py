"""Points drawn blindly among those of a strategy: what it found is held against their best."""

import random

from automed.space import Joint
from automed.strategies import Strategy
from automed.strategies.random_search import drawn_point
from automed.task import Budget
from automed.trial import Outcome, Trial

DRAWS = 5
"""Points drawn for each that is to be trained, at most: others may break a limit."""


class Yardstick:
    """Any strategy, and for a share of all training random points, each trained to its end.

    The strategy is told of them. One that breaks a limit or fails makes room for another.

    Args:
        strategy: What asks otherwise; its own numbers lie beyond `numbers`.
        space: The joint space.
        budget: Says which share, and what a full training is.
        numbers: Of the random points, see `numbers_at_random`.
        seed: Of the random points.
    """

    def __init__(
        self, strategy: Strategy, space: Joint, budget: Budget, *, numbers: range, seed: int
    ) -> None:
        self._strategy, self._space, self._budget, self._seed = strategy, space, budget, seed
        self._numbers = numbers
        self._left = numbers
        self._trained: set[int] = set()
        self._spent: dict[int, float] = {}

    def ask(self) -> Trial | None:
        """A random point while they have had less than their share, else what is asked."""
        due = self._budget.at_random * (sum(self._spent.values()) + 1)
        if not self._left or len(self._trained) + 1 > due + 1e-9:
            return self._strategy.ask()
        number, self._left = self._left[0], self._left[1:]
        self._trained.add(number)
        point = drawn_point(self._space, random.Random(f"{self._seed}/blind/{number}"))
        return Trial(number, str(point["family"]), point, self._budget.epochs)

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        """Count what was spent, and tell the strategy."""
        self._spent[trial.number] = outcome.trainings(self._budget.epochs)
        if trial.number in self._numbers:
            self._left = range(max(trial.number + 1, self._left.start), self._numbers.stop)
            trained = outcome.failure is None and outcome.feasible
            (self._trained.add if trained else self._trained.discard)(trial.number)
        self._strategy.tell(trial, outcome)


def numbers_at_random(budget: Budget, first: int) -> range:
    """Numbers set aside for random points, from the first on, so that a record tells them."""
    return range(first, first + DRAWS * int(budget.at_random * budget.trials + 1e-9))
