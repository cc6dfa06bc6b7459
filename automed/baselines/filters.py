"""Filters without a weight: what reconstruction must beat, and doing nothing above all."""

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from automed.baselines.export import exported
from automed.data.dataset import Dataset
from automed.data.units import in_window
from automed.problems import registration
from automed.problems.reconstruction import PROBLEM, psnr

SIGMAS = (0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.2, 1.5, 2.0, 3.0)
"""Standard deviations in pixels that are tried for the Gaussian."""
RADII = (1, 2)
"""Pixels to each side of the median's windows that are tried."""
MOST = 256
"""Samples that a width is chosen on."""


def identity(train: Dataset, seed: int) -> bytes:
    """The input as it is, clipped to its window; of pairs, a field that moves nothing."""
    del seed
    if train.sample.target.kind == "field":
        return exported(Unmoved(train.sample.dims), train.sample, registration.PROBLEM)
    return exported(nn.Identity(), train.sample, PROBLEM)


def gaussian(train: Dataset, seed: int) -> bytes:
    """The Gaussian whose answers to the training part have the best PSNR."""
    del seed
    return _best([Gaussian(train.sample.dims, sigma) for sigma in SIGMAS], train)


def median(train: Dataset, seed: int) -> bytes:
    """The median of the cubic window whose answers to the training part have the best PSNR."""
    del seed
    return _best([Median(train.sample.dims, radius) for radius in RADII], train)


class Unmoved(nn.Module):
    """Displacements (N, dims, *size) of nothing, for any images of that size."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, fixed_NCS: Tensor, moving_NCS: Tensor) -> Tensor:
        """Zeros."""
        del moving_NCS
        return torch.cat([0.0 * fixed_NCS[:, :1]] * self.dims, dim=1)


class Gaussian(nn.Module):
    """Convolution (N, C, *size) with a Gaussian, axis by axis, cut at three deviations."""

    def __init__(self, dims: int, sigma: float) -> None:
        super().__init__()
        self.radius, self.dims = math.ceil(3 * sigma), dims
        offsets = torch.arange(-self.radius, self.radius + 1)
        weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
        self.register_buffer("weights_K", weights / weights.sum())

    def forward(self, x_NCS: Tensor) -> Tensor:
        """Images as smooth as the Gaussian is wide."""
        convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[self.dims - 1]
        single_NS = padded(x_NCS, self.radius).flatten(0, 1).unsqueeze(1)
        for axis in range(self.dims):
            shape = [1] * (self.dims + 2)
            shape[axis + 2] = -1
            single_NS = convolve(single_NS, self.get_buffer("weights_K").reshape(shape))
        return single_NS.reshape(x_NCS.shape)


class Median(nn.Module):
    """The median over a window of an odd number of pixels an axis, of images (N, C, *size)."""

    def __init__(self, dims: int, radius: int) -> None:
        super().__init__()
        self.dims, self.radius = dims, radius

    def forward(self, x_NCS: Tensor) -> Tensor:
        """Images without what is smaller than half a window."""
        size, extent = x_NCS.shape[2:], 2 * self.radius + 1
        wide = padded(x_NCS, self.radius)
        shifted = []
        for offsets in product(range(extent), repeat=self.dims):
            one = wide
            for axis, offset in enumerate(offsets):
                one = one.narrow(axis + 2, offset, size[axis])
            shifted.append(one)
        upper = torch.stack(shifted, dim=-1).topk(len(shifted) // 2 + 1, dim=-1).values
        return upper[..., -1]


def padded(x_NCS: Tensor, radius: int) -> Tensor:
    """Edge pixels repeated beyond every side."""
    return functional.pad(x_NCS, [radius] * 2 * (x_NCS.ndim - 2), mode="replicate")


@torch.inference_mode()
def _best(filters: Sequence[nn.Module], train: Dataset) -> bytes:
    rows = np.unique(np.linspace(0, len(train) - 1, MOST).astype(np.int64))
    some = train.rows(rows)
    given = torch.from_numpy(in_window(some.images, some.sample.image))

    def score(network: nn.Module) -> float:
        answer, *_ = PROBLEM.finish(network(given), given, sample=some.sample)
        return float(psnr(answer.numpy(), some.truth).mean())

    return exported(max(filters, key=score), train.sample, PROBLEM)
