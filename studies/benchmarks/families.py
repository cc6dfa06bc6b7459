"""Every family on the real data it exists for, beside floors fitted on the same folds.

    python studies/benchmarks/families.py SHARED_DATA [--only unet,cnn-rnn:mitbih] [--out FILE]

SHARED_DATA holds the data sets named in ROWS, which automed does not ship; two rows take the
simulated phantom instead. Every row trains one point of its family, unsearched: the default, but
for what the row names to fit a volume into minutes. What is scored is the exported model, on
samples of patients it has not seen, pooled over the folds. A row that does not beat its floor says
so.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from family_rows import ROWS, Row
from iterative_affine import iterative_affine
from monai.networks.nets import UNet
from sklearn.model_selection import GroupKFold
from torch import nn

from automed import baselines, data, registry
from automed.data.dataset import Dataset
from automed.data.units import windowed
from automed.exporters import Runner, outputs
from automed.exporters.deployed import Deployed
from automed.measure import intervals, latency
from automed.sample import SampleSpec
from automed.task import Training
from automed.training.recipes import Fit, Schedule, kept_weights
from automed.training.tensors import tensors, training_device


def nodule_area(test: Dataset) -> Any:
    """The share of voxels that are nodule, all others being 0, as a score of class 1."""
    share = test.images.astype(bool).reshape(len(test), -1).mean(1)
    return np.column_stack([1 - share, share])


def monai_unet(sample: SampleSpec) -> nn.Module:
    """MONAI's U-Net with the channels and strides of its documentation."""
    network: nn.Module = UNet(
        spatial_dims=sample.dims,
        in_channels=sample.image.channels,
        out_channels=len(sample.target.classes),
        channels=(16, 32, 64, 128, 256),
        strides=(2, 2, 2, 2),
        num_res_units=2,
    )
    return network


WHOLE_EPOCHS = 10
"""Of a whole training with all labels; with fewer of them more, by the root of their share."""
PER_SAMPLE = {"iterative-affine": iterative_affine, "nodule-area": nodule_area}
"""Floors that learn nothing and answer the test samples as they are."""
NETWORKS = {"monai-unet": monai_unet}
"""Networks of others, trained as the row's own."""
RIVAL = {"width": 16, "stages": 4, "depth": 1, "stem": "full"}
"""The plain network of five convolutions that a DC-ELM races."""


def main() -> None:
    """Train what is asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shared", type=Path)
    parser.add_argument("--only", type=lambda text: text.split(","))
    parser.add_argument("--out", type=Path, default=Path("families.csv"))
    given = parser.parse_args()
    lines = []
    for row in ROWS:
        if given.only and not any(f"{row.family}:{row.file}".startswith(o) for o in given.only):
            continue
        lines.append(line(row, given.shared))
        print("; ".join(f"{name} {value}" for name, value in lines[-1].items()), flush=True)
        pd.DataFrame(lines).to_csv(given.out, index=False)
    print(pd.DataFrame(lines).to_string(index=False))
    if not given.only or "dc-elm" in given.only:
        for share in (1.0, 0.05):
            print(race(given.shared, share))


def line(row: Row, shared: Path) -> dict[str, Any]:
    """A row of the table."""
    problem = registry.part("problem", row.problem).PROBLEM
    whole = first_classes(data.read(place(row, shared), row.keys, problem.target), row.classes)
    floors = (row.floor, *row.beside)
    answers: dict[str, list[Any]] = {name: [] for name in ("model", *floors)}
    judged, seconds, runner = [], 0.0, None
    for learn, stop, test in cuts(row, whole, shared):
        started = time.perf_counter()
        runner = trained(row, learn, stop)
        seconds += time.perf_counter() - started
        answers["model"].append(outputs(runner, test.given))
        for name in floors:
            answers[name].append(answered(row, name, learn, stop, test))
        judged.append(test)
    assert runner is not None
    truth = np.concatenate([test.truth for test in judged])
    groups = [test.groups for test in judged if test.groups is not None]
    draws = intervals.weights(len(truth), np.concatenate(groups) if groups else None, 0)
    scored = {
        name: intervals.Scored.of(problem, np.concatenate(given), truth, draws)
        for name, given in answers.items()
    }
    difference = scored["model"].minus(scored[row.floor], row.score)
    return {
        "family": row.family,
        "data": row.file.partition("/")[0],
        "samples": len(whole),
        "judged on": f"{row.folds} folds" if row.folds else "one test part",
        "share": row.share,
        "score": row.score,
        "model": _text(scored["model"].intervals()[row.score]),
        "floor": ", ".join(f"{_text(scored[f].intervals()[row.score])} {f}" for f in floors),
        "also": ", ".join(f"{m} {_text(scored['model'].intervals()[m], 5)}" for m in row.also),
        "difference": _text(difference),
        "verdict": verdict(difference),
        "latency_ms": round(timed(runner), 3),
        "training_s": round(seconds / len(judged), 1),
    }


def verdict(difference: tuple[float, float, float]) -> str:
    """In words, of a difference with its 95 % interval."""
    value, low, _ = difference
    if low > 0:
        return "beats its floor"
    return "above its floor, not significantly" if value > 0 else "MISSES its floor"


def place(row: Row, shared: Path) -> str:
    """Where the data of a row is."""
    return row.file if ":" in row.file else str(shared / row.file)


def answered(row: Row, floor: str, learn: Dataset, stop: Dataset, test: Dataset) -> Any:
    """What a floor that was fitted to some samples says of others."""
    if floor in PER_SAMPLE:
        return PER_SAMPLE[floor](test)
    if floor in NETWORKS:
        torch.manual_seed(0)
        network = NETWORKS[floor](learn.sample)
        return outputs(fitted(row, network, "gradient", learn, stop), test.given)
    return outputs(
        registry.part("exporter", "onnx").load(baselines.fit(floor, learn, 0)), test.given
    )


def first_classes(whole: Dataset, number: int) -> Dataset:
    """The samples of the first classes, which alone are known then."""
    if not number:
        return whole
    kept = whole.rows(np.flatnonzero(whole.truth.astype(np.int64) < number))
    target = replace(whole.sample.target, classes=whole.sample.target.classes[:number])
    return replace(kept, sample=replace(whole.sample, targets=(target,)))


def cuts(row: Row, whole: Dataset, shared: Path) -> Iterator[tuple[Dataset, Dataset, Dataset]]:
    """Parts to learn from, to stop by and to be judged on, by patient."""
    if row.folds == 0:
        problem = registry.part("problem", row.problem).PROBLEM
        source = data.Source(
            place=place(row, shared),
            keys=tuple(row.keys.items()),
            target=problem.target,
            one_class=problem.one_class,
        )
        parts = data.open_parts(source)
        yield labelled(parts.train, row.share), parts.val, parts.sealed.open()
        return
    for train, test in folds(whole, row.folds):
        learn, stop = next(folds(train, 5))
        sample = windowed(learn)
        yield (
            replace(learn, sample=sample),
            replace(stop, sample=sample),
            replace(test, sample=sample),
        )


def labelled(train: Dataset, share: float) -> Dataset:
    """A share of the samples with their labels; the others without, beside them."""
    order = np.random.default_rng(0).permutation(len(train))
    number = round(share * len(train))
    kept = train.rows(np.sort(order[:number]))
    if number == len(train):
        return kept
    return replace(kept, unlabelled=replace(train.rows(np.sort(order[number:])), targets={}))


def folds(whole: Dataset, number: int) -> Iterator[tuple[Dataset, Dataset]]:
    """All but one fold, and that one, cut by patient."""
    groups = np.arange(len(whole)) if whole.groups is None else whole.groups
    cut = GroupKFold(number, shuffle=True, random_state=0)
    for train_rows, test_rows in cut.split(groups, groups=groups):
        yield whole.rows(train_rows), whole.rows(test_rows)


def trained(row: Row, learn: Dataset, stop: Dataset) -> Runner:
    """The family's point, trained and exported."""
    family = registry.family(row.family)
    torch.manual_seed(0)
    network = family.at({**family().config(), **row.config}).build(learn.sample)
    return fitted(row, network, family.recipe, learn, stop)


