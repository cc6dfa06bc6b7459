"""A trial's outcome: what it holds at each fidelity, what breaks it, and what it never sees."""

import gc
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from automed import data, registry
from automed.evaluate import Evaluate, Job, _opened, _shared, _tensors, network_of
from automed.lowering import memo_key
from automed.task import COSTS
from automed.training.recipes import kept_weights
from automed.trial import BASELINE, Trial

PHANTOM = "phantom:lung-ct?patients=30&seed=1"
TASK = registry.task("lung-ct").changed(
    limits={}, budget={"trials": 4, "epochs": 3}, training={"batch": 32, "patience": 1}
)
JOB = Job(task=TASK, data=PHANTOM)
(PLACE,) = JOB.places
POINT = registry.family("vgg")(width=4, stages=2, stem="stride2", dropout=0.2).config()


def trial(epochs, **changes):
    return Trial(**({"number": 0, "family": "vgg", "point": POINT, "epochs": epochs} | changes))


def evaluate(given, job=JOB):
    return Evaluate(job)(given)


@pytest.fixture(scope="module")
def lowered():
    return evaluate(trial(0))


@pytest.fixture(scope="module")
def job(lowered):
    """A job that knows the latency of the trials here, so that it times nothing."""
    known = {k: v for k, v in lowered.costs.items() if k.startswith("latency")}
    return replace(JOB, latencies={memo_key(lowered.graph, PLACE): known})


@pytest.fixture(scope="module")
def trained(job):
    return evaluate(trial(3), job)


def alike(first, second):
    """Equal but for wall time, bit for bit in the weights."""
    given, wanted = first.facts(), second.facts()
    assert set(given.pop("seconds")) == set(wanted.pop("seconds"))
    assert given == wanted
    assert (first.checkpoint is None) == (second.checkpoint is None)
    if first.checkpoint is not None:
        mine, theirs = kept_weights(first.checkpoint), kept_weights(second.checkpoint)
        assert list(mine) == list(theirs)
        assert all(bool((mine[k] == theirs[k]).all()) for k in mine)


def test_fidelity_0_gives_costs_and_no_scores(lowered):
    assert (lowered.state, lowered.failure) == ("lowered", None)
    assert set(lowered.costs) >= set(COSTS)
    assert all(np.isfinite(v) and v > 0 for v in lowered.costs.values())
    assert lowered.costs["latency_ms"] <= lowered.costs["latency_p95_ms"]
    assert (dict(lowered.scores), lowered.curve, lowered.epochs) == ({}, (), 0)
    assert lowered.checkpoint is None
    assert list(lowered.seconds) == ["lower"]
    assert lowered.graph


def test_costs_are_those_of_the_network(lowered):
    network = network_of(trial(0), _shared(JOB).sample, JOB.seed)
    assert lowered.costs["params"] == sum(p.numel() for p in network.parameters())
    assert lowered.costs["size_bytes"] > 4 * lowered.costs["params"]
    larger = evaluate(trial(0, point={**POINT, "width": 8}))
    assert larger.graph != lowered.graph
    for name in ("params", "macs", "size_bytes"):
        assert larger.costs[name] > lowered.costs[name]


def test_full_fidelity_is_complete(trained, job):
    assert (trained.state, trained.failure, trained.epochs) == ("complete", None, 3)
    assert set(trained.scores) >= {"auc", "accuracy"}
    assert [point["epoch"] for point in trained.curve] == [1, 2, 3]
    best = max(trained.curve, key=lambda point: point["auc"])
    assert trained.scores["auc"] == best["auc"]
    assert set(trained.seconds) == {"lower", "train"}
    assert trained.device
    assert trained.costs == evaluate(trial(0), job).costs


def test_same_trial_gives_the_same_outcome(trained, job):
    alike(evaluate(trial(3, number=5, name="another"), job), trained)


