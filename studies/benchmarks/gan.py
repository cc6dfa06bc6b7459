"""What adversaries are worth: made images of a rare class, and images that are to look real.

    python studies/benchmarks/gan.py SHARED_DATA [--only rare,phantom,luna16] [--seeds 3]

SHARED_DATA holds luna16_patches2d/, which automed does not ship; its val part is judged, and what
is stopped by is cut from its train part by scan. `rare` trains one classifier in five ways on 1,500
patches without and 50 with a nodule, drawn anew for every seed; each way has as many steps. The
other two make images of normal dose from simulated low dose: of the phantom, and of LUNA16 patches
to which noise was added, a simulation too. The same generator learns with and without an adversary.
"""

import argparse
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from automed import baselines, data, registry
from automed.data.dataset import Dataset
from automed.data.units import in_window, windowed
from automed.exporters import outputs
from automed.measure import intervals
from automed.problems import Problem
from automed.problems.classification import Classification
from automed.problems.losses import OfAnswer
from automed.problems.reconstruction import texture
from automed.sample import SampleSpec, TargetSpec
from automed.task import AUGMENTATIONS, Training
from automed.training.recipes import Schedule, kept_weights
from automed.training.tensors import tensors

FILE = "luna16_patches2d/luna16_patches2d_trainval.npz"
SIDE = 32
"""Pixels an axis of what is kept of a patch, about its centre: minutes rather than an hour."""
COMMON, RARE = 1500, 50
"""Samples of the two classes that are learnt from."""
STOP = 500
"""Samples, with as many nodules as come, by which a classifier's epoch is chosen."""
PAIRS = 800
"""Patches that noise is taken away from, to learn by."""
NOISE = 0.1
"""Standard deviation of the noise added to patches, as a share of their window."""
APODISATION = 0.35
"""Of the noise, in cycles a pixel: where its ramp is cut off by a Gaussian."""
CLASSIFIER = {"width": 8, "stages": 3, "stem": "stride2", "generator_width": 8, "rounds": 10}
GENERATOR = {"width": 8, "stages": 2, "depth": 2}


class Unweighted(Classification):
    """Classification whose loss takes every sample for as much as any other."""

    def loss(self, truth: NDArray[Any], sample: SampleSpec, smoothing: float) -> nn.Module:
        """Cross-entropy."""
        del truth, sample
        return OfAnswer(nn.CrossEntropyLoss(label_smoothing=smoothing))


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way of training a network.

    Attributes:
        config: Of the family.
        epochs: Of the network.
        augment: Augmentations.
        problem: What is learnt, a `Problem`.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    epochs: int
    augment: tuple[str, ...] = ()
    problem: Any


WEIGHTED: Problem = registry.part("problem", "classification").PROBLEM
IMAGES: Problem = registry.part("problem", "reconstruction").PROBLEM
ALONE = {"adversary": "none"}
WAYS = {
    "nothing": Way(config=ALONE, epochs=12, problem=Unweighted()),
    "class weights": Way(config=ALONE, epochs=12, problem=WEIGHTED),
    "augmentation": Way(config=ALONE, epochs=12, problem=Unweighted(), augment=AUGMENTATIONS),
    "weights and augmentation": Way(
        config=ALONE, epochs=12, problem=WEIGHTED, augment=AUGMENTATIONS
    ),
    # filled up to balance there are twice as many samples, and every class weighs the same
    "made images and augmentation": Way(epochs=6, problem=WEIGHTED, augment=AUGMENTATIONS),
}


