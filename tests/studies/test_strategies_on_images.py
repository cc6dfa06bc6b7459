"""The benchmark of strategies on images, at a size that says nothing but that it runs."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

SCRIPT = Path(__file__).parents[2] / "studies" / "benchmarks" / "strategies_on_images.py"


@pytest.mark.slow
def test_every_strategy_is_judged_on_the_sealed_part(tmp_path: Path) -> None:
    options = ["phantom:lung-ct?patients=24", "--minutes", "0.2", "--epochs", "1", "--seeds", "0,1"]
    options += ["--strategies", "pareto,random"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "strategies.csv")
    assert list(table["strategy"]) == ["pareto", "random"] * 2
    assert table["hypervolume"].between(0, 1).all()
    assert (table["complete"] > 0).all()
    assert "pareto - random:" in done.stdout
