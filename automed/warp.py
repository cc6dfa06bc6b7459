"""What a displacement field does to images, for losses, graphs and networks alike; needs PyTorch.

A field (N, dims, *size) says for every pixel of the fixed image how far away, in pixels an axis,
its value lies in the moving one.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def warped(image_NCS: Tensor, field_NDS: Tensor, size: Sequence[int]) -> Tensor:
    """An image, or a field, read off where another field points to, linear between pixels.

    Beyond its border an image goes on as it ends.

    Args:
        image_NCS: What is read, 2D or 3D.
        field_NDS: Displacements in pixels of that image.
        size: Pixels an axis of both; plain numbers, since a traced graph would compute shapes.

    Source: Jaderberg et al. 2015, Spatial Transformer Networks, arXiv:1506.02025.
    """
    field_NDS, places = field_NDS.float(), []  # half precision cannot tell pixel 100 from 100.4
    for axis, length in enumerate(size):
        place_NS = field_NDS[:, axis] + along(axis, size, field_NDS.device)
        places.append(place_NS * (2 / (length - 1)) - 1)
    return functional.grid_sample(
        image_NCS.float(),
        torch.stack(places[::-1], dim=-1),
        padding_mode="border",
        align_corners=True,
    )


def resized(field_NDS: Tensor, size: Sequence[int]) -> Tensor:
    """A field on another grid, its displacements as they are."""
    if tuple(field_NDS.shape[2:]) == tuple(size):
        return field_NDS
    mode = "bilinear" if len(size) == 2 else "trilinear"
    return functional.interpolate(field_NDS, tuple(size), mode=mode)


def roughness(field_NDS: Tensor) -> Tensor:
    """The mean square of the differences between neighbours: 0 of a shift of the whole image."""
    axes = range(2, field_NDS.ndim)
    return torch.stack([field_NDS.diff(dim=axis).square().mean() for axis in axes]).mean()


def affine_fit(field_NDS: Tensor, size: Sequence[int]) -> Tensor:
    """The affine field nearest to a field, in least squares.

    Centred coordinates of a rectangle are orthogonal, so that each has its slope by itself.
    """
    space = tuple(range(2, 2 + len(size)))
    fit_NDS = field_NDS.mean(space, keepdim=True)
    for axis, length in enumerate(size):
        line_S = along(axis, size, field_NDS.device) * (2 / (length - 1)) - 1
        slope_ND1 = (field_NDS * line_S).mean(space, keepdim=True) / line_S.square().mean()
        fit_NDS = fit_NDS + slope_ND1 * line_S
    return fit_NDS


def along(axis: int, size: Sequence[int], device: torch.device) -> Tensor:
    """The coordinate of one axis, shaped to go with (..., *size)."""
    shape = [length if other == axis else 1 for other, length in enumerate(size)]
    return torch.arange(size[axis], dtype=torch.float32, device=device).reshape(shape)
