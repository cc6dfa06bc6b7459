"""Random convolutions with a solved read-out: the family that trains in one pass."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from automed.family import Family
from automed.sample import SampleSpec
from automed.space import choice, integer

from ._blocks import ACTIVATIONS, Cells, Layers
from ._closed_form import Stacked, random_units

CELLS = 4
"""Cells an axis that the last maps are averaged over."""


@dataclass(frozen=True, kw_only=True)
class DCELM(Family):
    """Deep convolutional extreme learning machine.

    Convolutions and one hidden layer keep their random weights; the read-out is a ridge
    regression. Nothing descends a gradient.

    Source: Pang and Yang 2016, Deep convolutional extreme learning machine,
    doi:10.1155/2016/3049632.
    """

    recipe: ClassVar[str] = "closed-form"
    dims: ClassVar[tuple[int, ...]] = (1, 2, 3)
    width: int = integer(4, 32, step=4, default=16)
    """Channels of the first convolution; doubled from stage to stage."""
    stages: int = integer(2, 4, default=2)
    """Convolutions, each after the first at half the resolution; what each blurs none learns."""
    kernel: int = choice(3, 5)
    """Pixels an axis that a convolution sees."""
    activation: str = choice("relu", "hardswish", "silu")
    """Non-linearity throughout."""
    hidden_units: int = choice(128, 256, 512, 1024, default=512)
    """Random units between the convolutions and the read-out."""

    def build(self, sample: SampleSpec) -> nn.Module:
        """See `Family.build`; all but the read-out is fixed."""
        layers = Layers(
            dims=sample.dims,
            kernel=self.kernel,
            activation=self.activation,
            attention="none",
        )
        channels = [sample.image.channels, *(self.width * 2**i for i in range(self.stages))]
        convolutions: list[nn.Module] = []
        for stage in range(self.stages):
            if stage > 0:
                convolutions.append(layers.halve())
            convolutions.append(layers.spatial(channels[stage], channels[stage + 1]))
        size = tuple(-(-s // 2 ** (self.stages - 1)) for s in sample.image.size)
        cells = Cells(channels[-1], size, CELLS)
        features = nn.Sequential(*convolutions, cells)
        units = random_units(cells.count, self.hidden_units, ACTIVATIONS[self.activation]())
        return Stacked(features, [units], self.hidden_units, sample.target.channels)


FAMILY = DCELM
