"""The one loss that stands for several objectives."""

from statistics import mean

import pytest

from automed.strategies.scalarisation import INFEASIBLE, Scalarisation, weights
from automed.trial import Outcome


def outcome(auc: float, latency: float) -> Outcome:
    return Outcome(scores={"auc": auc}, costs={"latency_ms": latency}, finished=True)


def losses(number: int, *outcomes: Outcome) -> list[float]:
    made = Scalarisation({"auc": "maximize", "latency_ms": "minimize"})
    for trial, one in enumerate(outcomes):
        made.see(trial, one)
    judged = made.losses(number)
    return [judged[trial] for trial in range(len(outcomes))]


ENDS = outcome(0.5, 1.0), outcome(0.9, 5.0)


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_weights_sweep_the_simplex(number: int) -> None:
    swept = [weights(n, number) for n in range(200)]
    assert all(sum(w) == pytest.approx(1) and min(w) >= 0 for w in swept)
    for column in zip(*swept, strict=True):
        assert mean(column) == pytest.approx(1 / number, abs=0.03)
    if number > 1:
        assert all(max(column) > 0.7 for column in zip(*swept, strict=True))


def test_a_weight_depends_on_the_trial_alone() -> None:
    assert weights(7, 2) == weights(7, 2)
    assert weights(0, 1) == [1.0]


def test_whatever_the_weights_the_dominated_one_loses() -> None:
    for number in range(20):
        better, slower, worse = losses(
            number, outcome(0.8, 2.0), outcome(0.8, 3.0), outcome(0.7, 2.0), *ENDS
        )[:3]
        assert better < slower
        assert better < worse


def test_each_trade_off_has_its_turn() -> None:
    accurate_first = {
        accurate < fast
        for accurate, fast, *_ in (
            losses(n, outcome(0.85, 4.0), outcome(0.55, 1.2), *ENDS) for n in range(8)
        )
    }
    assert accurate_first == {True, False}


def test_broken_limits_are_worse_than_anything_feasible() -> None:
    little, much = (Outcome(violations={"latency_ms": v, "macs": -3.0}) for v in (0.1, 0.5))
    for number in range(20):
        worst, a_little, a_lot = losses(number, outcome(0.1, 50.0), little, much, *ENDS)[:3]
        assert worst < INFEASIBLE < a_little < a_lot


def test_nothing_known_is_no_loss() -> None:
    assert losses(3) == []
    assert losses(3, ENDS[0]) == [pytest.approx(0.5 * (max(weights(3, 2)) + 0.05))]
