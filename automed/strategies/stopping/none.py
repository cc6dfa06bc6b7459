"""No rule: every trial is trained to its end."""

from collections.abc import Mapping, Sequence

from automed.task import Direction
from automed.trial import Outcome, Trial


def make(algorithm: str, objectives: Mapping[str, Direction], *, rungs: Sequence[int]) -> "Never":
    """See `Maker.make`."""
    return Never()


class Never:
    """There is no rung at which to stop."""

    rungs: tuple[int, ...] = ()

    def goes_on(self, trial: Trial, outcome: Outcome, rung: int) -> bool:
        """It does."""
        return True

    def ended(self, trial: Trial, outcome: Outcome) -> None:
        """Nothing is learnt."""