def test_same_trial_gives_the_same_outcome_in_another_process(trained, job, tmp_path):
    given, answer = tmp_path / "given", tmp_path / "answer"
    given.write_bytes(pickle.dumps((Evaluate(job), trial(3))))
    script = (
        "import pickle, sys; from pathlib import Path\n"
        "evaluate, trial = pickle.loads(Path(sys.argv[1]).read_bytes())\n"
        "evaluate.warm(0)\n"
        "Path(sys.argv[2]).write_bytes(pickle.dumps(evaluate(trial)))"
    )
    subprocess.run([sys.executable, "-c", script, given, answer], check=True)
    other = pickle.loads(answer.read_bytes())
    assert other.graph == trained.graph
    assert other.costs == trained.costs
    for mine, theirs in zip(other.curve, trained.curve, strict=True):  # threads may differ
        assert mine == pytest.approx(theirs, abs=1e-2)


def test_paused_outcome_continues(trained, job):
    paused = evaluate(trial(1), job)
    assert (paused.state, paused.epochs) == ("paused", 1)
    nothing = Job(task=TASK, data=PHANTOM, targets=("there is none",))  # lowered once, not again
    finished = evaluate(trial(3, previous=paused), nothing)
    assert finished.seconds["train"] > paused.seconds["train"]
    alike(finished, trained)


def test_lowered_outcome_continues(trained, job):
    before = evaluate(trial(0), job)
    alike(evaluate(trial(3, previous=before), job), trained)


def test_broken_limit_is_not_trained(job, lowered):
    bound = lowered.costs["params"] / 2
    strict = replace(job, task=TASK.changed(limits={"params": bound, "size_bytes": 1e9}))
    outcome = evaluate(trial(3), strict)
    assert (outcome.state, outcome.settled) == ("infeasible", True)
    assert outcome.violations == pytest.approx(
        {"params": 1.0, "size_bytes": lowered.costs["size_bytes"] / 1e9 - 1}
    )
    assert (dict(outcome.scores), outcome.curve, outcome.checkpoint) == ({}, (), None)
    assert "train" not in outcome.seconds
    assert set(outcome.costs) == set(lowered.costs)


def test_a_limit_that_is_just_met_is_met(job, lowered):
    kind = replace(job, task=TASK.changed(limits={"params": lowered.costs["params"]}))
    assert evaluate(trial(0), kind).feasible


def test_baseline_is_free_of_limits_and_ranges(job):
    strict = replace(job, task=TASK.changed(limits={"params": 1.0}))
    beyond = {"width": 6, "stages": 2, "depth": 1}  # no multiple of four, and most left out
    outcome = evaluate(trial(1, point=beyond, origin=BASELINE, name="mine"), strict)
    assert (outcome.failure, outcome.epochs, dict(outcome.violations)) == (None, 1, {})
    searched = evaluate(trial(1, point={**POINT, "width": 6}), job)
    assert "width" in searched.failure


def test_known_latency_is_taken_as_it_is(lowered):
    made_up = {"latency_ms": 123.5, "latency_p95_ms": 130.25, "latency_relative": 7.75}
    known = replace(JOB, latencies={memo_key(lowered.graph, PLACE): made_up})
    costs = evaluate(trial(0), known).costs
    assert {name: costs[name] for name in made_up} == made_up
    assert {n: v for n, v in costs.items() if n not in made_up} == {
        n: v for n, v in lowered.costs.items() if n not in made_up
    }
    elsewhere = memo_key(lowered.graph, PLACE).replace("onnxruntime", "another runtime")
    unknown = replace(JOB, latencies={elsewhere: made_up})
    assert evaluate(trial(0), unknown).costs["latency_ms"] != 123.5


def test_a_trial_has_its_own_latency_before_that_of_its_graph(lowered):
    own = {"latency_ms": 1.5, "latency_p95_ms": 1.6, "latency_relative": 7.0}
    other = {"latency_ms": 2.5, "latency_p95_ms": 2.6, "latency_relative": 8.0}
    latencies = {
        memo_key(lowered.graph, PLACE, "vgg-000"): own,
        memo_key(lowered.graph, PLACE): other,
    }
    known = replace(JOB, latencies=latencies)
    for name, wanted in (("vgg-000", own), ("vgg-001", other), ("", other)):
        costs = evaluate(trial(0, name=name), known).costs
        assert {cost: costs[cost] for cost in own} == wanted, name


