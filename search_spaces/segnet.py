"""SegNets: no features cross from encoder to decoder, only where the maxima were."""

from dataclasses import dataclass

from torch import Tensor, nn

from ._blocks import Layers
from ._encoder_decoder import EncoderDecoderFamily, cropped


@dataclass(frozen=True, kw_only=True)
class SegNet(EncoderDecoderFamily):
    """Stages of convolutions with max pooling down, and un-pooling to the places of the maxima up.

    Source: Badrinarayanan et al. 2015, arXiv:1511.00561.
    """

    def encoder(self, layers: Layers, stage: int, inputs: int) -> nn.Module:
        """Max pooling, but before the first stage, and the stage's convolutions."""
        convolutions = self._convolutions(layers, inputs, self.channels(stage))
        return convolutions if stage == 0 else nn.Sequential(layers.halve(), convolutions)

    def join(self, layers: Layers, coarse: int, fine: int) -> tuple[nn.Module, int]:
        """Features un-pooled; only they go on."""
        return Unpool(layers, coarse, fine), fine

    def decoder(self, layers: Layers, stage: int, inputs: int) -> tuple[nn.Module, int]:
        """The stage's convolutions."""
        outputs = self.channels(stage)
        return self._convolutions(layers, inputs, outputs), outputs

    def _convolutions(self, layers: Layers, inputs: int, outputs: int) -> nn.Module:
        convolutions = [layers.spatial(inputs, outputs)]
        convolutions += [layers.spatial(outputs, outputs) for _ in range(self.depth - 1)]
        return nn.Sequential(*convolutions, layers.attend(outputs))


class Unpool(nn.Module):
    """Coarse features at the places where the encoder had its maxima, fading to zero elsewhere.

    The weight of a place falls from 1 at its window's maximum to 0 where the encoder's feature is
    one unit less. The paper's own is a step at the maximum, which rounding turns: where pixels are
    equal or nearly so, as in air, an exported network would answer differently from the trained
    one. Weights also need no indices, which do not export.
    """

    def __init__(self, layers: Layers, coarse: int, fine: int) -> None:
        super().__init__()
        self.reduce = layers.pointwise(coarse, fine)
        self.pool = layers.halve()
        self.up = nn.Upsample(scale_factor=2, mode="nearest")

    def forward(self, coarse_NCS: Tensor, fine_NCS: Tensor) -> Tensor:
        """Features (N, C, *size) on the grid of the finer ones."""
        maxima_NCS = cropped(self.up(self.pool(fine_NCS)), fine_NCS.shape[2:])
        weights_NCS = (1 + fine_NCS - maxima_NCS).clamp(min=0)
        return cropped(self.up(self.reduce(coarse_NCS)), fine_NCS.shape[2:]) * weights_NCS


FAMILY = SegNet
