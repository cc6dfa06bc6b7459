"""What kinds of task mean: raw output, loss, metrics and what an exported graph returns."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from automed.sample import TargetSpec

if TYPE_CHECKING:
    import torch
    from torch import nn


class Problem(Protocol):
    """One kind of task. Metrics work on what the exported graph returns, as NumPy arrays."""

    metrics: Mapping[str, str]
    """Metric name to what it is, in words; all of them larger-is-better."""

    def loss(self, labels: NDArray[Any], target: TargetSpec, smoothing: float) -> "nn.Module":
        """A loss of (raw output, target) that weighs classes by these training labels."""

    def finish(self, raw: "torch.Tensor") -> "torch.Tensor":
        """What the exported graph returns, from the network's raw output."""

    def scores(
        self, outputs: NDArray[Any], labels: NDArray[Any], weights: NDArray[Any] | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """Every metric, for each row of sample weights (R, N); one row of ones if there are none.

        Returns:
            Metric name to an array (R,).
        """