def test_memo_key_tells_graph_target_processor_and_runtime(lowered):
    key = memo_key(lowered.graph, PLACE)
    assert key.startswith(f"{lowered.graph}|onnx|")
    assert "onnxruntime" in key
    assert memo_key("other", PLACE) != key != memo_key(lowered.graph, PLACE, "vgg-000")


# What can go wrong.

FAMILIES = {
    "raises": 'raise ValueError("it broke\\nand said more")',
    "opens": 'open("/home/somebody/patients/scan.nii")',
    "imports": "import a_module_that_nobody_wrote",
    "greedy": "return nn.Linear(10**8, 10**8)",
    "greedy_numpy": "import numpy; return numpy.zeros(10**15)",
    "not_a_number": (
        "net = nn.Sequential(nn.Flatten(), nn.Linear(1024, 2)); "
        "nn.init.constant_(net[1].weight, float('nan')); return net"
    ),
    "wrong_shape": "return nn.Sequential(nn.Flatten(), nn.Linear(7, 2))",
    "no_network": "return None",
    "endless": "return self.build(sample)",
    "asserts": "assert False",
    "exports_not": "return Choosy()",
}
REASONS = {
    "raises": "ValueError: it broke",
    "opens": "FileNotFoundError",
    "imports": "a_module_that_nobody_wrote",
    "greedy": "out of memory",
    "greedy_numpy": "out of memory",
    "not_a_number": "loss became nan in epoch 1",
    "endless": "RecursionError",
    "asserts": "AssertionError",
}
SOURCE = """
from dataclasses import dataclass
from torch import nn
from automed.family import Family
from automed.space import choice

class Choosy(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1024, 2)
    def forward(self, x):
        flat = x.flatten(1)
        return self.linear(flat) if flat.sum().item() > 0 else self.linear(-flat)

@dataclass(frozen=True, kw_only=True)
class Broken(Family):
    width: int = choice(1, 2)
    def build(self, sample):
        {body}

FAMILY = Broken
"""


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """Families of a third party that break in ways of their own."""
    monkeypatch.syspath_prepend(tmp_path)
    for name, body in FAMILIES.items():
        (tmp_path / f"broken_{name}.py").write_text(SOURCE.format(body=body))
        monkeypatch.setitem(registry.places("family"), name, f"broken_{name}")
    return tmp_path


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "exports_not"])
def test_what_breaks_is_a_failed_outcome(broken, name):
    outcome = evaluate(trial(2, family=name, point={"width": 1}))
    assert (outcome.state, outcome.settled) == ("failed", True)
    assert REASONS.get(name, "") in outcome.failure
    assert (dict(outcome.scores), outcome.checkpoint) == ({}, None)
    telltale = [str(broken), "/home", "/root", "/tmp", "/usr", "site-packages"]
    assert [text for text in telltale if text in outcome.failure] == []
    assert "\n" not in outcome.failure
    assert len(outcome.failure) < 400


def test_what_a_target_cannot_run_is_infeasible_and_costs_no_training(broken):
    outcome = evaluate(trial(2, family="exports_not", point={"width": 1}))
    assert (outcome.state, outcome.settled) == ("infeasible", True)
    assert outcome.violations == {"runs on onnx": 1.0}
    assert "Python number" in outcome.refusals["onnx"]
    assert str(broken) not in outcome.refusals["onnx"]
    assert outcome.costs.keys() == {"params", "macs"}
    assert (dict(outcome.scores), outcome.trainings(2)) == ({}, 0)


def test_a_worker_goes_on_after_a_failure(broken, job, trained):
    evaluator = Evaluate(job)
    for name in ("greedy", "not_a_number", "endless"):
        assert evaluator(trial(2, family=name, point={"width": 1})).failure
    alike(evaluator(trial(3)), trained)


