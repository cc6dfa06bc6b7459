"""Which models are timed and exported again, and which stay."""

from dataclasses import replace

import numpy as np
import pytest

from automed import data, registry
from automed.errors import ExportError
from automed.evaluate import Evaluate, Job
from automed.exporters import MAX_DIFFERENCE
from automed.finalists import (
    MOST,
    Finalist,
    exported,
    final_front,
    near_front,
    timed,
    trained_network,
)
from automed.trial import BASELINE, SEARCH, Outcome, Trial

CLASSICAL = registry.part("problem", "classification").PROBLEM.classical
OBJECTIVES = {"auc": "maximize", "latency_ms": "minimize"}
TASK = registry.task("lung-ct").changed(
    limits={}, budget={"trials": 2, "epochs": 2}, baselines=CLASSICAL
)
JOB = Job(task=TASK, data="phantom:lung-ct?patients=30&seed=1")


def row(number, auc, latency, **changes):
    outcome = Outcome(
        **({"scores": {"auc": auc}, "costs": {"latency_ms": latency}, "finished": True} | changes)
    )
    return Trial(number, "it", {}, 1), outcome


def numbers(rows):
    return sorted(trial.number for trial, _ in rows)


def test_the_front_is_near_the_front():
    rows = [row(0, 0.9, 2.0), row(1, 0.8, 1.0), row(2, 0.7, 3.0), row(3, 0.95, 4.0)]
    assert numbers(near_front(rows, OBJECTIVES)) == [0, 1, 3]


def test_a_little_slower_is_near_and_much_slower_is_not():
    rows = [row(0, 0.9, 1.0), row(1, 0.89, 1.2), row(2, 0.89, 1.3)]
    rows += [row(3, 0.89, 0.9)]  # on the front itself
    assert numbers(near_front(rows[:3], OBJECTIVES)) == [0, 1]
    assert 2 not in numbers(near_front(rows, OBJECTIVES))


def test_only_latency_is_noisy():
    rows = [row(0, 0.9, 1.0), row(1, 0.899, 1.5)]
    assert numbers(near_front(rows, OBJECTIVES)) == [0]
    by_size = {"auc": "maximize", "size_bytes": "minimize"}
    rows = [row(n, auc, 1.0, costs={"size_bytes": size}) for n, (auc, size) in enumerate(
        [(0.9, 100), (0.89, 110), (0.8, 50)]
    )]  # fmt: skip
    assert numbers(near_front(rows, by_size)) == [0, 2]


def test_only_complete_trials_count():
    better = {"scores": {"auc": 0.99}, "costs": {"latency_ms": 0.1}}
    rows = [
        row(0, 0.5, 9.0),
        row(1, 0, 0, **better, finished=False, epochs=1),
        row(2, 0, 0, **better, violations={"params": 0.1}),
        row(3, 0, 0, scores={}, costs={}, failure="broke", finished=False),
        row(4, 0, 0, scores={}, costs={"latency_ms": 0.1}, finished=False),
    ]
    assert numbers(near_front(rows, OBJECTIVES)) == [0]
    assert near_front(rows[1:], OBJECTIVES) == []
    assert near_front([], OBJECTIVES) == []


def test_equal_rows_all_stay():
    assert numbers(near_front([row(0, 0.9, 1.0), row(1, 0.9, 1.0)], OBJECTIVES)) == [0, 1]


def test_a_long_front_is_thinned_and_keeps_its_ends():
    rows = [row(n, 0.5 + n / 100, 1.0 + n) for n in range(40)]
    near = near_front(rows, OBJECTIVES)
    assert len(set(numbers(near))) == len(near) == MOST
    assert {0, 39} <= set(numbers(near))
    gaps = np.diff(numbers(near))
    assert gaps.max() - gaps.min() <= 1


def test_a_long_front_is_thinned_by_latency_wherever_it_stands():
    turned = dict(reversed(OBJECTIVES.items()))
    rows = [row(n, 0.5 + n / 100, 1.0 + n) for n in range(40)]
    assert {0, 39} <= set(numbers(near_front(rows, turned)))


def finalist(name, origin=SEARCH, **costs):
    return Finalist(
        name=name,
        origin=origin,
        trial=None,
        family="it",
        config=None,
        files=(),
        costs=costs,
    )


def test_final_front_goes_from_fast_to_accurate():
    given = [finalist(n) for n in "abcd"] + [finalist("base", BASELINE)]
    rows = {
        "a": (0.9, 2.0),
        "b": (0.8, 1.0),
        "c": (0.7, 1.5),
        "d": (0.95, 5.0),
        "base": (0.99, 0.1),
    }
    values = {name: {"auc": auc, "latency_ms": ms} for name, (auc, ms) in rows.items()}
    kept = final_front(given, values, OBJECTIVES)
    assert [f.name for f in kept] == ["b", "a", "d"]


