"""Networks whose blocks look at several scales side by side."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from automed.space import choice

from ._blocks import Layers
from ._conv import ConvFamily


@dataclass(frozen=True, kw_only=True)
class Inception(ConvFamily):
    """Parallel branches of different extent, concatenated.

    Source: Szegedy et al. 2014, arXiv:1409.4842; two stacked convolutions for the wide branch:
    Szegedy et al. 2015, arXiv:1512.00567.
    """

    wide_branch: bool = choice(False, True, default=True)
    """Whether a branch of two stacked spatial convolutions sees further than the others."""
    pool_branch: str = choice("none", "avg", "max", default="max")
    """Pooling before the 1x1 projection of the fourth branch, if there is one."""

    def body(self, layers: Layers) -> tuple[nn.Module, int]:
        """Stages of inception blocks with max pooling between them."""
        body: list[nn.Module] = []
        for inputs, outputs, stride in self.blocks():
            if stride == 2:
                body.append(layers.pool("max", stride=2))
            body.append(
                _InceptionBlock(layers, inputs, outputs, self.wide_branch, self.pool_branch)
            )
            body.append(layers.attend(outputs))
        return nn.Sequential(*body), self.channels(self.stages - 1)


class _InceptionBlock(nn.Module):
    """1x1, spatial, twice spatial and pooled features; the spatial branch gives half of them.

    The three 1x1 convolutions that read the input run as one.
    """

    def __init__(
        self, layers: Layers, inputs: int, outputs: int, wide_branch: bool, pool_branch: str
    ) -> None:
        super().__init__()
        side = max(1, outputs // 2 // (1 + wide_branch + (pool_branch != "none")))
        near = outputs - side * (1 + wide_branch + (pool_branch != "none"))
        self.splits = [side, max(1, near // 2)]
        self.near = layers.spatial(self.splits[1], near)
        self.wide = None
        if wide_branch:
            self.splits.append(max(1, side // 2))
            self.wide = nn.Sequential(
                layers.spatial(self.splits[2], side), layers.spatial(side, side)
            )
        self.pooled = None
        if pool_branch != "none":
            self.pooled = nn.Sequential(
                layers.pool(pool_branch, stride=1), layers.pointwise(inputs, side)
            )
        self.reduce = layers.pointwise(inputs, sum(self.splits))

    def forward(self, x_NCS: Tensor) -> Tensor:
        reduced = self.reduce(x_NCS).split(self.splits, dim=1)
        branches = [reduced[0], self.near(reduced[1])]
        if self.wide is not None:
            branches.append(self.wide(reduced[2]))
        if self.pooled is not None:
            branches.append(self.pooled(x_NCS))
        return torch.cat(branches, dim=1)


FAMILY = Inception