def test_diverging_training_fails_with_its_epoch(job):
    hot = {"batch": 32, "patience": 1, "learning_rate": 1e38, "warmup": 0}
    outcome = evaluate(trial(3), replace(job, task=TASK.changed(training=hot)))
    assert outcome.state == "failed"
    assert "epoch" in outcome.failure


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"family": "rsnet"}, "did you mean 'resnet'"),
        ({"point": {"width": 4}}, "needs"),
        ({"point": {**POINT, "kernel": 4}}, "kernel"),
    ],
)
def test_a_trial_that_makes_no_sense_fails(changes, reason):
    try:
        outcome = evaluate(trial(1, **changes))
    except Exception as error:
        pytest.fail(f"raised {error!r}")
    assert outcome.failure
    assert reason in outcome.failure or "KeyError" in outcome.failure


def test_data_that_cannot_be_read_fails_without_its_folder(tmp_path):
    for source in (tmp_path / "absent.npz", tmp_path / "absent", tmp_path):
        outcome = evaluate(trial(1), replace(JOB, data=str(source)))
        assert outcome.failure
        assert str(tmp_path) not in outcome.failure
        assert "/" not in outcome.failure.replace("npz/", "")


# What a worker never sees.


def test_a_worker_holds_training_and_validation_alone():
    script = f"""
import gc
from automed.data.dataset import Dataset
from automed.data.splits import Parts, Sealed
from automed.evaluate import Evaluate, Job, _shared, _tensors
from automed import registry
job = Job(task=registry.task("lung-ct"), data={PHANTOM!r})
Evaluate(job).warm(0)
shared = _shared(job)
assert set(vars(shared)) == {{"sample", "train", "val"}}
gc.collect()
alive = [o for o in gc.get_objects() if isinstance(o, (Dataset, Parts, Sealed))]
assert {{id(o) for o in alive}} == {{id(shared.train), id(shared.val)}}, alive
assert all(a.base is None for d in alive for a in (d.images, d.truth))
print(len(shared.train) + len(shared.val))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    parts = data.open_parts(data.Source(place=PHANTOM, hu_window=TASK.window))
    assert len(parts.sealed) > 0
    assert int(done.stdout) == len(parts.train) + len(parts.val) == 300 - len(parts.sealed)


def test_the_sealed_part_has_no_say(tmp_path, trained, job):
    """Other pixels and labels under test, the same outcome to the last bit."""
    phantom = data.read(PHANTOM, {})
    rng = np.random.default_rng(0)
    patient = phantom.groups
    split = np.select([patient < 18, patient < 24], ["train", "val"], "test")
    test = split == "test"
    outcomes = []
    for version in ("true", "corrupt"):
        images, labels = phantom.images[:, 0].copy(), phantom.truth.copy()
        if version == "corrupt":
            images[test] = rng.integers(-1024, 1500, images[test].shape)
            labels[test] = 1 - labels[test]
        path = tmp_path / f"{version}.npz"
        np.savez(path, images=images, labels=labels, patient=patient, split=split)
        outcomes.append(evaluate(trial(2), replace(job, data=str(path))))
        assert outcomes[-1].failure is None
    alike(*outcomes)
    (tmp_path / "seen.npz").unlink(missing_ok=True)
    images = phantom.images[:, 0].copy()
    images[split == "train"] = images[split == "train"][::-1]
    np.savez(tmp_path / "seen.npz", images=images, labels=phantom.truth, split=split)
    seen = evaluate(trial(2), replace(job, data=str(tmp_path / "seen.npz")))
    assert seen.curve != outcomes[0].curve, "training images do have a say"


def test_warming_loads_the_data_once():
    job = replace(JOB, seed=4)
    Evaluate(job).warm(0)
    misses = _opened.cache_info().misses, _tensors.cache_info().misses
    Evaluate(job).warm(1)
    assert evaluate(trial(1), job).failure is None
    assert (_opened.cache_info().misses, _tensors.cache_info().misses) == misses
    gc.collect()


def test_evaluate_and_its_outcome_travel(trained):
    assert pickle.loads(pickle.dumps(Evaluate(JOB))) == Evaluate(JOB)
    assert pickle.loads(pickle.dumps(trained)).checkpoint == trained.checkpoint
