"""The benchmark of search strategies, on a made-up table that says nothing but that it runs."""

import subprocess
import sys
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

SCRIPT = Path(__file__).parents[2] / "studies" / "benchmarks" / "search_efficiency.py"
LOW_COST = 0.25


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Five genes of three letters: a good one costs latency, a short training tells most of it."""
    rows = [
        {
            "arch": "".join(map(str, genes)),
            "acc": 90 + sum(genes) - 0.5 * genes[0],
            "acc1": 60 + 2 * sum(genes) + genes[1],
            "ms": 1 + sum(genes[1:]) ** 1.5,
        }
        for genes in product(range(3), repeat=5)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "toy.csv", index=False)
    return tmp_path / "toy.csv"


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *options], capture_output=True, text=True, check=False
    )


def searched(table: Path, out: Path, *options: str) -> pd.DataFrame:
    columns = ("--genes", "arch", "--high", "acc", "--latency", "ms")
    done = run("--table", str(table), *columns, "--out", str(out), *options)
    assert done.returncode == 0, done.stderr
    rows = pd.read_csv(out)
    for method in rows["method"].unique():
        assert method in done.stdout
    assert out.with_suffix(".html").is_file()
    return rows


def test_cost_is_counted_and_more_of_it_covers_more(table: Path, tmp_path: Path) -> None:
    rows = searched(
        table,
        tmp_path / "out.csv",
        *("--low", "acc1", "--low-cost", str(LOW_COST), "--seeds", "2", "--cost", "50"),
        *("--only", "pareto,random,Optuna NSGA,NNI evolution,pymoo"),
    )
    assert len(rows) == 2 * 7
    for _, row in rows.iterrows():
        assert 0 < row["at 25"] <= row["at 50"] <= 1 + 1e-9
        if row["method"] == "pareto":
            short = row["lowered"] - row["trained"]
            assert 0 < short * LOW_COST < 50 - row["trained"] + 1
            assert row["trained"] < 45
        else:
            assert row["trained"] == 50
    means = rows.groupby("method")["at 50"].mean()
    assert means["pareto"] > means["random"]


def test_a_search_of_the_whole_table_covers_its_front(table: Path, tmp_path: Path) -> None:
    rows = searched(
        table, tmp_path / "out.csv", "--seeds", "1", "--cost", "500", "--only", "random"
    )
    assert 0.95 * 3**5 < rows["trained"].item() <= 3**5  # it ends where all it draws is known
    assert 0.95 < rows["at 500"].item() <= 1 + 1e-9


@pytest.mark.parametrize(
    ("options", "cure"),
    [((), "--table"), (("--table", "x.csv"), "--genes")],
)
def test_what_is_missing_is_named(options: tuple[str, ...], cure: str) -> None:
    done = run(*options)
    assert done.returncode == 2
    assert cure in done.stderr
