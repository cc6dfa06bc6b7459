"""The benchmark of the engine's own cost, at a size that says nothing but that it runs."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

SCRIPT = Path(__file__).parents[2] / "studies" / "benchmarks" / "overhead.py"


def measured(folder: Path, *options: str) -> pd.DataFrame:
    out = folder / "overhead.csv"
    command = [sys.executable, str(SCRIPT), "--out", str(out), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(out)
    for case in table["case"]:
        assert case in done.stdout
    assert (table["wall s"] > 0).all()
    return table


def test_a_trial_and_its_growth_are_measured(tmp_path: Path) -> None:
    table = measured(
        tmp_path,
        *("--only", "trials,growth", "--trials", "4", "--executors", "local"),
        *("--sizes", "5,10", "--strategies", "random,optuna:tpe"),
    )
    assert list(table["part"]) == ["trials"] + ["growth"] * 8
    assert list(table["trials"]) == [4] + [5] * 4 + [10] * 4
    assert set(table["case"]) == {"automed, local", "random", "optuna:tpe"}


@pytest.mark.slow
def test_a_study_is_opened_and_reported(tmp_path: Path) -> None:
    table = measured(tmp_path, "--only", "study", "--sizes", "30")
    assert list(table["what"]) == ["open", "report", "export and time finalists"]


@pytest.mark.ray
def test_ray_stands_beside_plain_ray_tune(tmp_path: Path) -> None:
    table = measured(tmp_path, "--only", "trials", "--trials", "4", "--executors", "ray")
    ratios = table.set_index("case")["of Tune's with reuse_actors"]
    assert ratios["plain Ray Tune, reuse_actors"] == 1
    assert ratios["automed, ray"] > 0
