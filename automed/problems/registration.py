"""Registration: a displacement of every pixel that lays one image onto another, deformably."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automed.problems import Answer, Plot, Shown, weighted_means, worst_median_best
from automed.problems.segmentation import dice, over_classes
from automed.sample import SampleSpec, TargetKind, TargetSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

NUM_SHOWN = 1
"""Samples of each kind for the report."""


class Registration:
    """Displacements (N, dims, *size) in pixels, in training and in the exported graph.

    A sample is a fixed and a moving image of one size. A displacement leads from a pixel of the
    fixed image to where its value lies in the moving one; `warped` is the moving image so read, in
    its own raw units. Truth are the label maps of both (N, 2, *size): they judge and help to
    learn, and no model needs them.
    """

    target: TargetKind = "field"
    outputs: tuple[str, ...] = ("field", "warped")
    restored: Mapping[str, int] = {"warped": 1}
    one_class = False
    metrics: Mapping[str, str] = {
        "dice": "Dice of the fixed labels and the moving ones once warped (nearest label), the "
        "mean over samples of the mean over classes but background",
        "folding": "share of voxels where the field folds: the determinant of the Jacobian, from "
        "central differences, is not above 0",
    }
    errors = frozenset({"folding"})
    units: Mapping[str, str] = {"folding": "share of voxels"}
    plot = Plot(
        title="Every validation pair",
        x="Share of voxels where the field folds",
        y="Dice of the warped labels",
        joined=False,
    )
    classical: tuple[str, ...] = ("identity",)

    def loss(self, truth: NDArray[Any], sample: SampleSpec, smoothing: float) -> "nn.Module":
        """Squared difference of the images, Dice of the warped labels and roughness of the field.

        Of several fields (deep supervision), the finest first, each counts half the one before.

        Source: Balakrishnan et al. 2019, VoxelMorph, arXiv:1809.05231, with auxiliary labels.
        """
        from automed.problems.similarity import RegistrationLoss

        del smoothing
        return RegistrationLoss(sample.image.size, num_classes=1 + int(truth.max()))

    def finish(
        self, raw: "torch.Tensor", *given: "torch.Tensor", sample: SampleSpec
    ) -> "tuple[torch.Tensor, ...]":
        """The field, and the moving image (N, C, *size) warped by it, for `Deployed` to restore."""
        from automed.warp import warped

        return raw, warped(given[1], raw, sample.image.size)

    def scores(
        self, outputs: NDArray[Any], truth: NDArray[Any], weights: NDArray[Any] | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """Every metric from fields (N, dims, *size) and label maps (N, 2, *size)."""
        return {
            "dice": weighted_means(_dice(outputs, truth), weights),
            "folding": weighted_means(folding(outputs), weights),
        }

    def drawn(
        self, outputs: NDArray[Any], truth: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Folding and Dice of every pair that has a Dice."""
        overlap = _dice(outputs, truth)
        has_one = np.isfinite(overlap)
        return folding(outputs)[has_one], overlap[has_one]

    def shown(
        self, outputs: NDArray[Any], truth: NDArray[Any], target: TargetSpec
    ) -> tuple[Shown, ...]:
        """The worst, the median and the best samples by Dice: fixed, moving, moving once warped."""
        del target
        values, folds = _dice(outputs, truth), folding(outputs)
        return tuple(
            Shown(
                row=row,
                title=title,
                caption=f"Dice {values[row]:.3f}, {100 * folds[row]:.2f} % folded: "
                "fixed, moving, warped",
                truth=truth[row, 0],
                answer=nearest(truth[row, 1], outputs[row]),
                field=outputs[row],
            )
            for row, title in worst_median_best(values, NUM_SHOWN)
        )

    def answer(self, outputs: Mapping[str, NDArray[Any]], target: TargetSpec) -> Answer:
        """The warped image in raw units, the field, and how far and how well that moves."""
        del target
        field = outputs["field"][0].astype(np.float32)
        moved = np.linalg.norm(field, axis=0)
        values = {
            "mean displacement": float(moved.mean()),
            "greatest displacement": float(moved.max()),
            "folding": float(folding(outputs["field"])[0]),
        }
        return Answer(values=values, image=outputs["warped"][0].astype(np.float32), field=field)


def nearest(values: NDArray[Any], field_DS: NDArray[Any]) -> NDArray[Any]:
    """A label map (*size) or an image (C, *size) warped by a field: what lies nearest."""
    size = field_DS.shape[1:]
    bound = np.reshape(size, (-1, *[1] * len(size))) - 1
    places = np.rint(np.indices(size) + field_DS).clip(0, bound).astype(np.int64)
    moved: NDArray[Any] = values[(..., *places)]
    return moved


def folding(fields_NDS: NDArray[Any]) -> NDArray[np.float64]:
    """Share (N,) of voxels that a field turns inside out or presses to nothing."""
    dims = fields_NDS.shape[1]
    shares = np.empty(len(fields_NDS))
    for row, field_DS in enumerate(fields_NDS):
        slopes = np.stack([np.gradient(field_DS, axis=1 + a) for a in range(dims)], axis=1)
        jacobian_SDD = np.moveaxis(slopes, (0, 1), (-2, -1)) + np.eye(dims)
        shares[row] = (np.linalg.det(jacobian_SDD) <= 0).mean()
    return shares


def _dice(outputs: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.float64]:
    moved = [nearest(labels, field) for labels, field in zip(truth[:, 1], outputs, strict=True)]
    return over_classes(dice, np.stack(moved), truth[:, 0], 1 + int(truth.max()))


PROBLEM = Registration()
