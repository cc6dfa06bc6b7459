"""Successive halving by non-dominated rank: a third goes on from each rung, nobody waits."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from automed.front import front, oriented
from automed.strategies.stopping import value_at
from automed.task import Direction
from automed.trial import Outcome, Trial

FACTOR = 3
"""One in so many goes on."""


def make(algorithm: str, objectives: Mapping[str, Direction], *, rungs: Sequence[int]) -> "Halving":
    """See `Maker.make`."""
    return Halving(objectives, rungs=rungs[:-1])


class Halving:
    """A trial goes on if it is in the best third of those that have reached its rung so far.

    Better is of a lower non-dominated rank; within a rank those come first that lie farthest from
    the ones already taken, so that a third of a long front still spans it. A trial is judged once,
    when it reaches a rung: nobody waits, and the first few go on whatever they are worth.

    Source: Li et al. 2020, ASHA, in the stopping variant; Schmucker et al. 2021, MO-ASHA.
    """

    def __init__(self, objectives: Mapping[str, Direction], *, rungs: Sequence[int]) -> None:
        self.rungs = tuple(rungs)
        self._objectives = dict(objectives)
        self._seen: dict[int, list[list[float]]] = {rung: [] for rung in self.rungs}

    def goes_on(self, trial: Trial, outcome: Outcome, rung: int) -> bool:
        """Whether it is in the best third, itself counted."""
        seen = self._seen[rung]
        seen.append([value_at(outcome, n, d, rung) for n, d in self._objectives.items()])
        kept = -(-len(seen) // FACTOR)
        return len(seen) - 1 in order(seen, list(self._objectives.values()))[:kept]

    def ended(self, trial: Trial, outcome: Outcome) -> None:
        """Nothing is learnt that its rungs did not tell."""


def order(values: Sequence[Sequence[float]], directions: Sequence[str]) -> list[int]:
    """Positions of points (N, M), the most worthwhile first."""
    losses = oriented(values, directions)
    low, high = losses.min(axis=0), losses.max(axis=0)
    scaled = (losses - low) / np.where(high > low, high - low, 1.0)
    left, ordered = list(range(len(losses))), list[int]()
    while left:
        rank = [left[i] for i in front(losses[left], ["minimize"] * losses.shape[1])] or left
        ordered += _spread(scaled, rank)
        left = [i for i in left if i not in rank]
    return ordered


def _spread(points: NDArray[np.float64], chosen: Sequence[int]) -> list[int]:
    """The chosen, from the best in the first objective on, each the farthest from those before."""
    left = sorted(chosen, key=lambda i: tuple(points[i]))
    taken = [left.pop(0)]
    while left:
        farthest = max(left, key=lambda i: min(np.abs(points[i] - points[j]).sum() for j in taken))
        left.remove(farthest)
        taken.append(farthest)
    return taken
