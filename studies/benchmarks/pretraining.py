"""What an encoder gains by learning without labels first, where few images have one.

    python studies/benchmarks/pretraining.py SHARED_DATA [--share 0.05] [--seeds 5]

SHARED_DATA holds luna16_patches2d/ and medmnist/, which automed does not ship. Labels of all but a
share of the training samples are taken away; every arm trains the same classifier on the same
few, and is scored once on the part named in the table, with patients (or images) drawn anew for
the intervals. "from scratch" and "pre-trained" differ in one parameter, `autoencoding`.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from automed import data, registry
from automed.data.dataset import Dataset
from automed.measure import intervals
from automed.space import Value
from automed.task import Training
from automed.training.recipes import Schedule, kept_weights
from automed.training.tensors import tensors, training_device

KINDS = ("plain", "denoising", "variational")
CASES = {
    "pneumoniamnist": ("medmnist/pneumoniamnist.npz", (), "official test"),
    "luna16": (
        "luna16_patches2d/luna16_patches2d_trainval.npz",
        (("group", "candidate_index//5000"),),
        "delivered val",
    ),
}
EPOCHS, ROUNDS = 40, 16


def main() -> None:
    """Train every arm and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shared", type=Path)
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", choices=sorted(CASES))
    given = parser.parse_args()
    for name in [given.only] if given.only else CASES:
        table = pd.DataFrame(compared(name, given.shared, given.share, given.seeds))
        print(table.to_string(index=False), flush=True)


def compared(name: str, shared: Path, share: float, seeds: int) -> list[dict[str, object]]:
    """A row an arm: the mean test AUC over seeds, and what is gained over no pre-training.

    The difference is that of the mean probability over seeds, paired sample by sample.
    """
    file, keys, judged = CASES[name]
    parts = data.open_parts(data.Source(place=str(shared / file), keys=keys))
    test = parts.sealed.open()
    problem = registry.part("problem", "classification").PROBLEM
    draws = intervals.weights(len(test), test.groups, 0)
    arms: list[tuple[str, dict[str, Value]]] = [("from scratch", {"autoencoding": 0})]
    arms += [(f"pre-trained, {kind}", {"autoencoding": ROUNDS, "kind": kind}) for kind in KINDS]
    rows: list[dict[str, object]] = []
    scratch = None
    for arm, config in arms:
        answers = [
            answered(few(parts.train, share, seed), parts.val, test, seed, config)
            for seed in range(seeds)
        ]
        each = [float(problem.scores(a, test.truth)["auc"][0]) for a in answers]
        together = intervals.Scored.of(problem, np.mean(answers, axis=0), test.truth, draws)
        scratch = scratch or together
        gain, low, high = together.minus(scratch, "auc")
        rows.append(
            {
                "data": name,
                "judged on": judged,
                "labelled": round(share * len(parts.train)),
                "arm": arm,
                "AUC, mean of seeds": f"{np.mean(each):.3f}",
                "spread": f"{np.std(each):.3f}",
                "AUC of all seeds' mean": f"{together.intervals()['auc'][0]:.3f}",
                "gain [95 %]": f"{gain:+.3f} [{low:+.3f}, {high:+.3f}]",
            }
        )
    return rows


def few(train: Dataset, share: float, seed: int) -> Dataset:
    """A share of the training part of every class; the labels of the others are taken away."""
    rng = np.random.default_rng(seed)
    labels = train.truth.astype(np.int64)
    kept = np.zeros(len(train), bool)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        kept[rng.choice(rows, max(2, round(share * len(rows))), replace=False)] = True
    bare = replace(train.rows(np.flatnonzero(~kept)), targets={})
    return replace(train.rows(np.flatnonzero(kept)), unlabelled=bare)


def answered(
    train: Dataset, val: Dataset, test: Dataset, seed: int, config: dict[str, Value]
) -> np.ndarray:
    """Probabilities of the test samples."""
    family = registry.family("autoencoder-classifier")
    torch.manual_seed(seed)
    network = family.at({**family().config(), **config}).build(train.sample)
    given = tensors(train, test, training_device())
    problem = registry.part("problem", "classification").PROBLEM
    fit = registry.part("recipe", family.recipe).train(
        network,
        tensors(train, fewer(val, len(train), seed), training_device()),
        problem,
        Schedule(
            settings=Training(batch=32, patience=1), score="auc", full_epochs=EPOCHS, seed=seed
        ),
        epochs=EPOCHS,
    )
    network.load_state_dict(kept_weights(fit.checkpoint))
    network.eval()
    with torch.inference_mode():
        raw = torch.cat([network(x) for x in torch.split(given.val.inputs[0], 256)])
    return raw.float().softmax(1).cpu().numpy()


def fewer(val: Dataset, number: int, seed: int) -> Dataset:
    """No more labelled samples to choose the epoch by than there are to learn from."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(val))[: max(number, 20)]
    return val.rows(np.sort(rows))


if __name__ == "__main__":
    main()
