"""The benchmark of the training loop, at a size that says nothing but that it runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "studies" / "benchmarks" / "throughput.py"


@pytest.mark.slow
def test_both_loops_train_every_network() -> None:
    options = ("--images", "64", "--epochs", "1", "--rounds", "1")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = re.findall(r"^(\w+) +\w+ +(\d+)/s +(\d+)/s +([\d.]+)x$", done.stdout, re.MULTILINE)
    assert [name for name, *_ in lines] == ["resnet", "unet", "mobile"]
    for _, ours, theirs, ratio in lines:
        assert int(ours) / int(theirs) == pytest.approx(float(ratio), rel=0.05)
    assert done.stdout.count("geometric mean") == 3
