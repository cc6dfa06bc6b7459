"""Strategies on real images, each as long on the clock, judged on a part that none of them saw.

    python studies/benchmarks/strategies_on_images.py DATA [--task lung-ct] [--minutes 10]
        [--strategies pareto,optuna:tpe,random] [--seeds 0,1,2] [--workers N] [--runs DIR]
        [--out FILE]

DATA is what `automed search --data` takes. Runs follow each other, a seed's strategies one after
the other on the same split, by default with a worker for each core. What is told is the share of
the area from an AUC of 0.5 to 1 and from FASTEST_MS to SLOWEST_MS, on a logarithmic scale, that the
models of a run's front dominate by their scores on the sealed part. A run that is already in --runs
is read.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

import automed
from automed.api import Run
from automed.front import hypervolume
from automed.report.results import Results
from automed.run import RESULTS_FILE

FASTEST_MS, SLOWEST_MS = 0.02, 2.0
"""Between these latencies a front is judged; what is faster counts as FASTEST_MS."""
CHANCE = 0.5
"""The AUC that nothing is worth."""
MANY = 100_000
"""More trainings than the time allows."""


def main() -> None:
    """Search with every strategy and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--task", default="lung-ct")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--strategies", default="pareto,optuna:tpe,random")
    parser.add_argument("--seeds", type=lambda t: [*map(int, t.split(","))], default=[0, 1, 2])
    parser.add_argument("--workers", type=int)
    parser.add_argument("--runs", type=Path, default=Path("runs/strategies"))
    parser.add_argument("--out", type=Path, default=Path("strategies.csv"))
    given = parser.parse_args()
    rows = []
    for seed in given.seeds:
        for strategy in given.strategies.split(","):
            folder = given.runs / f"{strategy.replace(':', '-')}-{seed}"
            results = searched(given, strategy, seed, folder).results
            states = [str(trial["state"]) for trial in results.trials]
            rows.append(
                {
                    "strategy": strategy,
                    "seed": seed,
                    "hypervolume": covered(results),
                    "best AUC": max(m.sealed["auc"].value for m in results.front),
                    "front": len(results.front),
                    "complete": states.count("complete"),
                    "stopped": states.count("stopped"),
                }
            )
            print(pd.DataFrame(rows[-1:]).to_string(index=False), flush=True)
            pd.DataFrame(rows).to_csv(given.out, index=False)
    tell(pd.DataFrame(rows), given.strategies.split(","))


def searched(given: argparse.Namespace, strategy: str, seed: int, folder: Path) -> Run:
    """A run: read or made."""
    if (folder / RESULTS_FILE).is_file():
        return Run.open(folder)
    return automed.search(
        given.task,
        given.data,
        out=folder,
        trials=MANY,
        epochs=given.epochs,
        hours=given.minutes / 60,
        seed=seed,
        workers=given.workers,
        strategy=strategy,
        baselines=(),
        examples=False,
    )


def covered(results: Results) -> float:
    """The share of the area between the ends of both axes that a front dominates."""
    values = [
        (m.sealed["auc"].value, math.log(max(m.costs["latency_ms"], FASTEST_MS)))
        for m in results.front
    ]
    whole = (1 - CHANCE) * math.log(SLOWEST_MS / FASTEST_MS)
    corner = (CHANCE, math.log(SLOWEST_MS))
    return hypervolume(values, ("maximize", "minimize"), corner) / whole


def tell(table: pd.DataFrame, strategies: list[str]) -> None:
    """Means with 95 % intervals over seeds, and the first strategy against each other one."""
    wide = table.pivot_table(index="seed", columns="strategy", values="hypervolume")
    print(f"hypervolume on the sealed part, {len(wide)} seeds, mean [95 % by Student's t]")
    for strategy in strategies:
        print(f"  {strategy:<14} {_text(wide[strategy].to_numpy())}")
    for other in strategies[1:]:
        difference = (wide[strategies[0]] - wide[other]).to_numpy()
        print(f"  {strategies[0]} - {other}: {_text(difference)}")


def _text(values_N: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> str:
    mean = float(values_N.mean())
    if len(values_N) < 2:
        return f"{mean:.3f}"
    half = stats.sem(values_N) * stats.t.ppf(0.975, len(values_N) - 1)
    return f"{mean:.3f} [{mean - half:.3f}, {mean + half:.3f}]"


if __name__ == "__main__":
    main()
