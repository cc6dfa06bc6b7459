"""U-Nets: what the encoder saw is handed to the decoder at every resolution."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from automed.space import choice

from ._blocks import Layers
from ._encoder_decoder import SkipFamily


@dataclass(frozen=True, kw_only=True)
class UNet(SkipFamily):
    """Stages of convolutions, max pooling between them, and skips across.

    Convolutions are padded and normalised, so that the mask is as large as the image.

    Source: Ronneberger et al. 2015, arXiv:1505.04597; volumes: Cicek et al. 2016,
    arXiv:1606.06650.
    """

    problems: ClassVar[tuple[str, ...]] = (
        *SkipFamily.problems,
        "detection",
        "registration",
    )

    residual: bool = choice(False, True)
    """Whether every stage adds to its input."""

    def encoder(self, layers: Layers, stage: int, inputs: int) -> nn.Module:
        """Max pooling, but before the first stage, and the stage's convolutions."""
        convolutions = self._convolutions(layers, inputs, self.channels(stage))
        return convolutions if stage == 0 else nn.Sequential(layers.halve(), convolutions)

    def decoder(self, layers: Layers, stage: int, inputs: int) -> tuple[nn.Module, int]:
        """The stage's convolutions."""
        outputs = self.channels(stage)
        return self._convolutions(layers, inputs, outputs), outputs

    def _convolutions(self, layers: Layers, inputs: int, outputs: int) -> nn.Module:
        return layers.stage(inputs, outputs, self.depth, residual=self.residual)


FAMILY = UNet
