"""Random architectures of every task on every target: do their files load, run and agree?

    python studies/benchmarks/exports.py [--tasks lung-ct,...] [--targets onnx,...]
        [--architectures 50] [--seed 0] [--out exports.csv]

Each task's embedded data is taken, so every problem is met in 2D and 3D. An architecture is drawn
from the task's own space and trained for an epoch of TRAINED samples, BATCH a step: the weights of
a front are learnt, and deep networks that have learnt nothing, or whose norms have hardly seen a
batch, make much of rounding errors. The file is loaded in a fresh process that has its runtime
alone, runs over SAMPLES validation samples and is compared with its network there, as at the end of
a search. A target may refuse an architecture before it has a file: a search never trains that. What
counts is that every file there is agrees.

It goes on where an earlier call with the same --out and --seed was stopped.
"""

import argparse
import copy
import itertools
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from automed import data, registry
from automed.artefacts import ported
from automed.data.dataset import Dataset
from automed.errors import DeviceError, DisagreementError
from automed.evaluate import Job, architecture, network_of, schedule, source
from automed.exporters.deployed import Deployed
from automed.failure import reason
from automed.finalists import trained_network
from automed.lowering import LIMIT_S, deployed, limited
from automed.plan import DEFAULT_TARGETS
from automed.strategies.random_search import drawn_point
from automed.training.tensors import Tensors, tensors, training_device
from automed.trial import Trial

SAMPLES = 4
TRAINED = 64
BATCH = 4
COLUMNS = ("task", "problem", "dims", "target", "seed", "number", "family", "seconds", "verdict")


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
    some = np.random.default_rng(seed).permutation(len(parts.train))[:TRAINED]
    learnt = tensors(parts.train.rows(some), few, training_device())
    for number, both in itertools.groupby(wanted, key=lambda pair: pair[0]):
        point = drawn_point(space, random.Random(f"{seed}/{number}"))
        trial = Trial(number, str(point["family"]), point, 1)
        network = trained(trial, job, learnt)
        for _, target in both:
            row = {
                "task": name,
                "problem": task.problem,
                "dims": sample.dims,
                "target": target,
                "seed": seed,
                "number": number,
                "family": trial.family,
            }
            yield row | verdict(trial.name, deployed(network, task, sample), target, few)


def trained(trial: Trial, job: Job, learnt: Tensors) -> nn.Module:
    """The network of a trial after an epoch."""
    network = network_of(trial, learnt.sample, job.seed)
    problem = registry.part("problem", job.task.problem).PROBLEM
    recipe = registry.part("recipe", architecture(trial).recipe)
    how = schedule(job)
    how = replace(how, settings=how.settings.model_copy(update={"batch": BATCH}))
    fit = recipe.train(network, learnt, problem, how, epochs=trial.epochs)
    return trained_network(job, learnt.sample, trial, fit.checkpoint)


def verdict(name: str, model: Deployed, target: str, few: Dataset) -> dict[str, Any]:
    """What becomes of a model on a target."""
    started = time.perf_counter()
    try:
        with limited(LIMIT_S, f"lowering to {target}"):
            file = ported(name, copy.deepcopy(model), target, few, {})
        told = {"verdict": "agrees", "difference": file.max_difference, "how": file.how}
    except (DisagreementError, DeviceError) as error:
        told = {"verdict": "BROKEN", "reason": reason(error)}
    except Exception as error:
        told = {"verdict": "refused", "reason": reason(error)}
    return {**told, "seconds": round(time.perf_counter() - started, 2)}


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Verdicts by problem, dimensions and target."""
    counts = rows.groupby(["problem", "dims", "target", "verdict"]).size().unstack(fill_value=0)
    return counts.reset_index()


if __name__ == "__main__":
    main()
