"""A search whose models are timed on a board."""

import pytest

from automed import api
from automed.devices import called
from automed.errors import DeviceError

pytestmark = pytest.mark.usefixtures("inline")
OPTIONS = {
    "data": "phantom:lung-ct?patients=30&seed=1",
    "trials": 1,
    "epochs": 1,
    "workers": 1,
    "executor": "inline",
    "families": ["mobile"],
    "baselines": ["logistic-regression"],
    "max_drop": None,
    "examples": False,
}


def test_latency_is_that_of_the_first_device(board, tmp_path):
    run = api.search(out=tmp_path / "run", devices=(board.name,), **OPTIONS)
    assert run.best.costs["latency_ms"] > 0
    assert run.results.timed_on == f"onnx on {called(board.name)}, batch 1"
    assert "host CPU" not in (run.folder / "report.html").read_text()
    assert board.left() == []


def test_another_device_is_an_objective_of_its_own(board, tmp_path):
    there = f"latency_ms@{called(board.name)}"
    run = api.search(
        out=tmp_path / "run",
        devices=("host", board.name),
        objectives=["auc", "latency_ms", there],
        **OPTIONS,
    )
    assert list(run.results.objectives) == ["auc", "latency_ms", there]
    assert run.best.costs[there] != run.best.costs["latency_ms"]
    (trial,) = run.results.trials
    assert trial["costs"][there] == run.best.costs[there]


def test_a_board_that_is_not_there_is_one_line_before_the_search(board, tmp_path):
    board.python(None)
    with pytest.raises(DeviceError, match="python3"):
        api.search(out=tmp_path / "run", devices=(board.name,), **OPTIONS)
    assert not (tmp_path / "run").exists()
