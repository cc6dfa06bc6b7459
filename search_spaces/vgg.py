"""Plain stacks of convolutions: the family that hand-made small networks belong to."""

from dataclasses import dataclass

from torch import nn

from automed.space import choice

from ._blocks import Layers
from ._conv import ConvFamily


@dataclass(frozen=True, kw_only=True)
class VGG(ConvFamily):
    """Convolution after convolution, with batch norm and a global average instead of dense layers.

    The stem is the first convolution, so stages=4 and depth=1 is a network of five.

    Source: Simonyan and Zisserman 2014, arXiv:1409.1556; strides for pooling: Springenberg et al.
    2014, arXiv:1412.6806.
    """

    stem: str = choice("stride4", "stride2", "full", default="full")
    """As everywhere, but plain networks are cheap enough to begin at full resolution."""
    downsampling: str = choice("stride", "max", default="max")
    """What halves the image between stages: the stage's first convolution, or 2x2 max pooling."""

    def body(self, layers: Layers) -> tuple[nn.Module, int]:
        """Stages of convolutions, each a block with one attention at its end."""
        body: list[nn.Module] = []
        for stage in range(self.stages):
            inputs, outputs = self.channels(max(0, stage - 1)), self.channels(stage)
            stride = 2 if stage > 0 else 1
            if stage > 0 and self.downsampling == "max":
                body.append(layers.halve())
                stride = 1
            body.append(layers.spatial(inputs, outputs, stride=stride))
            body += [layers.spatial(outputs, outputs) for _ in range(self.depth - 1)]
            body.append(layers.attend(outputs))
        return nn.Sequential(*body), self.channels(self.stages - 1)


FAMILY = VGG
