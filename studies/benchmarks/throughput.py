"""Images a second of the training loop, beside a plain PyTorch loop over MONAI's cached data.

    python studies/benchmarks/throughput.py [--images 960] [--epochs 3] [--rounds 3]

Both train the same network from the same weights on the same images of the simulated phantom, with
the same batches, optimiser, loss and augmentation (flips, quarter turns, scaled and shifted
intensity), on one thread. The other side is what MONAI's tutorials write: CacheDataset, which keeps
what is not random in memory, a DataLoader in the process itself, the random transforms sample by
sample (on plain tensors: MONAI's own, with metadata, are slower), and the steps of a PyTorch loop.
Rounds alternate, the first does not count, told are medians. automed's side also scores a
validation part of a batch every epoch and keeps running averages of its weights.
"""

import argparse
import statistics
import time
from typing import Any

import numpy as np
import torch
from monai.data import CacheDataset, DataLoader
from monai.transforms import (
    Compose,
    EnsureTyped,
    RandFlipd,
    RandRotate90d,
    RandScaleIntensityd,
    RandShiftIntensityd,
)
from torch import nn

from automed import data, registry
from automed.data.dataset import Dataset
from automed.exporters.deployed import ready
from automed.problems import Problem
from automed.task import Training
from automed.training.recipes import Schedule
from automed.training.recipes.gradient import cost
from automed.training.tensors import tensors

CASES: tuple[tuple[str, dict[str, Any], str, str], ...] = (
    ("resnet", {"convolution": "dense"}, "classification", "dense"),
    ("unet", {"convolution": "dense"}, "segmentation", "dense"),
    ("mobile", {}, "classification", "depthwise"),
)
"""Family, what differs from its default, problem, kind of convolution."""
TASKS = {"classification": "lung-ct", "segmentation": "lung-ct-seg"}
BATCH = 32


def main() -> None:
    """Print a line a network, then the geometric means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=960)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    ratios: dict[str, list[float]] = {}
    print(f"{'network':<8} {'convolution':<12} {'automed':>12} {'MONAI loop':>12} {'ratio':>6}")
    for name, config, problem_name, kind in CASES:
        problem: Problem = registry.part("problem", problem_name).PROBLEM
        train, val = parts(problem_name, problem, given.images)
        seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
        for number in range(1 + given.rounds):
            for side, trained in (("ours", ours), ("theirs", theirs)):
                torch.manual_seed(0)
                family = registry.family(name)
                network = family.at({**family().config(), **config}).build(train.sample)
                taken = trained(network, train, val, problem, given.epochs)
                seconds[side] += [taken] if number else []
        pace = {s: len(train) * given.epochs / statistics.median(t) for s, t in seconds.items()}
        ratio = pace["ours"] / pace["theirs"]
        ratios.setdefault(kind, []).append(ratio)
        print(
            f"{name:<8} {kind:<12} {pace['ours']:>10.0f}/s {pace['theirs']:>10.0f}/s "
            f"{ratio:>5.2f}x",
            flush=True,
        )
    ratios["all"] = [ratio for several in ratios.values() for ratio in several]
    for kind, several in ratios.items():
        print(f"geometric mean, {kind}: {statistics.geometric_mean(several):.2f}x")


def parts(name: str, problem: Problem, number: int) -> tuple[Dataset, Dataset]:
    """Images to train on, and a batch of others."""
    opened = data.open_parts(
        data.Source(place=registry.task(TASKS[name]).data, target=problem.target)
    )
    rows = np.arange(number) % len(opened.train)
    return opened.train.rows(rows), opened.val.rows(np.arange(BATCH))


def ours(network: nn.Module, train: Dataset, val: Dataset, problem: Problem, epochs: int) -> float:
    """Seconds of the gradient recipe, the making of its tensors included."""
    started = time.perf_counter()
    score = next(iter(problem.metrics))
    registry.part("recipe", "gradient").train(
        network,
        tensors(train, val, torch.device("cpu")),
        problem,
        Schedule(
            settings=Training(batch=BATCH, patience=1), score=score, full_epochs=epochs, seed=0
        ),
        epochs=epochs,
    )
    return time.perf_counter() - started


def theirs(
    network: nn.Module, train: Dataset, val: Dataset, problem: Problem, epochs: int
) -> float:
    """Seconds of the plain loop, the filling of its cache included."""
    started = time.perf_counter()
    on_grid = train.sample.target.kind == "mask"
    moved = ["image", "truth"] if on_grid else ["image"]
    transform = Compose(
        [
            EnsureTyped(keys=moved),
            RandFlipd(keys=moved, prob=0.5, spatial_axis=0),
            RandFlipd(keys=moved, prob=0.5, spatial_axis=1),
            RandRotate90d(keys=moved, prob=0.5, max_k=3),
            RandScaleIntensityd(keys="image", factors=0.1, prob=0.5),
            RandShiftIntensityd(keys="image", offsets=0.05, prob=0.5),
        ]
    )
    spec = train.sample.image
    images = ready(torch.from_numpy(np.asarray(train.given[0], np.float32)), spec)
    rows: list[dict[str, Any]] = [
        {"image": image.numpy(), "truth": truth if on_grid else int(truth)}
        for image, truth in zip(images, train.truth, strict=True)
    ]
    cached = CacheDataset(rows, transform, progress=False)
    loader = DataLoader(cached, batch_size=BATCH, shuffle=True, drop_last=True)
    loss = problem.loss(train.truth, train.sample, 0.0)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-2)
    network.train()
    for _ in range(epochs):
        for batch in loader:
            image, truth = batch["image"], batch["truth"]
            step = cost(loss, network(image), truth, (image,))
            optimizer.zero_grad()
            step.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
