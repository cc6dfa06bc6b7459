"""Random search: every architecture drawn alike, the yardstick of every other strategy."""

import random
from collections.abc import Mapping, Sequence

from automed.space import Choice, Integer, Joint, Parameter, Real, Value
from automed.task import Direction
from automed.trial import Outcome, Trial


def make(
    algorithm: str,
    space: Joint,
    objectives: Mapping[str, Direction],
    *,
    rungs: Sequence[int],
    seed: int,
    first: int,
) -> "RandomSearch":
    """See `Maker.make`."""
    return RandomSearch(space, epochs=rungs[-1], seed=seed, first=first)


class RandomSearch:
    """Each parameter uniform over its values; Real on a log scale if it says so."""

    def __init__(self, space: Joint, *, epochs: int, seed: int, first: int) -> None:
        self._space, self._epochs, self._seed = space, epochs, seed
        self._next = first

    def ask(self) -> Trial:
        """The next point; it depends on the seed and on how many were asked or told before."""
        stream = random.Random(f"{self._seed}/{self._next}")
        point = drawn_point(self._space, stream)
        trial = Trial(self._next, str(point["family"]), point, self._epochs)
        self._next += 1
        return trial

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        """Nothing is learnt; a replayed trial is not drawn again."""
        self._next = max(self._next, trial.number + 1)


def drawn_point(space: Joint, stream: random.Random) -> dict[str, Value]:
    """A value for every parameter, drawn in the order of the space."""
    return {name: drawn(parameter, stream) for name, parameter in space.items()}


def drawn(parameter: Parameter, stream: random.Random) -> Value:
    """A value of a parameter, uniform over all it has."""
    match parameter:
        case Choice(options):
            return stream.choice(options)
        case Integer(low, high, step):
            return stream.randrange(low, high + 1, step)
        case Real(low, high, log):
            if log:
                return float(low * (high / low) ** stream.random())
            return stream.uniform(low, high)
