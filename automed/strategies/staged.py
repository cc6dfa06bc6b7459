"""Any sampler made multi-fidelity: trials are trained from rung to rung while a rule agrees."""

from collections import deque
from dataclasses import replace

from automed.strategies import Strategy
from automed.strategies.stopping import Rule
from automed.trial import Outcome, Trial


class Staged:
    """A sampler that knows nothing of rungs, and a rule that knows nothing of the sampler.

    The sampler is told once of each trial: when it is trained to its end, broke a limit or failed,
    or when the rule stops it, with what it had reached. Promotions go before new trials. Rebuilt
    from a record, which holds the last outcome of each trial, it judges the earlier rungs by the
    learning curves, in the order of the trials' numbers: with one worker that is the order in
    which they were judged.
    """

    def __init__(self, sampler: Strategy, rule: Rule, *, epochs: int) -> None:
        self._sampler, self._rule = sampler, rule
        self._fidelities = (*rule.rungs, epochs)
        self._promoted: deque[Trial] = deque()
        self._judged: set[tuple[int, int]] = set()
        self._known: set[tuple[object, ...]] = set()

    def ask(self) -> Trial | None:
        """A trial that goes on, or else a new one up to the first rung."""
        if self._promoted:
            return self._promoted.popleft()
        trial = self._sampler.ask()
        return None if trial is None else replace(trial, epochs=self._fidelities[0])

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        """Judge a trial at the rungs it has passed; tell the sampler when it is over."""
        asked = replace(trial, epochs=self._fidelities[-1], previous=None)
        if outcome.failure is not None or not outcome.feasible:
            self._sampler.tell(asked, outcome)
            return
        evidence = (outcome.epochs, *outcome.scores.items(), *outcome.costs.items())
        if evidence in self._known:  # another trial of the same architecture was judged by it
            self._sampler.tell(asked, replace(outcome, finished=True))
            return
        self._known.add(evidence)
        goes_on = True
        for rung in self._fidelities[:-1]:
            if rung <= outcome.epochs and (trial.number, rung) not in self._judged:
                self._judged.add((trial.number, rung))
                goes_on = self._rule.goes_on(trial, outcome, rung)
        if outcome.finished:
            self._rule.ended(trial, outcome)
            self._sampler.tell(asked, outcome)
        elif goes_on:
            self._sampler.tell(asked, outcome)  # it is running, whoever asked it
            above = next(e for e in self._fidelities if e > outcome.epochs)
            self._promoted.append(replace(trial, epochs=above, previous=None))
        else:
            self._sampler.tell(asked, replace(outcome, finished=True))