def fitted(row: Row, network: nn.Module, recipe: str, learn: Dataset, stop: Dataset) -> Runner:
    """A network, trained as the row says and exported."""
    problem = registry.part("problem", row.problem).PROBLEM
    fit = registry.part("recipe", recipe).train(
        network,
        tensors(learn, stop, training_device()),
        problem,
        Schedule(
            settings=Training(**{"patience": 1, **row.training}),
            score=row.score,
            full_epochs=row.epochs,
            seed=0,
        ),
        epochs=row.epochs,
    )
    network.load_state_dict(kept_weights(fit.checkpoint))
    model = Deployed(network, learn.sample, problem)
    exporter = registry.part("exporter", "onnx")
    loaded: Runner = exporter.load(exporter.export(model, learn.sample.inputs, {}))
    return loaded


def timed(runner: Runner) -> float:
    """Median latency of the exported model, ms."""
    exporter = registry.part("exporter", "onnx")
    reference = exporter.load(exporter.reference()).rehearse
    return latency.measure({"it": runner.rehearse}, reference)["it"].median_ms


def race(shared: Path, share: float) -> str:
    """How long a network descends to the validation AUC of a DC-ELM, as ratios of CPU time."""
    parts = data.open_parts(data.Source(place=str(shared / "medmnist/pneumoniamnist.npz")))
    learn = labelled(parts.train, share)
    given = tensors(learn, parts.val, training_device())
    problem = registry.part("problem", "classification").PROBLEM
    whole = round(WHOLE_EPOCHS / share**0.5)

    def raced(name: str, **config: Any) -> tuple[Fit, float]:
        family = registry.family(name)
        torch.manual_seed(0)
        network = family(**config).build(learn.sample)
        started = time.process_time()
        fit: Fit = registry.part("recipe", family.recipe).train(
            network,
            given,
            problem,
            Schedule(settings=Training(patience=1), score="auc", full_epochs=whole, seed=0),
            epochs=whole,
        )
        return fit, time.process_time() - started

    solved, solved_s = raced("dc-elm")
    descended, descended_s = raced("vgg", **RIVAL)
    goal, ratio = solved.scores["auc"], descended_s / solved_s
    level = next((n for n, e in enumerate(descended.curve, start=1) if e["auc"] >= goal), None)
    stopped = f"level after {level}, {ratio * level / whole:.1f} times" if level else "never level"
    return (
        f"dc-elm, {len(learn):,} labels: validation AUC {goal:.3f} in {solved_s:.1f} s of CPU; "
        f"five convolutions that descend have {descended.scores['auc']:.3f} after {whole} epochs, "
        f"{ratio:.1f} times as long; {stopped}"
    )


def _text(interval: tuple[float, float, float], digits: int = 3) -> str:
    value, low, high = (f"{x:.{digits}f}" for x in interval)
    return f"{value} [{low}, {high}]"


if __name__ == "__main__":
    main()
