"""Multi-label: several findings a sample, each there or not; the graph returns probabilities."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automed.problems import Answer, Shown, means_of_known, worst_median_best
from automed.problems.ranking import ROC, SPECIFICITY, Ranking, share
from automed.sample import SampleSpec, TargetKind, TargetSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

NUM_SHOWN = 2
"""Samples of each kind for the report."""
THRESHOLD = 0.5
"""Probability from which on a finding is said to be there."""
LEAST = 1e-6
"""What a probability is taken for if it is less, where its logarithm is wanted."""


class Multilabel:
    """Logits (N, K) in training, probabilities (N, K) in the exported graph, one a finding.

    Truth is (N, K): 1 where a finding is there, 0 where it is not, NaN where nobody knows. What is
    not known enters neither loss nor metric. Every metric is the mean over findings; a finding that
    is there in all, or in none, of the samples that a bootstrap draws is left out of that draw.
    """

    target: TargetKind = "labels"
    outputs: tuple[str, ...] = ("probabilities",)
    restored: Mapping[str, int] = {}
    one_class = False
    metrics: Mapping[str, str] = {
        "auc": "area under the ROC curve, the mean over findings",
        "average_precision": "mean precision over the positives, ranked by probability, likewise",
        "balanced_accuracy": f"mean of sensitivity and specificity at {THRESHOLD}, likewise",
        "sensitivity": f"share of positives found at {SPECIFICITY:.0%} specificity, likewise",
    }
    errors = frozenset[str]()
    units: Mapping[str, str] = {}
    plot = ROC
    classical: tuple[str, ...] = ("logistic-regression", "random-forest")

    def loss(self, truth: NDArray[Any], sample: SampleSpec, smoothing: float) -> "nn.Module":
        """Binary cross-entropy, positives weighted by the root of how many negatives each has.

        The full ratio would let a handful of rare findings rule the gradient.
        """
        import torch
        from torch import nn

        from automed.problems.losses import OfKnown

        del sample
        weight_K = torch.tensor(positive_weights(truth), dtype=torch.float32)
        spread = 1 / (1 - smoothing)  # 0 and 1 become half the smoothing, and 1 less that half
        return OfKnown(
            nn.BCEWithLogitsLoss(reduction="none", pos_weight=weight_K),
            centre=torch.tensor(-0.5 * smoothing * spread),
            scale=torch.tensor(spread),
        )

    def finish(
        self, raw: "torch.Tensor", *given: "torch.Tensor", sample: SampleSpec
    ) -> "tuple[torch.Tensor, ...]":
        """Probabilities (N, K) from logits (N, K)."""
        del given, sample
        return (raw.sigmoid(),)

    def scores(
        self, outputs: NDArray[Any], truth: NDArray[Any], weights: NDArray[Any] | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """Every metric from probabilities (N, K) and truth (N, K), a value a row of weights (R, N).

        NaN where a row leaves no finding with both values.
        """
        weights_RN = np.ones((1, len(truth))) if weights is None else weights
        findings: dict[str, list[NDArray[np.float64]]] = {name: [] for name in self.metrics}
        for chance_N, truth_N in zip(outputs.T, truth.T, strict=True):
            known_N = np.isfinite(truth_N)
            for name, values_R in _of_one(
                chance_N[known_N], truth_N[known_N] > 0, weights_RN[:, known_N]
            ).items():
                findings[name].append(values_R)
        return {name: means_of_known(np.stack(of, axis=1)) for name, of in findings.items()}

    def drawn(
        self, outputs: NDArray[Any], truth: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """The mean of the ROC curves of the findings that have both values."""
        curves = []
        for chance_N, truth_N in zip(outputs.T, truth.T, strict=True):
            known_N = np.isfinite(truth_N)
            there_N = truth_N[known_N] > 0
            if there_N.any() and not there_N.all():
                weights_1N = np.ones((1, len(there_N)))
                curves.append(Ranking.of(chance_N[known_N], there_N, weights_1N).roc())
        return curves[0][0], np.mean([found for _, found in curves], axis=0)

    def shown(
        self, outputs: NDArray[Any], truth: NDArray[Any], target: TargetSpec
    ) -> tuple[Shown, ...]:
        """The worst, the median and the best samples by their cross-entropy."""
        chance_NK = np.where(truth > 0, outputs, 1 - outputs).clip(LEAST)
        fit_N = means_of_known(np.where(np.isfinite(truth), np.log(chance_NK), np.nan))
        return tuple(
            Shown(row=row, title=title, caption=_told(outputs[row], truth[row], target))
            for row, title in worst_median_best(fit_N, NUM_SHOWN)
        )

    def answer(self, outputs: Mapping[str, NDArray[Any]], target: TargetSpec) -> Answer:
        """Finding to probability."""
        (probabilities,) = outputs["probabilities"]
        return Answer(values=dict(zip(target.classes, map(float, probabilities), strict=True)))


def positive_weights(truth_NK: NDArray[Any]) -> NDArray[np.float64]:
    """The weight (K,) of a positive of each finding, 1 where it is there in half of the samples."""
    there_K = (truth_NK == 1).sum(axis=0).clip(1)
    weights: NDArray[np.float64] = np.sqrt((truth_NK == 0).sum(axis=0).clip(1) / there_K)
    return weights


def _of_one(
    chance_N: NDArray[Any], there_N: NDArray[np.bool_], weights_RN: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Every metric (R,) of one finding; NaN where a row weighs only one of its values."""
    ranking = Ranking.of(chance_N, there_N, weights_RN)
    said_N = chance_N >= THRESHOLD
    found_R, quiet_R = (
        share(right_N[mine_N], weights_RN[:, mine_N])
        for right_N, mine_N in ((said_N, there_N), (~said_N, ~there_N))
    )
    both = np.isfinite(found_R + quiet_R)
    values = {
        "auc": ranking.auc(),
        "average_precision": ranking.average_precision(),
        "balanced_accuracy": (found_R + quiet_R) / 2,
        "sensitivity": ranking.sensitivity(SPECIFICITY),
    }
    return {name: np.where(both, value_R, np.nan) for name, value_R in values.items()}


def _told(chance_K: NDArray[Any], truth_K: NDArray[Any], target: TargetSpec) -> str:
    """The findings that are there, then those that the model finds."""
    there = [name for name, value in zip(target.classes, truth_K, strict=True) if value > 0]
    said = [
        f"{name} {chance:.2f}"
        for name, chance in zip(target.classes, chance_K, strict=True)
        if chance >= THRESHOLD
    ]
    return f"{', '.join(there) or 'nothing'}; the model says {', '.join(said) or 'nothing'}"


PROBLEM = Multilabel()
