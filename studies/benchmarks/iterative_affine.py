"""Affine registration without a network: twelve numbers a pair, sought anew for each."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from automed.data.dataset import Dataset
from automed.data.units import in_window
from automed.warp import along, warped

STEPS, RATE = 120, 0.1
"""Steps of Adam, and pixels a step."""
SHRINK = 2
"""Pixels an axis averaged before the search: it is fast, and blurs what would catch it."""


def iterative_affine(data: Dataset) -> NDArray[np.float32]:
    """Fields (N, dims, *size) of the affine map, per pair, of the best correlation of the images.

    Labels have no say. The map begins as the identity.
    """
    fixed, moving = (
        torch.from_numpy(in_window(x, spec))
        for x, spec in zip(data.given, data.sample.inputs, strict=True)
    )
    size = data.sample.image.size
    fields = [_sought(f[None], m[None], size) for f, m in zip(fixed, moving, strict=True)]
    return torch.cat(fields).numpy()


def _sought(fixed_NCS: Tensor, moving_NCS: Tensor, size: tuple[int, ...]) -> Tensor:
    pool = functional.avg_pool2d if len(size) == 2 else functional.avg_pool3d
    fixed, moving = (pool(x, SHRINK) for x in (fixed_NCS, moving_NCS))
    small = tuple(fixed.shape[2:])
    weights = torch.zeros(len(size) + 1, len(size), requires_grad=True)
    optimizer = torch.optim.Adam([weights], lr=RATE)
    for _ in range(STEPS):
        moved = warped(moving, _field(weights, small) / SHRINK, small)
        pair = torch.stack([moved.flatten(), fixed.flatten()])
        optimizer.zero_grad()
        (1 - torch.corrcoef(pair)[0, 1]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return _field(weights.detach(), size)


def _field(weights: Tensor, size: tuple[int, ...]) -> Tensor:
    """Displacements (1, dims, *size) in pixels: a shift, and a slope along each axis."""
    dims = len(size)
    rows = weights.reshape(dims + 1, 1, dims, *[1] * dims)
    field = rows[0] + torch.zeros(size)
    for axis, length in enumerate(size):
        line = along(axis, size, weights.device) * (2 / (length - 1)) - 1
        field = field + rows[1 + axis] * line
    return field
