"""The table of what int8 was worth, of a run that has it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from automed import api

SCRIPT = Path(__file__).parents[2] / "studies/benchmarks/int8.py"


@pytest.mark.slow
def test_it_counts_what_a_run_kept(tmp_path):
    run = api.search(
        data="phantom:lung-ct?patients=30&seed=1",
        out=tmp_path / "run",
        trials=2,
        epochs=1,
        workers=1,
        families=["vgg", "mobile"],
        baselines=[],
        max_drop=1.0,
    )
    done = subprocess.run(
        [sys.executable, SCRIPT, run.folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    kept, tried = map(int, re.search(r"onnx: (\d+) of (\d+) front models", done.stdout).groups())
    files = [f for m in run.results.front for f in m.files if f.precision == "int8"]
    assert (kept, tried) == (sum(not f.rejected for f in files), len(files))
