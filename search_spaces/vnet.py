"""V-Nets: residual stages with strided convolutions between them, made for volumes."""

from dataclasses import dataclass

from torch import nn

from automed.space import choice, integer

from ._blocks import Layers, Residual
from ._encoder_decoder import SkipFamily


@dataclass(frozen=True, kw_only=True)
class VNet(SkipFamily):
    """Every stage adds to its input, which a convolution of stride 2 has halved.

    Fine stages have fewer convolutions than coarse ones: one, two, then `depth`. Decoder stages
    work on as many channels as the skip hands them. Unlike in the paper a norm stands behind every
    convolution, ReLU and its like stand for PReLU, and strided convolutions see three pixels an
    axis, so that odd sizes are halved too.

    Source: Milletari et al. 2016, arXiv:1606.04797.
    """

    width: int = integer(4, 32, step=4, default=12)
    """Channels of the first stage; decoder stages make theirs wide."""
    depth: int = integer(1, 3, default=3)
    """Convolutions in the coarsest stages; the n-th finest has no more than n."""
    upsampling: str = choice("nearest", "linear", "transposed", default="transposed")
    """Interpolation behind a 1x1 convolution, or a transposed convolution."""

    def encoder(self, layers: Layers, stage: int, inputs: int) -> nn.Module:
        """A convolution of stride 2, in the first stage of stride 1, and the residual ones."""
        outputs = self.channels(stage)
        first = layers.conv(inputs, outputs, 3, stride=1 if stage == 0 else 2)
        return nn.Sequential(first, self._residual(layers, stage, outputs))

    def decoder(self, layers: Layers, stage: int, inputs: int) -> tuple[nn.Module, int]:
        """The residual convolutions."""
        return self._residual(layers, stage, inputs), inputs

    def _residual(self, layers: Layers, stage: int, channels: int) -> nn.Module:
        number = min(stage + 1, self.depth)
        convolutions = [layers.spatial(channels, channels) for _ in range(number - 1)]
        last = layers.spatial(channels, channels, active=False)
        branch = nn.Sequential(*convolutions, last, layers.attend(channels))
        return Residual(branch, nn.Identity(), layers.activate())


FAMILY = VNet
