"""When a training is not worth going on with: rules that stand outside the sampler."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from automed.task import Direction
from automed.trial import Outcome, Trial


class Rule(Protocol):
    """Judges trials at rungs, which are numbers of epochs below full fidelity.

    Attributes:
        rungs: Where trials are judged, ascending; none of them is full fidelity.
    """

    rungs: tuple[int, ...]

    def goes_on(self, trial: Trial, outcome: Outcome, rung: int) -> bool:
        """Whether a trial is trained beyond a rung; asked once for each of its rungs, in order.

        It is asked, too, of trials that evidently did go on, when a record is replayed. The
        outcome may be of a later epoch; its curve tells what was known at the rung.
        """

    def ended(self, trial: Trial, outcome: Outcome) -> None:
        """A trial was trained to its end."""


class Maker(Protocol):
    """What a module of rules offers beside its table of ALGORITHMS, if it has several."""

    def make(
        self, algorithm: str, objectives: Mapping[str, Direction], *, rungs: Sequence[int]
    ) -> Rule:
        """The rule.

        Args:
            algorithm: One of the module's ALGORITHMS, or "".
            objectives: Objective name to "maximize" or "minimize".
            rungs: Fidelities the search proposes, in epochs, ascending; the last is full. A rule
                may have others.

        Raises:
            StrategyError: It cannot judge these objectives.
        """


def value_at(outcome: Outcome, name: str, direction: Direction, rung: int) -> float:
    """An objective as it was known at a rung: the best of the curve so far, or what it cost."""
    seen = [float(epoch[name]) for epoch in outcome.curve[:rung] if name in epoch]
    if not seen:
        return outcome.value(name)
    return max(seen) if direction == "maximize" else min(seen)
