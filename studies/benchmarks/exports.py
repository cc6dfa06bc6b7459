"""Random architectures of every task on every target: do their files load, run and agree?

    python studies/benchmarks/exports.py [--tasks lung-ct,...] [--targets onnx,...]
        [--architectures 50] [--seed 0] [--out exports.csv]

Each task's embedded data is taken, so every problem is met in 2D and 3D. An architecture is drawn
from the task's own space; its weights are random, its batch norms have seen a batch of the training
part. The file is loaded in a fresh process that has its runtime alone, runs over SAMPLES validation
samples and is compared with its network there. A target may refuse an architecture before it has a
file: a search never trains that. What counts is that every file there is agrees.

It goes on where an earlier call with the same --out and --seed was stopped.
"""

import argparse
import copy
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from automed import data, registry
from automed.artefacts import answers
from automed.data.splits import Parts
from automed.evaluate import Job, network_of, source
from automed.exporters import verify
from automed.failure import reason
from automed.lowering import LIMIT_S, deployed, limited
from automed.plan import DEFAULT_TARGETS
from automed.strategies.random_search import drawn_point
from automed.trial import Trial

SAMPLES = 4
BATCH = 8
COLUMNS = ("task", "problem", "dims", "target", "seed", "number", "family", "verdict")


def main() -> None:
    """Try what is asked for and has not been tried, a row a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--tasks", type=lambda text: text.split(","), default=registry.names("task")
    )
    parser.add_argument("--targets", type=lambda text: text.split(","), default=DEFAULT_TARGETS)
    parser.add_argument("--architectures", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("exports.csv"))
    given = parser.parse_args()
    rows: list[Any] = pd.read_csv(given.out).to_dict("records") if given.out.is_file() else []
    done = {(r["task"], r["target"], r["seed"], r["number"]) for r in rows}
    for task in given.tasks:
        wanted = [
            (number, target)
            for number in range(given.architectures)
            for target in given.targets
            if (task, target, given.seed, number) not in done
        ]
        for row in tried(task, wanted, given.seed) if wanted else ():
            rows.append(row)
            pd.DataFrame(rows).to_csv(given.out, index=False)
            print("  ".join(str(row[name]) for name in COLUMNS), flush=True)
    print(summary(pd.DataFrame(rows)).to_string(index=False))


def tried(name: str, wanted: list[tuple[int, str]], seed: int) -> Iterator[dict[str, Any]]:
    """Architectures of a task, by number, on targets: a row each."""
    task = registry.task(name)
    job = Job(task=task, data=task.data, seed=seed)
    parts = data.open_parts(source(job))
    sample = parts.train.sample
    space = registry.space(task.families, task.problem, sample.dims)
    few = parts.val.rows(np.arange(min(SAMPLES, len(parts.val))))
    for number, target in wanted:
        point = drawn_point(space, random.Random(f"{seed}/{number}"))
        trial = Trial(number, str(point["family"]), point, 1)
        network = seasoned(network_of(trial, sample, seed), parts)
        started = time.perf_counter()
        row = {
            "task": name,
            "problem": task.problem,
            "dims": sample.dims,
            "target": target,
            "seed": seed,
            "number": number,
            "family": trial.family,
        }
        exporter = registry.part("exporter", target)
        model = deployed(network, task, sample)
        try:
            with limited(LIMIT_S, f"lowering to {target}"):
                content = exporter.export(copy.deepcopy(model), sample.inputs, {})
                exporter.load(content).rehearse()
        except Exception as error:
            yield {**row, "verdict": "refused", "reason": reason(error)}
            continue
        try:
            its = answers(target, content, few)
            row["difference"] = verify("it", its, model.outputs(few.given), sample.target.scale)
            row["verdict"] = "agrees"
        except Exception as error:
            row |= {"verdict": "BROKEN", "reason": reason(error)}
        yield {**row, "seconds": round(time.perf_counter() - started, 2)}


def seasoned(network: nn.Module, parts: Parts) -> nn.Module:
    """The network with statistics of a batch in its norms, as if it had begun to learn."""
    from automed.exporters.deployed import ready

    rows = parts.train.rows(np.arange(min(BATCH, len(parts.train))))
    specs = parts.train.sample.inputs
    raw = (torch.from_numpy(x.astype(np.float32)) for x in rows.given)
    given = [ready(x, spec) for x, spec in zip(raw, specs, strict=True)]
    with torch.no_grad():
        network.train()
        network(*given)
    return network.eval()


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Verdicts by problem, dimensions and target."""
    counts = rows.groupby(["problem", "dims", "target", "verdict"]).size().unstack(fill_value=0)
    return counts.reset_index()


if __name__ == "__main__":
    main()