def main() -> None:
    """Run the parts asked for and print their tables."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shared", type=Path)
    parser.add_argument(
        "--only", type=lambda text: text.split(","), default=["rare", "phantom", "luna16"]
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--weights", type=lambda text: text.split(","), default=["0.3", "2"])
    given = parser.parse_args()
    if "rare" in given.only:
        rare_class(given.shared, given.seeds)
    if "phantom" in given.only:
        parts = data.open_parts(data.Source(place="phantom:lung-ct", target="image"))
        low_dose("phantom", parts.train, parts.val, given.weights)
    if "luna16" in given.only:
        low_dose("luna16, noise added", *noisy_patches(given.shared), given.weights)


def rare_class(shared: Path, seeds: int) -> None:
    """AUC of every way on the delivered val part, and what it gains; the mean over seeds."""
    scored: dict[str, list[intervals.Scored]] = {name: [] for name in WAYS}
    started = time.process_time()
    for seed in range(seeds):
        learn, stop, judged = imbalanced(shared, seed)
        draws = intervals.weights(len(judged), judged.groups, 0)
        for name, way in WAYS.items():
            network = trained("gan-augmented", way, learn, stop, "auc", seed, CLASSIFIER)
            answer = answers(network, judged, way.problem)
            scored[name].append(intervals.Scored.of(way.problem, answer, judged.truth, draws))
            print(f"seed {seed}, {name}: {scored[name][-1].values['auc']:.3f}", flush=True)
    mean = {name: _mean(each) for name, each in scored.items()}
    print(f"rare class: {RARE} of {RARE + COMMON}, {seeds} seeds, AUC on {len(judged)} patches")
    for name, one in mean.items():
        line = f"{name:<30}{_text(one.intervals()['auc'])}"
        if name in list(WAYS)[:-1]:
            gain = mean[list(WAYS)[-1]].minus(one, "auc")
            line += f"  made images gain {_text(gain, '+')}"
        print(line)
    print(f"CPU {time.process_time() - started:.0f} s\n", flush=True)


def patches(shared: Path) -> Dataset:
    """The middle of every patch."""
    whole = data.read(str(shared / FILE), {}, "label")
    image = whole.sample.image
    first = (image.size[0] - SIDE) // 2
    middle = whole.images[..., first : first + SIDE, first : first + SIDE]
    sample = replace(whole.sample, inputs=(replace(image, size=(SIDE, SIDE)),))
    return replace(whole, sample=sample, inputs={image.name: middle})


def imbalanced(shared: Path, seed: int) -> tuple[Dataset, Dataset, Dataset]:
    """Parts to learn from, to stop by and to be judged on; no scan is in two."""
    whole = patches(shared)
    assert whole.split is not None
    assert whole.groups is not None
    rng = np.random.default_rng(seed)
    known = np.flatnonzero(whole.split == "train")
    scans = rng.permutation(np.unique(whole.groups[known]))
    kept = np.isin(whole.groups[known], scans[: len(scans) * 3 // 4])
    learn = [
        rng.permutation(known[kept & (whole.truth[known] == label)])[:number]
        for label, number in enumerate((COMMON, RARE))
    ]
    chosen = whole.rows(np.sort(np.concatenate(learn)))
    sample = windowed(chosen)
    others = np.sort(rng.permutation(known[~kept])[:STOP])
    rest = whole.rows(others), whole.rows(np.flatnonzero(whole.split == "val"))
    stop, judged = (replace(part, sample=sample) for part in rest)
    return replace(chosen, sample=sample), stop, judged


def noisy_patches(shared: Path) -> tuple[Dataset, Dataset]:
    """Patches and the same with noise as filtered back projection leaves it; a fixed seed."""
    whole = patches(shared)
    rng = np.random.default_rng(0)
    parts = []
    for name in ("train", "val"):
        rows = rng.permutation(np.flatnonzero(whole.split == name))[:PAIRS]
        part = whole.rows(np.sort(rows))
        clean = in_window(part.images, windowed(part).image)
        parts.append(
            replace(
                part,
                sample=replace(part.sample, targets=(TargetSpec(name="target", kind="image"),)),
                inputs={part.sample.image.name: (clean + noise(clean.shape, rng)).astype("f4")},
                targets={"target": clean},
            )
        )
    return parts[0], parts[1]


def noise(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """White noise through a ramp filter and an apodisation, with the standard deviation NOISE."""
    frequency = np.hypot(np.fft.fftfreq(shape[-2])[:, None], np.fft.rfftfreq(shape[-1])[None])
    band = frequency * np.exp(-0.5 * (frequency / APODISATION) ** 2)
    made = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(shape)) * band, s=shape[-2:])
    scaled: NDArray[np.float64] = NOISE * made / made.std()
    return scaled


def low_dose(title: str, learn: Dataset, judged: Dataset, weights: list[str]) -> None:
    """Every metric of input, filters, and generators, on a part that none has learnt from."""
    started = time.process_time()
    truth = judged.truth
    draws = intervals.weights(len(judged), judged.groups, 0)
    found = dict(filtered(learn, judged))
    stop = learn.rows(np.arange(len(learn))[::8])
    learn = learn.rows(np.flatnonzero(np.arange(len(learn)) % 8))
    rivals: dict[str, Mapping[str, Any]] = {
        f"adversary, weight {w}": {"adversarial": float(w)} for w in weights
    }
    for name, config in {"generator alone": ALONE, **rivals}.items():
        way = Way(config=config, epochs=10, problem=IMAGES, augment=("flip", "rotate90"))
        network = trained("gan", way, learn, stop, "psnr", 0, GENERATOR)
        found[name] = answers(network, judged, IMAGES)
    scored = {n: intervals.Scored.of(IMAGES, out, truth, draws) for n, out in found.items()}
    print(f"{title}: {len(learn)} pairs to learn from, {len(judged)} judged")
    for name, one in scored.items():
        signed = float(texture(found[name], truth).mean())
        line = f"{name:<24}" + "  ".join(f"{m} {one.values[m]:.3f}" for m in one.values)
        line += f"  signed texture {signed:+.2f} dB"
        if name in rivals:
            for metric in ("psnr", "texture"):
                gain = one.minus(scored["generator alone"], metric)
                line += f"  {metric} against alone {_text(gain, '+')}"
        print(line)
    print(f"CPU {time.process_time() - started:.0f} s\n", flush=True)


def filtered(learn: Dataset, judged: Dataset) -> Iterator[tuple[str, NDArray[Any]]]:
    """What baselines without a network make of the judged part."""
    for name in ("identity", "gaussian", "median"):
        runner = registry.part("exporter", "onnx").load(baselines.fit(name, learn, 0))
        yield name, outputs(runner, judged.given)


def trained(
    name: str,
    way: Way,
    learn: Dataset,
    stop: Dataset,
    score: str,
    seed: int,
    config: Mapping[str, Any],
) -> nn.Module:
    """A family's network, trained one way."""
    family = registry.family(name)
    torch.manual_seed(seed)
    network = family(**{**config, **way.config}).build(learn.sample)
    fit = registry.part("recipe", family.recipe).train(
        network,
        tensors(learn, stop, torch.device("cpu")),
        way.problem,
        Schedule(
            settings=Training(patience=1, augment=way.augment),
            score=score,
            full_epochs=way.epochs,
            seed=seed,
        ),
        epochs=way.epochs,
    )
    network.load_state_dict(kept_weights(fit.checkpoint))
    return network.eval()


@torch.inference_mode()
def answers(network: nn.Module, judged: Dataset, problem: Problem) -> NDArray[Any]:
    """The first output, which is judged, for every sample."""
    part = tensors(judged, judged, torch.device("cpu")).val
    given = [
        problem.finish(network(*rows), *rows, sample=judged.sample)[0]
        for rows in (part.rows(slice(n, n + 256)) for n in range(0, len(part), 256))
    ]
    return torch.cat(given).numpy()


def _mean(scored: list[intervals.Scored]) -> intervals.Scored:
    """The mean over seeds, of the values and draw by draw."""
    return intervals.Scored(
        {name: float(np.mean([s.values[name] for s in scored])) for name in scored[0].values},
        {name: np.mean([s.draws[name] for s in scored], axis=0) for name in scored[0].draws},
    )


def _text(interval: tuple[float, float, float], sign: str = "") -> str:
    value, low, high = interval
    return f"{value:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


if __name__ == "__main__":
    main()
