"""Segmentation: a class for every pixel or voxel; the exported graph returns label map too."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automed.problems import (
    Answer,
    Plot,
    Shown,
    means_of_known,
    weighted_means,
    worst_median_best,
)
from automed.sample import SampleSpec, TargetKind, TargetSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

Measure = Callable[[NDArray[np.bool_], NDArray[np.bool_]], NDArray[np.float64]]


class Segmentation:
    """Logits (N, K, *size) in training, probabilities of that shape in the exported graph.

    Class 0 is background and enters no metric. Empty masks: a class that is neither in the truth
    nor in the answer of a sample says nothing about it and is left out; one that is in only one of
    the two scores Dice 0, and its HD95 is the diagonal of the image.
    """

    target: TargetKind = "mask"
    outputs = ("probabilities", "labels")
    restored: Mapping[str, int] = {}
    one_class = False
    metrics = {  # noqa: RUF012 - a table
        "dice": "Dice overlap, the mean over samples of the mean over classes but background",
        "hd95": "95th percentile of the distances between surfaces, pixels, likewise",
    }
    errors = frozenset({"hd95"})
    units: Mapping[str, str] = {"hd95": "pixels"}
    plot = Plot(
        title="Every validation sample that holds something",
        x="Places of the true mask",
        y="Dice",
        joined=False,
        logarithmic=True,
    )
    classical = ("threshold",)

    def loss(self, truth: NDArray[Any], sample: SampleSpec, smoothing: float) -> "nn.Module":
        """Dice plus cross-entropy of masks (N, 1, *size).

        Of several outputs (deep supervision), the finest first, each counts half the one before.

        Source: Isensee et al. 2021, nnU-Net, doi:10.1038/s41592-020-01008-z.
        """
        from monai.losses import DeepSupervisionLoss, DiceCELoss

        from automed.problems.losses import OfAnswer

        del truth, sample
        loss = DiceCELoss(
            include_background=False,
            to_onehot_y=True,
            softmax=True,
            batch=True,
            label_smoothing=smoothing,
        )
        return OfAnswer(DeepSupervisionLoss(loss))

    def finish(
        self, raw: "torch.Tensor", *given: "torch.Tensor", sample: SampleSpec
    ) -> "tuple[torch.Tensor, ...]":
        """Probabilities (N, K, *size) and label map (N, *size) from logits."""
        del given, sample
        return raw.softmax(dim=1), raw.argmax(dim=1)

    def scores(
        self, outputs: NDArray[Any], truth: NDArray[Any], weights: NDArray[Any] | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """Every metric from probabilities (N, K, *size) and masks (N, 1, *size)."""
        return {
            "dice": weighted_means(_of_samples(dice, outputs, truth), weights),
            "hd95": weighted_means(_of_samples(_hd95, outputs, truth), weights),
        }

    def drawn(
        self, outputs: NDArray[Any], truth: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Pixels of the true mask and Dice of every sample that has both."""
        overlap = _of_samples(dice, outputs, truth)
        pixels = (truth > 0).reshape(len(truth), -1).sum(axis=1)
        has_both = np.isfinite(overlap) & (pixels > 0)
        return pixels[has_both], overlap[has_both]

    def shown(
        self, outputs: NDArray[Any], truth: NDArray[Any], target: TargetSpec
    ) -> tuple[Shown, ...]:
        """The worst, the median and the best samples by Dice, of those that have a Dice."""
        del target
        overlap = _of_samples(dice, outputs, truth)
        return tuple(
            Shown(
                row=row,
                title=title,
                caption=f"Dice {overlap[row]:.3f}",
                truth=truth[row, 0],
                answer=outputs[row].argmax(axis=0),
            )
            for row, title in worst_median_best(overlap)
        )

    def answer(self, outputs: Mapping[str, NDArray[Any]], target: TargetSpec) -> Answer:
        """The label map, and class name to its share of the places."""
        labels = outputs["labels"][0].astype(np.uint8)
        counts = np.bincount(labels.reshape(-1), minlength=len(target.classes))
        shares = (counts / labels.size).tolist()
        return Answer(values=dict(zip(target.classes, shares, strict=True)), labels=labels)


def over_classes(
    measure: Measure, found_NS: NDArray[Any], there_NS: NDArray[Any], num_classes: int
) -> NDArray[np.float64]:
    """A measure (N,) of found and true label maps, the mean over classes but background."""
    classes = range(1, num_classes)
    return means_of_known(
        np.stack([measure(found_NS == k, there_NS == k) for k in classes], axis=1)
    )


def dice(found_NS: NDArray[np.bool_], there_NS: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Dice overlap (N,) of found and true places; NaN where there are neither."""
    axes = tuple(range(1, found_NS.ndim))
    total = found_NS.sum(axes) + there_NS.sum(axes)
    with np.errstate(invalid="ignore"):
        overlap: NDArray[np.float64] = 2 * (found_NS & there_NS).sum(axes) / total
    return overlap


def _of_samples(
    measure: Measure, outputs: NDArray[Any], truth: NDArray[Any]
) -> NDArray[np.float64]:
    return over_classes(measure, outputs.argmax(axis=1), truth[:, 0], outputs.shape[1])


def _hd95(found_NS: NDArray[np.bool_], there_NS: NDArray[np.bool_]) -> NDArray[np.float64]:
    import warnings

    import torch
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance

    axes = tuple(range(1, found_NS.ndim))
    in_both = found_NS.any(axes) & there_NS.any(axes)
    in_one = found_NS.any(axes) ^ there_NS.any(axes)
    distances = np.full(len(found_NS), np.nan)
    distances[in_one] = np.linalg.norm(found_NS.shape[1:])
    for row in np.flatnonzero(in_both):
        crop = _around(found_NS[row] | there_NS[row])
        pair = (torch.from_numpy(m[row][crop])[None, None] for m in (found_NS, there_NS))
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # MONAI of itself
            distances[row] = float(
                compute_hausdorff_distance(*pair, include_background=True, percentile=95)
            )
    return distances


def _around(mask_S: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The box of a mask: distances inside do not depend on what lies outside."""
    return tuple(slice(at.min(), at.max() + 1) for at in np.nonzero(mask_S))


PROBLEM = Segmentation()
