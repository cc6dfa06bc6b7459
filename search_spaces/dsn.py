"""Blocks trained one after another, each on the input and the answers so far."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from automed.family import Family
from automed.sample import SampleSpec
from automed.space import choice, integer

from ._blocks import row_of
from ._closed_form import Stacked, random_units


@dataclass(frozen=True, kw_only=True)
class DSN(Family):
    """Deep stacking network: shallow blocks, each with a closed-form read-out.

    The lower weights of a block stay random here; the paper also tunes them by gradient.

    Source: Deng, Yu and Platt 2012, Scalable stacking and learning for building deep
    architectures, doi:10.1109/ICASSP.2012.6288333.
    """

    recipe: ClassVar[str] = "closed-form"
    dims: ClassVar[tuple[int, ...]] = (0, 1, 2, 3)
    grid: int = choice(8, 16, 24, default=16)
    """Cells an axis that the image is averaged over; each is one number of the input."""
    stacked: int = integer(2, 6, default=3)
    """Blocks."""
    hidden_units: int = choice(128, 256, 512, 1024, default=512)
    """Sigmoid units of each block."""

    def build(self, sample: SampleSpec) -> nn.Module:
        """See `Family.build`; all but the read-outs is fixed."""
        features, pixels = row_of(sample.image, self.grid)
        classes = sample.target.channels
        blocks = [
            random_units(pixels + classes * block, self.hidden_units, nn.Sigmoid())
            for block in range(self.stacked)
        ]
        return Stacked(features, blocks, self.hidden_units, classes)


FAMILY = DSN
