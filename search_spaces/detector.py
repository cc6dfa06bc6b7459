"""Heat-map detectors: an encoder of a chosen kind, and a pyramid back up to a coarse grid."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from automed.space import choice

from ._blocks import Layers, Residual
from ._encoder_decoder import SkipFamily

STRIDES = {"stride4": 4, "stride2": 2, "full": 1}
EXPANSION = 3
"""Factor on the channels inside an inverted residual."""


@dataclass(frozen=True, kw_only=True)
class Detector(SkipFamily):
    """Anchor-free: every cell of the grid says whether a centre lies in it, and how large it is.

    The stem halves the image before anything else works on it, and its grid is the one that is
    answered on. With summed skips the way up is a feature pyramid.

    Source: Zhou et al. 2019, arXiv:1904.07850; pyramid: Lin et al. 2017, arXiv:1612.03144.
    """

    problems: ClassVar[tuple[str, ...]] = ("detection",)

    encoder_block: str = choice("inverted", "plain", "basic", default="basic")
    """Blocks on the way down: inverted residuals, convolutions, or two of them with a shortcut."""
    stem: str = choice("stride4", "stride2", "full", default="stride2")
    """Resolution after the stem: a 7x7 convolution and max pooling, or a 3x3 convolution."""

    @property
    def stride(self) -> int:
        """Pixels an axis of a cell of the finest grid."""
        return STRIDES[self.stem]

    def encoder(self, layers: Layers, stage: int, inputs: int) -> nn.Module:
        """The stem, in coarser stages max pooling, and blocks."""
        outputs = self.channels(stage)
        first = layers.stem(self.stem, inputs, outputs) if stage == 0 else layers.halve()
        blocks, inputs = [], outputs if stage == 0 else inputs
        for _ in range(self.depth):
            blocks.append(self._block(layers, inputs, outputs))
            inputs = outputs
        return nn.Sequential(first, *blocks)

    def decoder(self, layers: Layers, stage: int, inputs: int) -> tuple[nn.Module, int]:
        """One convolution, as in a feature pyramid."""
        outputs = self.channels(stage)
        return layers.spatial(inputs, outputs), outputs

    def _block(self, layers: Layers, inputs: int, outputs: int) -> nn.Module:
        if self.encoder_block == "plain":
            return nn.Sequential(layers.spatial(inputs, outputs), layers.attend(outputs))
        if self.encoder_block == "inverted":
            hidden = EXPANSION * inputs
            branch = [layers.pointwise(inputs, hidden), layers.depthwise(hidden)]
            branch.append(layers.pointwise(hidden, outputs, active=False))
        else:
            branch = [layers.spatial(inputs, outputs)]
            branch.append(layers.spatial(outputs, outputs, active=False))
        if inputs == outputs:
            shortcut: nn.Module = nn.Identity()
        else:
            shortcut = layers.pointwise(inputs, outputs, active=False)
        return Residual(nn.Sequential(*branch, layers.attend(outputs)), shortcut, layers.activate())


FAMILY = Detector
