"""The front in int8: what breaks on the way costs int8, and never the run."""

import errno
from dataclasses import replace

import pytest

from automed import data, registry
from automed.evaluate import Evaluate, Job
from automed.exporters import Attempt, norms
from automed.finalists import exported
from automed.judge import Judge
from automed.problems.classification import PROBLEM
from automed.quantised import in_int8
from automed.trial import Trial

TASK = registry.task("lung-ct").changed(limits={}, budget={"trials": 2, "epochs": 2}, baselines=())
JOB = Job(task=TASK, data="phantom:lung-ct?patients=30&seed=1")
QUANTIZER = registry.part("quantizer", "onnx")


@pytest.fixture(scope="module")
def parts():
    return data.open_parts(data.Source(place=JOB.data, hu_window=TASK.window))


@pytest.fixture(scope="module")
def tried(parts):
    point = registry.family("vgg")(width=4, stages=2, stem="stride2").config()
    trial = Trial(7, "vgg", point, 2, name="vgg-007")
    outcome = Evaluate(JOB)(trial)
    (finalist,), _ = exported(
        JOB, parts.train, parts.val, [(trial, outcome)], lambda _: outcome.checkpoint, {}, print
    )
    return trial, outcome.checkpoint, finalist


def in_the_end(parts, tried):
    trial, checkpoint, finalist = tried
    judge = Judge(PROBLEM, "auc", 0, parts.val, [finalist])
    return in_int8(JOB, parts, finalist, trial, checkpoint, judge, {}, 0.01)


def test_a_quantizer_that_breaks_costs_int8_alone(parts, tried, monkeypatch):
    def broken(*arguments):
        yield Attempt(how="int8 of nothing", artefact=b"")
        raise ValueError("no scale in /home/somebody/quant.py")

    monkeypatch.setattr(QUANTIZER, "attempts", broken)
    finalist, (rejected,) = in_the_end(parts, tried)
    assert [file.label for file in finalist.files] == ["onnx"]
    nothing, broke = rejected.rejected.split("; ")
    assert nothing.startswith("int8 of nothing: ")
    assert broke == "int8: ValueError: no scale in quant.py"


def test_a_full_disk_is_no_reason_against_int8(parts, tried, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")
        yield

    monkeypatch.setattr(QUANTIZER, "attempts", full)
    with pytest.raises(OSError, match="No space"):
        in_the_end(parts, tried)


def test_a_file_in_stages_is_made_int8_in_stages(parts, tried, monkeypatch):
    trial, checkpoint, finalist = tried
    staged = replace(finalist, files=(replace(finalist.files[0], how=norms.HOW),))
    seen = []
    monkeypatch.setattr(norms, "staged", lambda model: seen.append(model) or model)
    in_the_end(parts, (trial, checkpoint, staged))
    assert seen
