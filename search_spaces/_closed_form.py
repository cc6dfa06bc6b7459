"""What families with closed-form read-outs share: random layers, and cells to average over."""

import math
from collections.abc import Sequence

import torch
from monai.networks.layers.factories import Pad, Pool
from torch import Tensor, nn


class Stacked(nn.Module):
    """Blocks of fixed features, each with a linear read-out that is solved for, not descended to.

    A block sees the inputs' features and the answers of the blocks before it; the last answers.
    The recipe "closed-form" asks `hidden` for a block's features and fills in its read-out.
    """

    def __init__(
        self, features: nn.Module, blocks: Sequence[nn.Module], readouts: Sequence[int]
    ) -> None:
        """Put it together.

        Args:
            features: From the network's inputs to (N, F).
            blocks: From (N, F + K * earlier blocks) to hidden units (N, H).
            readouts: Hidden units H of each block, then the number of classes K.
        """
        super().__init__()
        *units, classes = readouts
        self.features, self.blocks = features, nn.ModuleList(blocks)
        for parameter in self.parameters():
            parameter.requires_grad_(False)
        self.readouts = nn.ModuleList(nn.Linear(u, classes) for u in units)

    def hidden(self, block: int, *inputs: Tensor) -> Tensor:
        """Hidden units (N, H) of a block."""
        seen_NF = self.features(*inputs)
        for earlier in range(block):
            answer_NK = self.readouts[earlier](self.blocks[earlier](seen_NF))
            seen_NF = torch.cat([seen_NF, answer_NK], dim=1)
        units_NH: Tensor = self.blocks[block](seen_NF)
        return units_NH

    def forward(self, *inputs: Tensor) -> Tensor:
        last = len(self.blocks) - 1
        logits_NK: Tensor = self.readouts[last](self.hidden(last, *inputs))
        return logits_NK


class Cells(nn.Module):
    """Means over at most so many cells an axis: (N, C, *size) to (N, C * cells)."""

    def __init__(self, size: Sequence[int], most: int) -> None:
        super().__init__()
        extents = [math.ceil(s / most) for s in size]
        self.counts = [math.ceil(s / e) for s, e in zip(size, extents, strict=True)]
        missing = [c * e - s for c, e, s in zip(self.counts, extents, size, strict=True)]
        ends = [end for short in reversed(missing) for end in (0, short)]
        self.pad = Pad["replicationpad", len(size)](tuple(ends)) if any(ends) else nn.Identity()
        self.pool = Pool["avg", len(size)](tuple(extents))

    def forward(self, x_NCS: Tensor) -> Tensor:
        means_NF: Tensor = self.pool(self.pad(x_NCS)).flatten(1)
        return means_NF


def random_units(inputs: int, units: int, activation: nn.Module) -> nn.Sequential:
    """Fixed random hidden units on normalised features, their sums of unit variance.

    Source: Huang et al. 2006, Extreme learning machine, doi:10.1016/j.neucom.2005.12.126.
    """
    linear = nn.Linear(inputs, units)
    nn.init.normal_(linear.weight, std=inputs**-0.5)
    nn.init.normal_(linear.bias, std=0.5)
    return nn.Sequential(nn.BatchNorm1d(inputs, affine=False), linear, activation)
