"""Objects as peaks of a heat map: how it is drawn, learnt and read, in 2D and 3D alike.

Source: Zhou et al. 2019, Objects as Points, arXiv:1904.07850.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

SLOTS = 32
"""Objects a list has room for; the rest of a short list has score 0."""
PRIOR = -2.2
"""Added to the logits of the heat: a network begins by expecting little anywhere."""
LARGEST = 8.0
"""Logarithm of the largest radius, in cells."""
FOCUS, PARDON = 2, 4
"""Powers of the focal loss: on what is hard, and on how near a centre lies."""


def stride_of(grid: Sequence[int], size: Sequence[int]) -> int:
    """Pixels an axis of a grid's cell: the power of two that cuts an image into such a grid.

    Raises:
        ValueError: There is none.
    """
    for stride in (1, 2, 4, 8, 16, 32, 64, 128):
        if all(-(-pixels // stride) == cells for pixels, cells in zip(size, grid, strict=True)):
            return stride
    raise ValueError(f"no cells of 2**n pixels cut an image of {size} into a grid of {grid}")


def maps(raw: Tensor, size: Sequence[int]) -> Tensor:
    """What every cell says of the object whose centre it holds, from the raw output.

    Args:
        raw: (N, 2 + dims, *grid): logit of the heat, logarithm of the radius in cells, logits of
            the centre's place within the cell.
        size: Pixels per axis of the image.

    Returns:
        (N, 2 + dims, *grid): score, radius and centre per axis, in pixels.
    """
    grid = raw.shape[2:]
    stride = stride_of(grid, size)
    axes = [torch.arange(cells, device=raw.device, dtype=raw.dtype) for cells in grid]
    cell_DS = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    return torch.cat(
        [
            (raw[:, :1] + PRIOR).sigmoid(),
            raw[:, 1:2].clamp(max=LARGEST).exp() * stride,
            (cell_DS + raw[:, 2:].sigmoid()) * stride - 0.5,
        ],
        dim=1,
    )


def peaks(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The strongest cells that none of their neighbours outdoes, strongest first.

    Args:
        maps: (N, 2 + dims, *grid), as `maps` gives them.

    Returns:
        Centres (N, K, dims) and radii (N, K) in pixels, scores (N, K); K is SLOTS, or the number
        of cells where those are fewer.
    """
    heat = maps[:, :1]
    pool = {2: functional.max_pool2d, 3: functional.max_pool3d}[maps.ndim - 2]
    kept = torch.where(pool(heat, 3, 1, 1) == heat, heat, torch.zeros_like(heat)).flatten(1)
    scores, at = kept.topk(min(SLOTS, kept.shape[1]))
    wanted = at.unsqueeze(1).expand(-1, maps.shape[1] - 1, -1)
    told = maps[:, 1:].flatten(2).gather(2, wanted)
    return told[:, 1:].transpose(1, 2), told[:, 0], scores


class HeatMapLoss(nn.Module):
    """Penalty-reduced focal loss of the heat, and L1 of radius and place at the true centres.

    Per object. Unlike in the paper, radii are compared by their logarithms, so that an error counts
    by its share of the object, and the heat falls off over the distance that still is a hit.
    Of several outputs (deep supervision), the finest first, each counts half the one before.
    """

    def __init__(self, size: Sequence[int]) -> None:
        """For images of this size in pixels."""
        super().__init__()
        self.size = tuple(size)

    def forward(self, raw: Tensor | list[Tensor], truth_NMP: Tensor, *given: Tensor) -> Tensor:
        """The loss of raw outputs against points (N, M, dims + 1), rows of NaN being none."""
        del given
        raws = raw if isinstance(raw, list) else [raw]
        return torch.stack([self._of(x, truth_NMP) / 2**n for n, x in enumerate(raws)]).sum()

    def _of(self, raw: Tensor, truth_NMP: Tensor) -> Tensor:
        raw, grid = raw.float(), raw.shape[2:]
        stride = stride_of(grid, self.size)
        there_NM = truth_NMP[..., -1].isfinite()
        points = torch.where(there_NM[..., None], truth_NMP.float(), torch.zeros_like(truth_NMP))
        place_NMD, radius_NM = (points[..., :-1] + 0.5) / stride, points[..., -1] / stride
        last = torch.tensor(grid, device=raw.device) - 1
        cell_NMD = place_NMD.floor().long().clamp(min=0).minimum(last)
        heat = drawn(cell_NMD, torch.where(there_NM, radius_NM, -1.0), grid)
        index_NM = torch.zeros_like(cell_NMD[..., 0])
        for axis, cells in enumerate(grid):
            index_NM = index_NM * cells + cell_NMD[..., axis]
        wanted = index_NM.unsqueeze(1).expand(-1, raw.shape[1] - 1, -1)
        told = raw[:, 1:].flatten(2).gather(2, wanted)
        logs = torch.where(there_NM, radius_NM, 1.0).log()
        wrong_NM = (told[:, 0] - logs).abs()
        wrong_NM = wrong_NM + (
            told[:, 1:].sigmoid().transpose(1, 2) - (place_NMD - cell_NMD)
        ).abs().sum(-1)
        number = there_NM.sum().clamp(min=1)
        return (focal(raw[:, 0] + PRIOR, heat) + wrong_NM[there_NM].sum()) / number


def drawn(cell_NMD: Tensor, radius_NM: Tensor, grid: Sequence[int]) -> Tensor:
    """The heat (N, *grid) of objects: 1 at their cells, falling off as a Gaussian.

    Its sigma is a sixth of the width over which a centre counts as found (Law and Deng 2018,
    arXiv:1808.01244). A negative radius means that there is no object.
    """
    sigma_NM = (2 * radius_NM.clamp(min=0) + 1) / 6
    heat = (radius_NM >= 0).float().reshape(*radius_NM.shape, *(1 for _ in grid))
    for axis, cells in enumerate(grid):
        away = torch.arange(cells, device=heat.device) - cell_NMD[..., axis, None]
        falls = (-0.5 * (away / sigma_NM[..., None]) ** 2).exp()
        shape = [cells if other == axis else 1 for other in range(len(grid))]
        heat = heat * falls.reshape(*radius_NM.shape, *shape)
    return heat.amax(dim=1)


def focal(logits: Tensor, heat: Tensor) -> Tensor:
    """The penalty-reduced focal loss, summed; cells of heat 1 hold a centre."""
    chance = logits.sigmoid()
    found = (1 - chance) ** FOCUS * functional.logsigmoid(logits)
    quiet = (1 - heat) ** PARDON * chance**FOCUS * functional.logsigmoid(-logits)
    return -torch.where(heat == 1, found, quiet).sum()
