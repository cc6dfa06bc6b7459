"""Five random architectures of a task of each kind of problem, on every target that CI has."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

SCRIPT = Path(__file__).parents[2] / "studies/benchmarks/exports.py"
COLUMNS = ["task", "target", "number"]


def tried(out, *arguments):
    done = subprocess.run(
        [sys.executable, SCRIPT, "--out", out, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, pd.read_csv(out)


def test_it_goes_on_where_it_was_stopped(tmp_path):
    out = tmp_path / "exports.csv"
    _, first = tried(out, "--tasks", "ecg-beats", "--architectures", "1")
    said, both = tried(out, "--tasks", "ecg-beats", "--architectures", "2")
    assert both[COLUMNS].values.tolist() == [["ecg-beats", "onnx", 0], ["ecg-beats", "onnx", 1]]
    assert both.iloc[0].seconds == first.iloc[0].seconds, "the first was not done again"
    assert set(both.verdict) == {"agrees"}
    assert said.count("ecg-beats") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "targets"),
    [
        ("lung-ct", "onnx,openvino,executorch,ort"),
        ("lung-ct-3d", "onnx,openvino,executorch"),
        ("lung-ct-seg", "onnx,openvino"),
        ("brain-mri-seg", "onnx,openvino"),
        ("lung-ct-detect", "onnx,openvino"),
        ("lung-ct-denoise", "onnx,openvino"),
        ("lung-ct-anomaly", "onnx,openvino"),
        ("brain-mri-register", "onnx"),
    ],
)
def test_every_file_there_is_agrees(tmp_path, task, targets):
    arguments = ("--tasks", task, "--targets", targets, "--architectures", "5")
    _, rows = tried(tmp_path / "exports.csv", *arguments)
    assert len(rows) == 5 * len(targets.split(","))
    assert not rows[rows.verdict == "BROKEN"].to_dict("records")
    assert (rows[rows.target == "onnx"].verdict == "agrees").all()
    assert (rows.verdict == "agrees").mean() >= 0.8
