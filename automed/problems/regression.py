"""Regression: a number a sample or several; the exported graph gives them in their own units."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automed.problems import Answer, Plot, Shown, means_of_known, worst_median_best
from automed.sample import SampleSpec, TargetKind, TargetSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

NUM_SHOWN = 2
"""Samples of each kind for the report."""
FLAT = 1e-12
"""A variance below this share of the truth's is none."""
UNIT = "own units"


class Regression:
    """Standardised numbers (N, V) in training, numbers (N, V) in own units in the exported graph.

    Truth is (N, V) in its own units, NaN where a value is not known: it enters neither loss nor
    metric. Mean and standard deviation of the training part, which standardise it, are the centre
    and the scale of the target. Every metric is the mean over values, so of values in different
    units r2 is the one to search for.
    """

    target: TargetKind = "value"
    outputs: tuple[str, ...] = ("values",)
    restored: Mapping[str, int] = {}
    one_class = False
    metrics: Mapping[str, str] = {
        "mae": "mean absolute error, in the target's own units",
        "rmse": "root of the mean squared error, likewise",
        "r2": "share of the variance that is explained; 0 for the mean of the truth, or below",
        "pearson": "correlation of answer and truth; 0 for an answer that never varies",
        "concordance": "Lin's concordance: correlation with the line where answer equals truth",
    }
    errors = frozenset({"mae", "rmse"})
    units: Mapping[str, str] = {"mae": UNIT, "rmse": UNIT}
    plot = Plot(
        title="Answer against truth; of several values each in its standard deviations",
        x="Truth",
        y="Answer",
        joined=False,
        diagonal=True,
    )
    classical: tuple[str, ...] = ("training-mean", "ridge", "random-forest")

    def loss(self, truth: NDArray[Any], sample: SampleSpec, smoothing: float) -> "nn.Module":
        """Squared error of standardised values near the truth, absolute error far from it.

        Source: Girshick 2015, Fast R-CNN, arXiv:1504.08083 (its smooth L1).
        """
        import torch
        from torch import nn

        from automed.problems.losses import OfKnown

        del truth, smoothing
        return OfKnown(
            nn.SmoothL1Loss(reduction="none"),
            centre=torch.tensor(sample.target.centre, dtype=torch.float32),
            scale=torch.tensor(sample.target.scale, dtype=torch.float32),
        )

    def finish(
        self, raw: "torch.Tensor", *given: "torch.Tensor", sample: SampleSpec
    ) -> "tuple[torch.Tensor, ...]":
        """Values (N, V) in their own units from standardised ones (N, V)."""
        del given
        target = sample.target
        return (raw * raw.new_tensor(target.scale) + raw.new_tensor(target.centre),)

    def scores(
        self, outputs: NDArray[Any], truth: NDArray[Any], weights: NDArray[Any] | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """Every metric from values and truth, both (N, V), a value a row of weights (R, N).

        Where the truth does not vary in a row, all but the errors are undefined (NaN).
        """
        weights_RN = np.ones((1, len(truth))) if weights is None else weights
        several: dict[str, list[NDArray[np.float64]]] = {name: [] for name in self.metrics}
        for answer_N, truth_N in zip(outputs.T, truth.T, strict=True):
            known_N = np.isfinite(truth_N)
            one = _of_one(
                answer_N[known_N].astype(np.float64),
                truth_N[known_N].astype(np.float64),
                weights_RN[:, known_N],
            )
            for name, values_R in one.items():
                several[name].append(values_R)
        return {name: means_of_known(np.stack(of, axis=1)) for name, of in several.items()}

    def drawn(
        self, outputs: NDArray[Any], truth: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Truth and answer of every known value."""
        known = np.isfinite(truth)
        spread_V = np.nanstd(truth.astype(np.float64), axis=0) if truth.shape[1] > 1 else 1.0
        spread_V = np.where(np.asarray(spread_V) > 0, spread_V, 1.0)
        return (truth / spread_V)[known], (outputs / spread_V)[known]

    def shown(
        self, outputs: NDArray[Any], truth: NDArray[Any], target: TargetSpec
    ) -> tuple[Shown, ...]:
        """The worst, the median and the best samples by their error in standard deviations."""
        error_N = means_of_known(np.abs(outputs - truth).astype(np.float64) / target.scale)
        return tuple(
            Shown(row=row, title=title, caption=_told(outputs[row], truth[row], target))
            for row, title in worst_median_best(-error_N, NUM_SHOWN)
        )

    def answer(self, outputs: Mapping[str, NDArray[Any]], target: TargetSpec) -> Answer:
        """Name to value."""
        (values,) = outputs["values"]
        return Answer(values=dict(zip(target.classes, map(float, values), strict=True)))


def _of_one(
    answer_N: NDArray[np.float64], truth_N: NDArray[np.float64], weights_RN: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Every metric (R,) of one value.

    Source of concordance: Lin 1989, A concordance correlation coefficient, doi:10.2307/2532051.
    """
    middle = truth_N.mean() if len(truth_N) else 0.0  # of large numbers, variances lose digits
    answer_N, truth_N = answer_N - middle, truth_N - middle
    with np.errstate(invalid="ignore", divide="ignore"):
        share_RN = weights_RN / weights_RN.sum(axis=1, keepdims=True)
        says_R, is_R = share_RN @ answer_N, share_RN @ truth_N
        squared_R = share_RN @ (answer_N - truth_N) ** 2
        varies_R = share_RN @ truth_N**2 - is_R**2
        moves_R = share_RN @ answer_N**2 - says_R**2
        together_R = share_RN @ (answer_N * truth_N) - says_R * is_R
        least = FLAT * truth_N.var() if len(truth_N) else 0.0
        varies_R = np.where(varies_R > least, varies_R, np.nan)
        still_R = moves_R <= FLAT * varies_R
        linked_R = together_R / np.sqrt(np.where(still_R, np.inf, moves_R) * varies_R)
        values = {
            "mae": share_RN @ np.abs(answer_N - truth_N),
            "rmse": np.sqrt(squared_R),
            "r2": 1 - squared_R / varies_R,
            "pearson": linked_R,
            "concordance": 2 * together_R / (varies_R + moves_R + (says_R - is_R) ** 2),
        }
    weighed_R = weights_RN.any(axis=1)
    return {name: np.where(weighed_R, value_R, np.nan) for name, value_R in values.items()}


def _told(answer_V: NDArray[Any], truth_V: NDArray[Any], target: TargetSpec) -> str:
    """What is true of every value, and what the model says."""
    return "; ".join(
        f"{name} {f'{true:.4g}' if np.isfinite(true) else 'unknown'}, the model says {said:.4g}"
        for name, true, said in zip(target.classes, truth_V, answer_V, strict=True)
    )


PROBLEM = Regression()
