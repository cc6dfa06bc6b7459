"""What families with closed-form read-outs share: stacked blocks of random layers."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Stacked(nn.Module):
    """Blocks of fixed features, each with a linear read-out that is solved for, not descended to.

    A block sees the inputs' features and the answers of the blocks before it; the last answers.
    The recipe "closed-form" fills in the read-outs.
    """

    def __init__(
        self, features: nn.Module, blocks: Sequence[nn.Module], units: int, classes: int
    ) -> None:
        """Put it together.

        Args:
            features: From the network's inputs to (N, F).
            blocks: From (N, F + K * earlier blocks) to hidden units (N, H).
            units: Hidden units H of each block.
            classes: The number of classes K.
        """
        super().__init__()
        self.features, self.blocks = features, nn.ModuleList(blocks)
        for parameter in self.parameters():
            parameter.requires_grad_(False)
        self.readouts = nn.ModuleList(nn.Linear(units, classes) for _ in blocks)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Answers (N, K) of the last block."""
        seen_NF = self.features(*inputs)
        for block, readout in zip(self.blocks, self.readouts, strict=True):
            answers_NK: Tensor = readout(block(seen_NF))
            seen_NF = torch.cat([seen_NF, answers_NK], dim=1)
        return answers_NK


def random_units(inputs: int, units: int, activation: nn.Module) -> nn.Sequential:
    """Fixed random hidden units on normalised features, their sums of unit variance.

    Source: Huang et al. 2006, Extreme learning machine, doi:10.1016/j.neucom.2005.12.126.
    """
    linear = nn.Linear(inputs, units)
    nn.init.normal_(linear.weight, std=inputs**-0.5)
    nn.init.normal_(linear.bias, std=0.5)
    return nn.Sequential(nn.BatchNorm1d(inputs, affine=False), linear, activation)
