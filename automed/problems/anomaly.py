"""Anomaly: what a network that has seen class 0 alone cannot give back; no label trains it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automed.problems import Answer, Shown
from automed.problems.ranking import ROC, Ranking
from automed.problems.reconstruction import PROBLEM as RECONSTRUCTION
from automed.sample import SampleSpec, TargetKind, TargetSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

NUM_SHOWN = 2
"""Samples of each kind for the report."""


class Anomaly:
    """Images given back (N, C, *size) in training; their error in the exported graph.

    Training sees the samples of class 0 and none of the others; validation and test keep all, and
    every class but 0 is positive. The error is the mean over channels of the absolute difference
    from the input, as a share of its window; the score of a sample is the mean of that. Which
    epoch and which network are kept is chosen by the labels of the validation part.
    """

    target: TargetKind = "label"
    outputs: tuple[str, ...] = ("score", "error")
    restored: Mapping[str, int] = {}
    one_class = True
    metrics: Mapping[str, str] = {
        "auc": "area under the ROC curve of the error, every class but the first positive",
        "average_precision": "mean precision over the positives, ranked by their error",
    }
    errors = frozenset[str]()
    units: Mapping[str, str] = {}
    plot = ROC
    classical: tuple[str, ...] = ("mean-intensity", "pca")

    def loss(self, truth: NDArray[Any], sample: SampleSpec, smoothing: float) -> "nn.Module":
        """That of reconstruction, of the input itself."""
        return RECONSTRUCTION.loss(truth, sample, smoothing)

    def finish(
        self, raw: "torch.Tensor", *given: "torch.Tensor", sample: SampleSpec
    ) -> "tuple[torch.Tensor, ...]":
        """Score (N,) and error (N, *size) of an image (N, C, *size) that was given back."""
        del sample
        error_NS = (raw - given[0]).abs().mean(dim=1)
        return error_NS.flatten(1).mean(dim=1), error_NS

    def scores(
        self, outputs: NDArray[Any], truth: NDArray[Any], weights: NDArray[Any] | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """Every metric from scores (N,) and classes (N,)."""
        weights_RN = np.ones((1, len(truth))) if weights is None else weights
        ranking = Ranking.of(outputs, truth > 0, weights_RN)
        return {"auc": ranking.auc(), "average_precision": ranking.average_precision()}

    def drawn(
        self, outputs: NDArray[Any], truth: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """The ROC curve."""
        return Ranking.of(outputs, truth > 0, np.ones((1, len(truth)))).roc()

    def shown(
        self, outputs: NDArray[Any], truth: NDArray[Any], target: TargetSpec
    ) -> tuple[Shown, ...]:
        """Normal ones with the highest scores, others with the lowest, then with the highest."""
        ranked = np.argsort(outputs, kind="stable").tolist()
        normal, other = ([n for n in ranked if (truth[n] > 0) == odd] for odd in (False, True))
        kinds = {
            "Normal, most error": normal[: -NUM_SHOWN - 1 : -1],
            "Abnormal, least error": other[:NUM_SHOWN],
            "Abnormal, most error": other[NUM_SHOWN:][: -NUM_SHOWN - 1 : -1],
        }
        below = np.array(outputs[normal])
        return tuple(
            Shown(
                row=row,
                title=title,
                caption=(
                    f"{target.classes[truth[row]]}; error {outputs[row]:.4f}, above that of "
                    f"{(below < outputs[row]).mean():.0%} of the normal ones"
                ),
            )
            for title, rows in kinds.items()
            for row in rows
        )

    def answer(self, outputs: Mapping[str, NDArray[Any]], target: TargetSpec) -> Answer:
        """The score, and the error (1, *size) in percent of the window."""
        del target
        image = np.float32(100) * outputs["error"].astype(np.float32)
        return Answer(values={"score": float(outputs["score"][0])}, image=image)


PROBLEM = Anomaly()
