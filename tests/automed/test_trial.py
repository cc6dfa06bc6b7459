"""An outcome's state, in one word, for all it may hold."""

import dataclasses
import json
import pickle

import pytest

from automed.trial import Outcome, Trial

COSTS = {"latency_ms": 2.0}


@pytest.mark.parametrize(
    ("outcome", "state", "settled"),
    [
        (Outcome(), "lowered", False),
        (Outcome(costs=COSTS, violations={"latency_ms": -0.5}), "lowered", False),
        (Outcome(costs=COSTS, epochs=3, scores={"auc": 0.8}), "paused", False),
        (Outcome(costs=COSTS, epochs=3, finished=True, scores={"auc": 0.8}), "complete", True),
        (Outcome(costs=COSTS, violations={"latency_ms": 0.1, "macs": -1}), "infeasible", True),
        (Outcome(costs=COSTS, violations={"latency_ms": 0.0}), "lowered", False),
        (Outcome(failure="out of memory"), "failed", True),
        (Outcome(failure="diverged", violations={"macs": 1.0}), "failed", True),
        (Outcome(failure="diverged", finished=True), "failed", True),
    ],
)
def test_state(outcome: Outcome, state: str, settled: bool) -> None:
    assert (outcome.state, outcome.settled) == (state, settled)


def test_value_is_a_score_or_a_cost() -> None:
    outcome = Outcome(scores={"auc": 0.8}, costs=COSTS)
    assert (outcome.value("auc"), outcome.value("latency_ms")) == (0.8, 2.0)
    with pytest.raises(KeyError):
        outcome.value("macs")


def test_facts_are_json_and_hold_all_that_is_recorded() -> None:
    outcome = Outcome(
        scores={"auc": 0.8},
        costs=COSTS,
        violations={"latency_ms": -0.5},
        epochs=2,
        finished=True,
        curve=({"loss": 0.5}, {"loss": 0.4}),
        graph="abc",
        device="cpu",
        seconds={"train": 1.5},
        checkpoint=b"weights",
    )
    facts = json.loads(json.dumps(outcome.facts()))
    assert facts.keys() == {f.name for f in dataclasses.fields(Outcome)} - {
        "checkpoint",
        "unreachable",
    }
    again = Outcome(**facts | {"curve": tuple(facts["curve"])})
    assert again == outcome
    assert again.checkpoint is None


def test_trials_travel_and_compare_by_what_is_asked() -> None:
    trial = Trial(3, "vgg", {"width": 8}, 5)
    promoted = dataclasses.replace(trial, previous=Outcome(epochs=1, checkpoint=b"weights"))
    assert promoted == trial
    travelled = pickle.loads(pickle.dumps(promoted))
    assert travelled == trial
    assert travelled.previous.checkpoint == b"weights"
    assert "weights" not in repr(promoted)
