"""Inverted residuals: networks made for the processors of phones."""

from dataclasses import dataclass

from torch import nn

from automed.space import choice

from ._blocks import Layers, Residual
from ._conv import ConvFamily


@dataclass(frozen=True, kw_only=True)
class Mobile(ConvFamily):
    """Blocks that widen, filter and project linearly, with the shortcut between the narrow ends.

    Dense blocks fuse widening and filtering into one convolution (Tan and Le 2021,
    arXiv:2104.00298). A last 1x1 convolution widens the features before they are pooled.

    Source: Sandler et al. 2018, arXiv:1801.04381; Howard et al. 2019, arXiv:1905.02244.
    """

    expansion: int = choice(2, 3, 4, default=4)
    """Factor on the channels inside a block, and before pooling."""

    def body(self, layers: Layers) -> tuple[nn.Module, int]:
        """Stages of inverted residuals and the last 1x1 convolution."""
        blocks = [self._block(layers, *shape) for shape in self.blocks()]
        last = self.channels(self.stages - 1)
        features = last * self.expansion
        return nn.Sequential(*blocks, layers.pointwise(last, features)), features

    def _block(self, layers: Layers, inputs: int, outputs: int, stride: int) -> nn.Module:
        hidden = inputs * self.expansion
        if layers.convolution == "separable":
            wide = [layers.pointwise(inputs, hidden), layers.depthwise(hidden, stride=stride)]
        else:
            wide = [layers.spatial(inputs, hidden, stride=stride)]
        branch = nn.Sequential(
            *wide, layers.pointwise(hidden, outputs, active=False), layers.attend(outputs)
        )
        if inputs != outputs or stride != 1:
            return branch
        return Residual(branch, nn.Identity(), nn.Identity())


FAMILY = Mobile
