"""The reinforcement-learning controller: what is rewarded is proposed more often."""

import numpy as np
import pytest

from automed import registry
from automed.space import Choice, Integer, Parameter, Real, joint
from automed.strategies.controller import Controller, _action, _num_actions, _value
from automed.trial import Outcome, Trial

SPACE = joint({"a": {"width": Integer(1, 30), "act": Choice(("x", "y", "z"))}, "b": {}})


def outcome(trial: Trial) -> Outcome:
    """Only y is worth something; width buys score and costs latency."""
    width = int(trial.point["width"])
    right = trial.family == "a" and trial.point["act"] == "y"
    return Outcome(
        scores={"auc": 0.5 + 0.2 * right + 0.2 * width / 30},
        costs={"latency_ms": width / 10},
        epochs=1,
        finished=True,
    )


def asked(number: int, *, learns: bool) -> list[Trial]:
    made = registry.part("strategy", "controller").make(
        "", SPACE, {"auc": "maximize", "latency_ms": "minimize"}, rungs=(1,), seed=0, first=0
    )
    assert isinstance(made, Controller)
    trials = []
    for _ in range(number):
        trials.append(made.ask())
        if learns:
            made.tell(trials[-1], outcome(trials[-1]))
    return trials


def test_what_is_rewarded_is_asked_more_often() -> None:
    def right(trials: list[Trial]) -> float:
        return float(np.mean([t.family == "a" and t.point["act"] == "y" for t in trials[-200:]]))

    assert right(asked(600, learns=True)) > 2 * right(asked(600, learns=False))


def test_the_trade_off_of_a_trial_moves_what_it_asks() -> None:
    trials = asked(800, learns=True)[-400:]
    from automed.strategies.scalarisation import weights

    for_score = [int(t.point["width"]) for t in trials if weights(t.number, 2)[0] > 0.7]
    for_speed = [int(t.point["width"]) for t in trials if weights(t.number, 2)[0] < 0.3]
    assert np.mean(for_score) > np.mean(for_speed) + 2


@pytest.mark.parametrize(
    "parameter",
    [
        Choice((1, True, "a")),
        Integer(4, 32, 4),
        Integer(1, 100),
        Real(0.1, 0.5),
        Real(1e-4, 1, True),
    ],
)
def test_values_and_actions_belong_together(parameter: Parameter) -> None:
    for action in range(_num_actions(parameter)):
        for within in (0.01, 0.5, 0.99):
            value = _value(parameter, action, within)
            assert value in parameter
            if not isinstance(parameter, Integer) or _num_actions(parameter) < 8:
                assert _action(parameter, value) == action
    assert {_action(parameter, end) for end in parameter.ends} == {0, _num_actions(parameter) - 1}
