"""What a search comes to, in words."""

from types import SimpleNamespace

import pytest

from automed import registry
from automed.conclude import ARTEFACTS, _over, _reason, _told, tidy
from automed.report.results import File, Interval, Model
from automed.timing import Timings
from automed.trial import Outcome, Trial


def model(name, auc, latency_ms):
    return Model(
        name=name,
        origin="search",
        trial=0,
        family="vgg",
        validation={"auc": Interval(auc, auc, auc)},
        sealed={},
        costs={"latency_ms": latency_ms},
    )


@pytest.mark.parametrize(
    ("latency_ms", "price"),
    [(3.0, "for 3.0 times the latency."), (1.04, "at about the same latency.")],
)
def test_the_reason_says_what_more_latency_would_buy(latency_ms, price):
    models = (model("quick", 0.9, 1.0), model("best", 0.908, latency_ms))
    told = _reason(models, "quick", ["quick", "middle", "best"], "auc", better=1.0)
    assert told.startswith(
        "quick, the knee among the 3 models not significantly worse than the best: "
        "validation AUC 0.900 at 1.000 ms;"
    )
    assert told.endswith(f"the most accurate, best, has 0.908 {price}")


@pytest.mark.parametrize(
    ("others", "contenders", "why"),
    [
        ([], ["best"], "the only one"),
        (["quick"], ["best"], "all faster ones are significantly worse"),
        (["quick"], ["quick", "best"], "no clear knee among those that come close"),
    ],
)
def test_the_reason_for_the_most_accurate_model(others, contenders, why):
    models = (*(model(name, 0.8, 0.5) for name in others), model("best", 0.9, 1.0))
    told = _reason(models, "best", contenders, "auc", better=1.0)
    assert told.startswith(f"best, the most accurate model of the front ({why}): validation AUC")


def test_a_limit_that_is_broken_in_the_end_is_told():
    limits = {"latency_ms": 2.0, "size_bytes": 1e6}
    assert _over(limits, {"latency_ms": 2.0, "size_bytes": 5e5}) == ""
    told = _over(limits, {"latency_ms": 2.25, "size_bytes": 2e6})
    assert told == "latency 2.25 ms of at most 2 ms, size 2 MB of at most 1 MB"


def latencies(name, again):
    """Of a trial that was timed in the search, and maybe again in the end."""
    costs = {"latency_ms": 2.0, "latency_p95_ms": 3.0, "latency_relative": 4.0}
    trial = Trial(
        1, "vgg", {"family": "vgg"} | registry.family("vgg")().config(), 1, name="vgg-001"
    )
    timings = {"": Timings({name: again}, reference_ms=0.25)}
    return _told(trial, Outcome(costs=costs, finished=True), timings, complete=True)["costs"]


def test_latencies_of_a_trial_are_of_one_session():
    again = {"latency_ms": 1.5, "latency_p95_ms": 1.75, "latency_relative": 6.0}
    assert latencies("vgg-001", again) == again | {"latency_while_searching_ms": 2.0}
    scaled = latencies("another", again)
    assert scaled == {
        "latency_ms": 1.0,
        "latency_p95_ms": 1.5,
        "latency_relative": 4.0,
        "latency_while_searching_ms": 2.0,
    }


def test_files_of_an_earlier_conclusion_go(tmp_path):
    folder = tmp_path / ARTEFACTS
    folder.mkdir()
    for name in ("vgg-001.onnx", "vgg-001.int8.onnx", "vgg-002.onnx", "notes.txt"):
        (folder / name).write_bytes(b"")
    files = (File(target="onnx", precision="fp32", path=f"{ARTEFACTS}/vgg-001.onnx"),)
    tidy(tmp_path, SimpleNamespace(models=(SimpleNamespace(files=files),)))
    assert sorted(p.name for p in folder.iterdir()) == ["notes.txt", "vgg-001.onnx"]
