"""Searches on real images beside baselines of the same run and published figures.

    python studies/benchmarks/real_images.py SHARED_DATA [--only luna16] [--runs runs/benchmarks]

SHARED_DATA holds luna16_patches2d/ and medmnist/, which automed does not ship. A run that is
already in --runs is read instead of repeated, an interrupted one is resumed.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import automed
from automed.api import Run, resume
from automed.record import STUDY_FILE
from automed.report.results import Interval, Model, Results
from automed.run import RESULTS_FILE
from automed.screen import Screen, tell

FULL = "resnet18"
MARGIN = 0.01
"""A model is non-inferior if the lower end of its paired difference lies above minus this."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One data set: where it lies, how long it is searched, what others report on its test part.

    Attributes:
        task: The task searched, which knows the augmentation that fits the images.
        file: Path below the shared data.
        trials: Architectures.
        epochs: Epochs of each.
        baselines: Unsearched models of the same run.
        published: Name to (test AUC, test accuracy), from Yang et al. 2023, MedMNIST v2.
    """

    task: str
    file: str
    trials: int
    epochs: int
    baselines: tuple[str, ...]
    published: dict[str, tuple[float, float]]


SMALL = ("logistic-regression", "random-forest", "cnn5")
CASES = {
    "luna16": Case(
        task="lung-ct",
        file="luna16_patches2d/luna16_patches2d_trainval.npz",
        trials=32,
        epochs=18,
        baselines=("all",),
        published={},
    ),
    "pneumoniamnist": Case(
        task="chest-xray",
        file="medmnist/pneumoniamnist.npz",
        trials=20,
        epochs=10,
        baselines=SMALL,
        published={
            "AutoKeras": (0.947, 0.878),
            "ResNet-18, 28 px": (0.944, 0.854),
            "Google AutoML Vision": (0.991, 0.946),
        },
    ),
    "breastmnist": Case(
        task="breast-ultrasound",
        file="medmnist/breastmnist.npz",
        trials=30,
        epochs=40,
        baselines=SMALL,
        published={
            "AutoKeras": (0.871, 0.831),
            "ResNet-18, 28 px": (0.901, 0.863),
            "Google AutoML Vision": (0.919, 0.861),
        },
    ),
}


def main() -> None:
    """Run the cases asked for and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shared", type=Path)
    parser.add_argument("--only", choices=sorted(CASES), action="append")
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmarks"))
    given = parser.parse_args()
    for name in given.only or CASES:
        run = searched(CASES[name], given.shared, given.runs / name)
        print(f"\n== {name}")
        tell(run)
        show(run.results, CASES[name])


def searched(case: Case, shared: Path, folder: Path) -> Run:
    """The case's run: read, resumed or made."""
    if (folder / RESULTS_FILE).is_file() and (run := Run.open(folder)).results.complete:
        return run
    with Screen() as screen:
        if (folder / STUDY_FILE).is_file():
            return resume(folder, watch=screen)
        return automed.search(
            case.task,
            shared / case.file,
            out=folder,
            trials=case.trials,
            epochs=case.epochs,
            baselines=case.baselines,
            watch=screen,
        )


def show(results: Results, case: Case) -> None:
    """Test AUC and accuracy of everything, and where the front stands against the baselines."""
    print(f"{'on the sealed test part':<28} {'AUC [95 %]':<22} {'accuracy [95 %]':<22} ms")
    for m in results.models:
        mark = "*" if m.name == results.chosen else " "
        auc, accuracy = _text(m.sealed["auc"]), _text(m.sealed["accuracy"])
        print(f"{mark} {m.name:<26} {auc:<22} {accuracy:<22} {m.costs['latency_ms']:.3f}")
    for name, (auc_value, accuracy_value) in case.published.items():
        print(f"  {name + ' (published)':<26} {auc_value:<22.3f} {accuracy_value:<22.3f}")
    for baseline in (b for b in results.baselines if b.config is not None):
        _stand(results, baseline)
    for c in results.comparisons:
        if c.baseline == FULL:
            verdict = "non-inferior" if c.difference.low > -MARGIN else "not shown non-inferior"
            print(f"{c.model} - {FULL}: {_signed(c.difference)}, {c.speedup:.1f}x, {verdict}")


def _stand(results: Results, baseline: Model) -> None:
    """The best of the front, by validation, that is no slower than a baseline."""
    rivals = [m for m in results.front if m.costs["latency_ms"] <= baseline.costs["latency_ms"]]
    if not rivals:
        print(f"front against {baseline.name}: nothing on the front is as fast")
        return
    best = max(rivals, key=lambda m: m.validation["auc"].value)
    pair = next(
        c for c in results.comparisons if (c.model, c.baseline) == (best.name, baseline.name)
    )
    print(
        f"front against {baseline.name}: {best.name}, {pair.speedup:.1f}x its speed, "
        f"test AUC {_signed(pair.difference)}, validation AUC "
        f"{best.validation['auc'].value - baseline.validation['auc'].value:+.3f}"
    )


def _text(interval: Interval) -> str:
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def _signed(interval: Interval) -> str:
    return f"{interval.value:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


if __name__ == "__main__":
    main()