def test_final_front_follows_its_objectives():
    given = [finalist("a", params=10), finalist("b", params=5), finalist("c", params=7)]
    rows = {"a": (0.9, 1.0), "b": (0.9, 2.0), "c": (0.95, 3.0)}
    values = {
        f.name: {**f.costs, "auc": rows[f.name][0], "latency_ms": rows[f.name][1]} for f in given
    }
    by_params = {"auc": "maximize", "params": "minimize"}
    assert [f.name for f in final_front(given, values, by_params)] == ["b", "c"]
    every = {**OBJECTIVES, "params": "minimize"}
    kept = final_front(given, values, every)
    assert [f.name for f in kept] == ["a", "b", "c"]


def test_final_front_of_baselines_alone_is_empty():
    values = {"x": {"auc": 1.0, "latency_ms": 1.0}}
    assert final_front([finalist("x", BASELINE)], values, OBJECTIVES) == []


@pytest.fixture(scope="module")
def parts():
    return data.open_parts(data.Source(place=JOB.data, hu_window=TASK.window))


@pytest.fixture(scope="module")
def trained():
    point = registry.family("vgg")(width=4, stages=2, stem="stride2").config()
    trial = Trial(7, "vgg", point, 2, name="vgg-007")
    outcome = Evaluate(JOB)(trial)
    assert outcome.state == "complete", outcome.failure
    return trial, outcome


@pytest.fixture(scope="module")
def finalists(parts, trained):
    _trial, outcome = trained
    steps = []
    given, failures = exported(
        JOB, parts.train, parts.val, [trained], lambda _: outcome.checkpoint, {}, steps.append
    )
    assert failures == []
    assert len(steps) == len(given)
    return given


def test_exported_models_are_verified_and_scored_as_in_training(finalists, trained, parts):
    _trial, outcome = trained
    network, *rest = finalists
    assert (network.name, network.trial, network.origin) == ("vgg-007", 7, SEARCH)
    (file,) = network.files
    assert file.max_difference <= MAX_DIFFERENCE
    problem = registry.part("problem", "classification").PROBLEM
    auc = problem.scores(network.validation, parts.val.truth)["auc"][0]
    assert auc == pytest.approx(outcome.scores["auc"], abs=0.01)
    assert [(f.name, f.origin, f.trial) for f in rest] == [
        (name, BASELINE, None) for name in CLASSICAL
    ]


def test_finalists_are_timed_together(finalists):
    timings = timed(JOB, finalists)[""]
    assert list(timings.costs) == [f.name for f in finalists]
    assert timings.reference_ms > 0
    for known in timings.costs.values():
        scaled = known["latency_relative"] * timings.reference_ms
        assert known["latency_ms"] == pytest.approx(scaled)


def test_one_graph_has_one_latency(finalists):
    network = finalists[0]
    again = replace(network, name="again")
    costs = timed(JOB, [again, *finalists])[""].costs
    assert costs["again"] == costs[network.name]


def test_trained_network_is_ready_to_infer(trained, parts):
    trial, outcome = trained
    network = trained_network(JOB, parts.val.sample, trial, outcome.checkpoint)
    assert not network.training
    assert {p.device.type for p in network.parameters()} == {"cpu"}


def test_a_model_that_cannot_be_exported_is_named_and_the_others_stay(parts, trained, monkeypatch):
    def broken(model, shape, metadata):
        raise ExportError(f"{metadata['name']} is broken")

    monkeypatch.setattr(registry.part("exporter", "onnx"), "export", broken)
    _trial, outcome = trained
    given, failures = exported(
        JOB, parts.train, parts.val, [trained], lambda _: outcome.checkpoint, {}, lambda _: None
    )
    assert failures == ["vgg-007 is broken"]
    assert [f.name for f in given] == list(CLASSICAL)


def test_whatever_an_exporter_or_a_converter_raises_costs_its_model_only(
    parts, trained, monkeypatch
):
    def broken(*arguments, **options):
        raise RuntimeError("no operator for /home/somebody/net.py\nand much more")

    trial, outcome = trained
    monkeypatch.setattr("skl2onnx.to_onnx", broken)
    given, failures = exported(
        JOB, parts.train, parts.val, [trained], lambda _: outcome.checkpoint, {}, lambda _: None
    )
    assert [f.name for f in given] == [trial.name]
    assert failures == [f"{name}: RuntimeError: no operator for net.py" for name in CLASSICAL]
    monkeypatch.setattr("torch.onnx.export", broken)
    given, failures = exported(
        JOB, parts.train, parts.val, [trained], lambda _: outcome.checkpoint, {}, lambda _: None
    )
    assert given == []
    assert "net.py" in failures[0]
    assert "/home" not in failures[0]
    assert "\n" not in failures[0]
