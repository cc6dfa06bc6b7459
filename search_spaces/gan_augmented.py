"""Classifiers that learn from made images too: a conditional generator fills up rare classes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from monai.networks.layers.factories import Conv
from torch import Tensor, nn

from automed.sample import SampleSpec
from automed.space import integer, real

from ._adversarial import AdversarialFamily, Contestant, Discriminator
from ._blocks import Layers
from ._encoder_decoder import cropped
from .vgg import VGG

DOUBLINGS = 3
"""Of the coarse image that a generator begins with."""


@dataclass(frozen=True, kw_only=True)
class GANAugmented(VGG, AdversarialFamily):
    """A plain stack of convolutions, which alone is exported; see the recipe "synthesis".

    Source: Frid-Adar et al. 2018, arXiv:1803.01229.
    """

    recipe: ClassVar[str] = "synthesis"
    problems: ClassVar[tuple[str, ...]] = ("classification",)
    unfit: ClassVar[Mapping[str, str]] = {
        "multilabel": "it makes images of one class each",
        "regression": "it makes images of classes",
    }

    generator_width: int = integer(8, 32, step=8, default=16)
    """Channels of the generator at full resolution, doubled at each coarser one."""
    noise: int = integer(16, 64, step=16, default=32)
    """Random numbers that an image is made from."""
    rounds: int = integer(10, 60, step=10, default=30)
    """Epochs of the generator and its adversary, before the classifier's own."""
    fill: float = real(0.1, 1.0, default=1.0)
    """Of what a class lacks to the most frequent one, the share that is made."""

    def build(self, sample: SampleSpec) -> nn.Module:
        """See `Family.build`."""
        return _Augmented(
            super().build(sample),
            self.discriminator(sample, len(sample.target.classes)),
            Generator(
                shape=sample.image.shape,
                classes=len(sample.target.classes),
                noise=self.noise,
                width=self.generator_width,
            ),
            rounds=self.rounds,
            fill=self.fill,
        )


@dataclass(frozen=True, kw_only=True)
class Generator:
    """How a generator is made.

    Attributes:
        shape: Of its images, (C, *size).
        classes: That it is told one of.
        noise: Random numbers it is given.
        width: Channels at full resolution.
    """

    shape: tuple[int, ...]
    classes: int
    noise: int
    width: int

    def build(self) -> nn.Module:
        """Untrained: noise (N, Z) and classes (N, K) in, images (N, C, *size) in the window out."""
        channels, *size = self.shape
        layers = Layers(dims=len(size), kernel=3, activation="relu", attention="none")
        widths = [self.width * 2**n for n in range(DOUBLINGS, -1, -1)]
        coarse = (widths[0], *(math.ceil(s / 2**DOUBLINGS) for s in size))
        stages = [
            nn.Sequential(layers.double(wide, narrow, "nearest"), layers.spatial(narrow, narrow))
            for wide, narrow in pairwise(widths)
        ]
        return ConditionalGenerator(
            nn.Linear(self.noise + self.classes, math.prod(coarse)),
            nn.Unflatten(1, coarse),
            nn.Sequential(*stages),
            Conv["conv", len(size)](self.width, channels, 3, padding=1),
            self.shape,
        )


class ConditionalGenerator(nn.Module):
    """From noise and a class to an image, coarse to fine.

    Source: Radford et al. 2015, DCGAN, arXiv:1511.06434; the class beside the noise: Mirza and
    Osindero 2014, arXiv:1411.1784; interpolation instead of transposed convolutions: Odena et al.
    2016, doi:10.23915/distill.00003.
    """

    def __init__(
        self,
        first: nn.Module,
        coarse: nn.Module,
        stages: nn.Module,
        head: nn.Module,
        shape: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.first, self.coarse, self.stages, self.head = first, coarse, stages, head
        self.shape = shape

    def forward(self, noise_NZ: Tensor, classes_NK: Tensor) -> Tensor:
        """Images (N, C, *size), between the ends of the window."""
        x_NCS = self.coarse(self.first(torch.cat([noise_NZ, classes_NK], dim=1)))
        image_NCS: Tensor = self.head(self.stages(x_NCS)).sigmoid()
        return cropped(image_NCS, self.shape[1:])


class _Augmented(Contestant):
    """A classifier, with what its recipe makes images by."""

    def __init__(
        self,
        network: nn.Module,
        adversary: Discriminator,
        generator: Generator,
        *,
        rounds: int,
        fill: float,
    ) -> None:
        super().__init__(network, adversary)
        self.generator, self.rounds, self.fill = generator, rounds, fill

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, {self.generator}, rounds={self.rounds}, fill={self.fill}"


FAMILY = GANAugmented
