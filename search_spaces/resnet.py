"""Residual networks, ResNet-18 among them at width 64."""

from dataclasses import dataclass

from torch import nn

from automed.space import choice

from ._blocks import Layers, Residual
from ._conv import ConvFamily


@dataclass(frozen=True, kw_only=True)
class ResNet(ConvFamily):
    """Blocks that add to their input.

    Four stages of two basic blocks from 64 channels behind the stride4 stem are ResNet-18.

    Source: He et al. 2015, arXiv:1512.03385.
    """

    block: str = choice("bottleneck", "basic", default="basic")
    """Two spatial convolutions, or one between two 1x1 on a quarter of the channels."""

    def body(self, layers: Layers) -> tuple[nn.Module, int]:
        """Stages of residual blocks, projected where the shape changes."""
        blocks = [self._residual(layers, *shape) for shape in self.blocks()]
        return nn.Sequential(*blocks), self.channels(self.stages - 1)

    def _residual(self, layers: Layers, inputs: int, outputs: int, stride: int) -> nn.Module:
        same = inputs == outputs and stride == 1
        return Residual(
            nn.Sequential(*self._branch(layers, inputs, outputs, stride), layers.attend(outputs)),
            nn.Identity() if same else layers.conv(inputs, outputs, 1, stride=stride, active=False),
            layers.activate(),
        )

    def _branch(self, layers: Layers, inputs: int, outputs: int, stride: int) -> list[nn.Module]:
        if self.block == "basic":
            return [
                layers.spatial(inputs, outputs, stride=stride),
                layers.spatial(outputs, outputs, active=False),
            ]
        hidden = max(4, outputs // 4)
        return [
            layers.pointwise(inputs, hidden),
            layers.spatial(hidden, hidden, stride=stride),
            layers.pointwise(hidden, outputs, active=False),
        ]


FAMILY = ResNet
