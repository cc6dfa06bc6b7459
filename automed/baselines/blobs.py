"""Bright or dark blobs by the Laplacian of a Gaussian: detection without anything learnt deep."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from automed.baselines.export import exported
from automed.baselines.filters import padded
from automed.data.dataset import Dataset
from automed.exporters.deployed import Deployed
from automed.problems.detection import PROBLEM, Hits
from automed.problems.heat_map import PRIOR
from automed.sample import SampleSpec

NUM_SCALES = 5
COARSEST = 5.0
"""Cells of the largest sigma; images of larger objects are averaged down before."""
REACH = 3.0
"""Sigmas that a filter looks away."""


class Blobs(nn.Module):
    """The strongest of several scales' responses at every cell, as a heat map with radii.

    A blob answers most at sigma = radius / sqrt(dims).

    Source: Lindeberg 1998, doi:10.1023/A:1008045108935.
    """

    def __init__(self, radii: Sequence[float], sample: SampleSpec, sign: float) -> None:
        """For radii in pixels, rising, and blobs brighter (sign 1) or darker (-1) than around."""
        super().__init__()
        self.dims = dims = sample.dims
        self.which = sample.inputs.index(sample.image)
        sigmas = np.array(radii) / math.sqrt(dims)
        self.stride = 2 ** max(0, math.ceil(math.log2(sigmas[-1] / COARSEST)))
        reach = math.ceil(REACH * sigmas[-1] / self.stride)
        kernels = np.stack([laplacian(s / self.stride, reach, dims) for s in sigmas])
        self.kernels = nn.Parameter(torch.tensor(sign * kernels[:, None], dtype=torch.float32))
        self.logs = nn.Parameter(torch.tensor(np.log(radii) - math.log(self.stride)).float())
        self.slope, self.level = nn.Parameter(torch.ones(())), nn.Parameter(torch.zeros(()))

    def forward(self, *inputs: Tensor) -> Tensor:
        """The raw output (N, 2 + dims, *grid) of the image; other inputs have no say."""
        conv = {2: functional.conv2d, 3: functional.conv3d}[self.dims]
        pool = {2: functional.avg_pool2d, 3: functional.avg_pool3d}[self.dims]
        grey = inputs[self.which].mean(dim=1, keepdim=True)
        if self.stride > 1:
            missing = [-s % self.stride for s in reversed(grey.shape[2:])]
            whole = functional.pad(grey, [e for m in missing for e in (0, m)], mode="replicate")
            grey = pool(whole, self.stride)
        reach = self.kernels.shape[-1] // 2
        strongest, at = conv(padded(grey, reach), self.kernels).max(dim=1, keepdim=True)
        heat = self.slope * strongest + self.level - PRIOR
        middle = torch.zeros_like(heat)
        return torch.cat([heat, self.logs[at], *[middle] * self.dims], dim=1)


def laplacian(sigma: float, reach: int, dims: int) -> NDArray[np.float64]:
    """Minus the scale-normalised Laplacian of a Gaussian, (2 * reach + 1,) * dims; its sum is 0."""
    axis = np.arange(-reach, reach + 1)
    squared = sum(x**2 for x in np.meshgrid(*[axis] * dims, indexing="ij")) / sigma**2
    kernel = (dims - squared) * np.exp(-0.5 * squared)
    kernel /= np.abs(kernel).sum()
    balanced: NDArray[np.float64] = kernel - kernel.mean()
    return balanced


def blob_detector(train: Dataset, seed: int) -> bytes:
    """Blobs of the radii of the training part, brighter or darker, whichever find more there.

    Scores are the chances that a logistic regression of the response gives.

    Args:
        train: Images (N, C, *size) and points (N, M, dims + 1).
        seed: Not used: nothing is drawn.
    """
    del seed
    radii = train.truth[..., -1][np.isfinite(train.truth[..., -1])].astype(np.float64)
    scales = np.quantile(radii, np.linspace(0.05, 0.95, NUM_SCALES))
    rivals = []
    for sign in (1.0, -1.0):
        blobs = Blobs(scales.tolist(), train.sample, sign)
        maps = Deployed(blobs, train.sample, PROBLEM).outputs(train.given)
        rivals.append((PROBLEM.scores(maps, train.truth)["froc"][0], maps, blobs))
    _, maps, blobs = max(rivals, key=lambda rival: float(rival[0]))
    slope, level = _calibrated(Hits.of(maps, train.truth))
    nn.init.constant_(blobs.slope, slope)
    nn.init.constant_(blobs.level, level)
    return exported(blobs, train.sample, PROBLEM)


def _calibrated(hits: Hits) -> tuple[float, float]:
    """Slope and level of the logits by which scores become chances; 1 and 0 where none is known."""
    from sklearn.linear_model import LogisticRegression

    is_listed = hits.scores > 0
    scores, hit = hits.scores[is_listed].astype(np.float64), hits.first[is_listed]
    if len(np.unique(hit)) < 2:
        return 1.0, 0.0
    responses = np.log(scores / (1 - scores))[:, None]
    fitted = LogisticRegression(C=1e3).fit(responses, hit)
    slope, level = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    return (slope, level) if slope > 0 else (1.0, 0.0)
