"""Deep belief nets: machines trained one upon the other, then taught together."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from automed.sample import SampleSpec

from ._blocks import LINEAR, Cells
from ._boltzmann import Boltzmann, BoltzmannFamily, RestrictedBoltzmann
from ._encoder_decoder import cropped


@dataclass(frozen=True, kw_only=True)
class DBN(BoltzmannFamily):
    """Restricted Boltzmann machines, each trained on what the one below infers.

    To give back an image it goes down again from the last units, by the same weights.

    Source: Hinton, Osindero and Teh 2006, doi:10.1162/neco.2006.18.7.1527; down again: Hinton and
    Salakhutdinov 2006, doi:10.1126/science.1127647.
    """

    problems: ClassVar[tuple[str, ...]] = (*BoltzmannFamily.problems, "anomaly")

    @classmethod
    def refusal(cls, sample: SampleSpec) -> str:
        """Also tables that are to be given back."""
        if sample.target.kind == "image" and sample.dims == 0:
            return "it takes images to give back, not tables alone"
        return super().refusal(sample)

    def build(self, sample: SampleSpec) -> nn.Module:
        """See `Family.build`."""
        visible, count = self.visible(sample)
        machines = [
            RestrictedBoltzmann(below, above, gaussian=number == 0)
            for number, (below, above) in enumerate(pairwise([count, *self.units()]))
        ]
        head: nn.Module = nn.Linear(self.units()[-1], sample.target.channels)
        if sample.target.kind == "image":
            head = Downwards(machines, Cells(sample.image.channels, sample.image.size, self.grid))
        return Boltzmann(visible, machines, head, steps=self.gibbs_steps, rounds=self.pretraining)


class Downwards(nn.Module):
    """From the last hidden units (N, H) to an image, by the weights of the way up.

    Cells are widened to pixels by linear interpolation: what is finer is not given back.
    """

    def __init__(self, machines: Sequence[RestrictedBoltzmann], cells: Cells) -> None:
        """Take the machines, which another module holds, and the cells that the image became."""
        super().__init__()
        self._machines = tuple(machines)
        self.shape, self.size = cells.shape, cells.size
        self.scale = nn.Parameter(torch.full((cells.count,), 0.1))
        self.shift = nn.Parameter(torch.full((cells.count,), 0.5))
        self.widen = nn.Upsample(
            scale_factor=tuple(float(e) for e in cells.extents), mode=LINEAR[len(cells.size)]
        )

    def forward(self, h_NH: Tensor) -> Tensor:
        """The image (N, C, *size) in its window."""
        for machine in reversed(self._machines):
            h_NH = machine.under(h_NH)
        cells_NCS = (self.scale * h_NH + self.shift).reshape(-1, *self.shape)
        return cropped(self.widen(cells_NCS), self.size)


FAMILY = DBN
