"""Linear floors for several numbers a sample: a line for each finding or value, and none at all."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automed.baselines.export import exported
from automed.data.dataset import Dataset
from automed.data.units import in_window
from automed.problems import multilabel, regression
from automed.sample import LEAST_SPREAD

PENALTIES = np.logspace(0, 6, 13)
"""Ridge penalties; the one with the least leave-one-out error is taken."""


def findings(train: Dataset) -> bytes:
    """Logistic regression of every finding, on the samples of which it is known."""
    from sklearn.linear_model import LogisticRegression

    def fit(rows_NF: NDArray[Any], there_N: NDArray[Any]) -> tuple[NDArray[Any], float]:
        model: Any = LogisticRegression(C=0.01, max_iter=500).fit(rows_NF, there_N > 0)
        return model.coef_[0], model.intercept_[0]

    return exported(_lines(train, train.truth, fit), train.sample, multilabel.PROBLEM)


def ridge(train: Dataset, seed: int) -> bytes:
    """Ridge regression of every value, on the samples of which it is known."""
    from sklearn.linear_model import RidgeCV

    del seed

    def fit(rows_NF: NDArray[Any], value_N: NDArray[Any]) -> tuple[NDArray[Any], float]:
        model: Any = RidgeCV(alphas=PENALTIES).fit(rows_NF, value_N)
        return model.coef_, model.intercept_

    target = train.sample.target
    wanted_NV = (train.truth.astype(np.float64) - target.centre) / target.scale
    return exported(_lines(train, wanted_NV, fit), train.sample, regression.PROBLEM)


def training_mean(train: Dataset, seed: int) -> bytes:
    """The mean of the training part for every sample: what a model must beat to know anything."""
    del seed
    network = Constant(train.sample.target.channels)
    return exported(network, train.sample, regression.PROBLEM)


class Lines(nn.Module):
    """A linear function of every pixel in the window and every column of the table."""

    def __init__(self, weight_VF: NDArray[Any], bias_V: NDArray[Any]) -> None:
        super().__init__()
        self.linear = nn.Linear(weight_VF.shape[1], len(weight_VF))
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(weight_VF))
            self.linear.bias.copy_(torch.from_numpy(bias_V))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Numbers (N, V)."""
        answer_NV: Tensor = self.linear(torch.cat([x.flatten(1) for x in inputs], dim=1))
        return answer_NV


class Constant(nn.Module):
    """0 for every value, whatever the inputs are."""

    def __init__(self, values: int) -> None:
        super().__init__()
        self.values = values

    def forward(self, *inputs: Tensor) -> Tensor:
        """Zeros (N, V)."""
        return (0.0 * inputs[0].flatten(1)[:, :1]).expand(-1, self.values)


def _lines(train: Dataset, wanted_NV: NDArray[Any], fit: Any) -> Lines:
    """A fit to standardised rows for each column, where it is known, taken back to plain rows."""
    rows_NF = np.concatenate(
        [
            (in_window(x, spec) if spec.kind == "image" else x).reshape(len(train), -1)
            for x, spec in zip(train.given, train.sample.inputs, strict=True)
        ],
        axis=1,
    ).astype(np.float64)
    mean_F, spread_F = rows_NF.mean(axis=0), rows_NF.std(axis=0).clip(LEAST_SPREAD)
    weights, biases = [], []
    for wanted_N in wanted_NV.T:
        known = np.isfinite(wanted_N)
        weight_F, bias = fit((rows_NF[known] - mean_F) / spread_F, wanted_N[known])
        weights.append(weight_F / spread_F)
        biases.append(bias - mean_F @ weights[-1])
    return Lines(np.stack(weights), np.array(biases))
