"""What a score that ranks samples is worth, for thousands of sets of sample weights at once."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automed.problems import Plot

Values = NDArray[np.float64]

SPECIFICITY = 0.9
"""Share of negatives left alone at which sensitivities are told."""
ROC_RATES = np.linspace(0.0, 1.0, 101)
"""Shares of negatives at which a ROC curve is drawn."""
ROC = Plot(
    title="Found and falsely found at every threshold",
    x="1 - specificity",
    y="Sensitivity",
    joined=True,
    diagonal=True,
)


@dataclass(frozen=True)
class Ranking:
    """Samples from the highest score down, equal scores together.

    scikit-learn's functions give the same for one row of weights; a bootstrap asks for thousands.
    A class without weight leaves its rows undefined (NaN).

    Attributes:
        hits_RT: Weight of positives at or above each of T thresholds, for R rows of weights.
        falls_RT: The same of negatives.
    """

    hits_RT: Values  # noqa: N815 - a shape, as everywhere
    falls_RT: Values  # noqa: N815

    @classmethod
    def of(
        cls, score_N: NDArray[np.floating], positive_N: NDArray[np.bool_], weights_RN: Values
    ) -> "Ranking":
        """The ranking of scores, each sample weighted as every row says."""
        order = np.argsort(-score_N, kind="stable")
        last_of_tie = np.flatnonzero(np.append(np.diff(score_N[order]) != 0, True))
        weights_RN, positive_N = weights_RN[:, order], positive_N[order]
        return cls(
            np.where(positive_N, weights_RN, 0.0).cumsum(axis=1)[:, last_of_tie],
            np.where(positive_N, 0.0, weights_RN).cumsum(axis=1)[:, last_of_tie],
        )

    @cached_property
    def tpr_RT(self) -> Values:  # noqa: N802
        """Share of positives found, from none on."""
        return _shares(self.hits_RT)

    @cached_property
    def fpr_RT(self) -> Values:  # noqa: N802
        """Share of negatives taken for positive, from none on."""
        return _shares(self.falls_RT)

    def roc(self) -> tuple[Values, Values]:
        """The ROC curve of the first row of weights, read at ROC_RATES: both of one length."""
        places = np.searchsorted(self.fpr_RT[0], ROC_RATES, side="right") - 1
        return ROC_RATES, self.tpr_RT[0][places]

    def auc(self) -> Values:
        """Areas (R,) under the ROC curves."""
        areas_R: Any = np.trapezoid(self.tpr_RT, self.fpr_RT, axis=1)
        return np.asarray(areas_R)

    def sensitivity(self, specificity: float) -> Values:
        """Shares (R,) of positives found at no less than a specificity."""
        allowed_RT = self.fpr_RT <= 1 - specificity + 1e-12
        found: Values = np.where(allowed_RT, self.tpr_RT, 0.0).max(axis=1)
        return found

    def average_precision(self) -> Values:
        """Means (R,) of the precision over the positives, at the threshold that finds each."""
        taken_RT = self.hits_RT + self.falls_RT
        precision_RT = self.hits_RT / np.where(taken_RT > 0, taken_RT, 1.0)
        means: Values = (np.diff(self.tpr_RT, axis=1) * precision_RT).sum(axis=1)
        return means


def share(hit_N: NDArray[np.bool_], weights_RN: Values) -> Values:
    """What part (R,) of the weight falls on hits; NaN where there is no weight."""
    with np.errstate(invalid="ignore"):
        shares: Values = weights_RN @ hit_N / weights_RN.sum(axis=1)
    return shares


def _shares(counts_RT: Values) -> Values:
    with np.errstate(invalid="ignore"):
        return np.pad(counts_RT / counts_RT[:, -1:], ((0, 0), (1, 0)))
