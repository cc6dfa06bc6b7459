"""Reinforcement learning: a controller that is rewarded for the architectures it proposes."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from automed.space import Choice, Integer, Joint, Parameter, Real, Value
from automed.strategies.scalarisation import Scalarisation, weights
from automed.task import Direction
from automed.trial import Outcome, Trial

RATE = 1.0
"""How far the logits move for a reward that is one above what was expected."""
MEMORY = 0.9
"""Of the running mean of losses that a loss is held against."""
BINS = 8
"""Stretches that a range of numbers is cut into; each is one action."""

Floats = NDArray[np.float64]


def make(
    algorithm: str,
    space: Joint,
    objectives: Mapping[str, Direction],
    *,
    rungs: Sequence[int],
    seed: int,
    first: int,
) -> "Controller":
    """See `Maker.make`."""
    return Controller(space, objectives, epochs=rungs[-1], seed=seed, first=first)


class Controller:
    """A policy over the shared space, learnt by its gradient with a running mean as baseline.

    Every parameter is one action, drawn from a softmax whose logits are linear in the trade-off
    that the trial is asked for, see `Scalarisation`: one controller sweeps the front. What has no
    say in a family is drawn, and not learnt from. It learns from each trial once, when that is
    settled, and asks as many times as it is let: it is for hundreds of cheap trials.

    Source: Zoph and Le 2017, arXiv:1611.01578 (the reward and its baseline); Williams 1992,
    doi:10.1007/BF00992696 (REINFORCE). Theirs draws by a recurrent network; this one, for budgets a
    hundred times smaller, has a table.
    """

    def __init__(
        self,
        space: Joint,
        objectives: Mapping[str, Direction],
        *,
        epochs: int,
        seed: int,
        first: int,
    ) -> None:
        self._space, self._epochs, self._seed, self._next = space, epochs, seed, first
        self._scalarisation, self._num_objectives = Scalarisation(objectives), len(objectives)
        self._expected: float | None = None
        self._policy = {
            name: np.zeros((_num_actions(parameter), self._num_objectives))
            for name, parameter in space.items()
        }

    def ask(self) -> Trial:
        """A point drawn from the policy for the trade-off of the trial's number."""
        rng = np.random.default_rng([self._seed, self._next])
        point = {
            name: _value(parameter, int(rng.choice(len(p), p=p)), float(rng.random()))
            for name, parameter in self._space.items()
            for p in [self._chances(name, self._next)]
        }
        self._next += 1
        return Trial(self._next - 1, str(point["family"]), point, self._epochs)

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        """Move towards what turned out better than expected, away from what turned out worse."""
        self._next = max(self._next, trial.number + 1)
        if not outcome.settled or outcome.failure is not None:
            return
        self._scalarisation.see(trial.number, outcome)
        loss = self._scalarisation.losses(trial.number)[trial.number]
        expected = loss if self._expected is None else self._expected
        self._expected = MEMORY * expected + (1 - MEMORY) * loss
        for name, value in self._space.active(trial.point).items():
            towards = -self._chances(name, trial.number)
            towards[_action(self._space[name], value)] += 1
            step = RATE * (expected - loss) * towards[:, None] * self._trade_off(trial.number)
            self._policy[name] += step

    def _chances(self, name: str, number: int) -> Floats:
        logits = self._policy[name] @ self._trade_off(number)
        chances: Floats = np.exp(logits - logits.max())
        chances /= chances.sum()
        return chances

    def _trade_off(self, number: int) -> Floats:
        """One, and what the weights but the last are more than even (M,)."""
        own = weights(number, self._num_objectives)
        return np.array([1.0, *(2 * (w - 1 / len(own)) for w in own[:-1])])


def _num_actions(parameter: Parameter) -> int:
    match parameter:
        case Choice(options):
            return len(options)
        case Integer(low, high, step):
            return min(BINS, (high - low) // step + 1)
    return BINS


def _value(parameter: Parameter, action: int, within: float) -> Value:
    """The value behind an action; of a stretch of numbers the place `within` [0, 1)."""
    share = (action + within) / _num_actions(parameter)
    match parameter:
        case Choice(options):
            return options[action]
        case Integer(low, high, step):
            return low + step * int(share * ((high - low) // step + 1))
        case Real(low=lowest, high=highest, log=True):
            return float(lowest * (highest / lowest) ** share)
    return parameter.low + (parameter.high - parameter.low) * share


def _action(parameter: Parameter, value: Value) -> int:
    """The action behind a value; the inverse of `_value`."""
    match parameter:
        case Choice():
            return parameter.position(value)
        case Integer(low, high, step):
            share = ((int(value) - low) // step + 0.5) / ((high - low) // step + 1)
            return int(share * _num_actions(parameter))
        case Real(low=lowest, high=highest, log=True):
            share = float(np.log(float(value) / lowest) / np.log(highest / lowest))
        case Real(low=lowest, high=highest):
            share = (float(value) - lowest) / (highest - lowest)
    return min(BINS - 1, int(share * BINS))
