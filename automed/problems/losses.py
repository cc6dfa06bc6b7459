"""What losses of several problems share."""

import torch
from torch import Tensor, nn


class OfAnswer(nn.Module):
    """A loss that compares the raw output with the truth, whatever the inputs were."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, raw: Tensor | list[Tensor], truth: Tensor, *given: Tensor) -> Tensor:
        """The loss of raw output and truth."""
        del given
        compared: Tensor = self.loss(raw, truth)
        return compared


class OfKnown(nn.Module):
    """The mean of a loss of single numbers over those whose truth is known; NaN is not."""

    centre: Tensor
    scale: Tensor

    def __init__(self, loss: nn.Module, centre: Tensor, scale: Tensor) -> None:
        """What compares, one number at a time, and the truth's units as the network has them.

        Args:
            loss: Of (raw (N, V), wanted (N, V)), without a reduction.
            centre: (V,) truth that the network is to call 0.
            scale: (V,) how far from there it is to say 1.
        """
        super().__init__()
        self.loss = loss
        self.register_buffer("centre", centre)
        self.register_buffer("scale", scale)

    def forward(self, raw_NV: Tensor, truth_NV: Tensor, *given: Tensor) -> Tensor:
        """The mean loss of raw output and truth."""
        del given
        known_NV = truth_NV.isfinite()
        wanted_NV = torch.where(known_NV, (truth_NV - self.centre) / self.scale, 0.0)
        cost_NV: Tensor = self.loss(raw_NV, wanted_NV)
        return (cost_NV * known_NV).sum() / known_NV.sum().clamp(min=1)
