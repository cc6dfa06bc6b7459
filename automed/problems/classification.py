"""Classification: one label a sample; the exported graph returns class probabilities."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automed.problems import Answer, Shown
from automed.problems.ranking import ROC, SPECIFICITY, Ranking, share
from automed.sample import SampleSpec, TargetKind, TargetSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

NUM_SHOWN = 3
"""Samples of each kind for the report."""


class Classification:
    """Logits (N, K) in training, probabilities (N, K) in the exported graph."""

    target: TargetKind = "label"
    outputs = ("probabilities",)
    restored: Mapping[str, int] = {}
    one_class = False
    errors = frozenset[str]()
    units: Mapping[str, str] = {}
    plot = ROC
    classical = ("logistic-regression", "random-forest")
    metrics = {  # noqa: RUF012 - a table
        "auc": "area under the ROC curve; the mean of one-against-rest for several classes",
        "accuracy": "share of samples whose most probable class is right",
        "balanced_accuracy": "mean over classes of the share that is found",
        "sensitivity": f"share of positives found at {SPECIFICITY:.0%} specificity, likewise",
    }

    def loss(self, truth: NDArray[Any], sample: SampleSpec, smoothing: float) -> "nn.Module":
        """Cross-entropy with classes weighted by the square root of their inverse share.

        The full inverse would let a handful of rare samples rule the gradient.
        """
        import torch
        from torch import nn

        from automed.problems.losses import OfAnswer

        weights = torch.tensor(class_weights(truth, sample.target), dtype=torch.float32)
        return OfAnswer(nn.CrossEntropyLoss(weights, label_smoothing=smoothing))

    def finish(
        self, raw: "torch.Tensor", *given: "torch.Tensor", sample: SampleSpec
    ) -> "tuple[torch.Tensor, ...]":
        """Probabilities (N, K) from logits (N, K)."""
        del given, sample
        return (raw.softmax(dim=1),)

    def scores(
        self, outputs: NDArray[Any], truth: NDArray[Any], weights: NDArray[Any] | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """Every metric from probabilities (N, K) and truth (N,), a value a row of weights (R, N).

        A class that has no weight in a row, or all of it, leaves that row's AUC undefined (NaN).
        """
        weights_RN = np.ones((1, len(truth))) if weights is None else weights
        num_classes = outputs.shape[1]
        ranked = _rankings(outputs, truth, weights_RN)
        hit_N = outputs.argmax(axis=1) == truth
        classes = [truth == k for k in range(num_classes)]
        recalls = [share(hit_N[mine], weights_RN[:, mine]) for mine in classes]
        return {
            "auc": np.mean([ranking.auc() for ranking in ranked], axis=0),
            "accuracy": share(hit_N, weights_RN),
            "balanced_accuracy": np.mean(recalls, axis=0),
            "sensitivity": np.mean([r.sensitivity(SPECIFICITY) for r in ranked], axis=0),
        }

    def drawn(
        self, outputs: NDArray[Any], truth: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """The ROC curve; the mean of one-against-rest for several classes."""
        curves = [ranked.roc() for ranked in _rankings(outputs, truth, np.ones((1, len(truth))))]
        return curves[0][0], np.mean([found for _, found in curves], axis=0)

    def shown(
        self, outputs: NDArray[Any], truth: NDArray[Any], target: TargetSpec
    ) -> tuple[Shown, ...]:
        """Those whose class gets the least probability, then those with the surest answers."""
        answer_N, sure_N = outputs.argmax(axis=1), outputs.max(axis=1)
        given_N = outputs[np.arange(len(truth)), truth]
        bad = np.argsort(given_N, kind="stable")[:NUM_SHOWN].tolist()
        sure = [n for n in np.argsort(-sure_N, kind="stable").tolist() if n not in bad]

        def one(row: int, title: str) -> Shown:
            said = f"{target.classes[answer_N[row]]}, {sure_N[row]:.3f}"
            caption = f"{target.classes[truth[row]]}; the model says {said}"
            return Shown(row=row, title=title, caption=caption)

        return (
            *(one(n, "Most wrong" if answer_N[n] != truth[n] else "Least sure") for n in bad),
            *(one(n, "Most sure") for n in sure[:NUM_SHOWN]),
        )

    def answer(self, outputs: Mapping[str, NDArray[Any]], target: TargetSpec) -> Answer:
        """Class name to probability."""
        (probabilities,) = outputs["probabilities"]
        return Answer(values=dict(zip(target.classes, map(float, probabilities), strict=True)))


def _rankings(
    outputs: NDArray[Any], truth: NDArray[Any], weights_RN: NDArray[Any]
) -> list[Ranking]:
    """Of the second of two classes, or each of several against the rest."""
    positives = [1] if outputs.shape[1] == 2 else range(outputs.shape[1])
    return [Ranking.of(outputs[:, k], truth == k, weights_RN) for k in positives]


def class_weights(truth: NDArray[Any], target: TargetSpec) -> NDArray[np.float64]:
    """The weight of each class, 1 where all are equally frequent."""
    counts = np.bincount(truth, minlength=len(target.classes)).clip(1)
    weights: NDArray[np.float64] = np.sqrt(counts.mean() / counts)
    return weights


PROBLEM = Classification()
