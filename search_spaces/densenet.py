"""Networks whose layers read all layers before them."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from automed.space import choice, integer

from ._blocks import Layers
from ._conv import ConvFamily


@dataclass(frozen=True, kw_only=True)
class DenseNet(ConvFamily):
    """Dense blocks with bottleneck layers and compressing transitions between them.

    Norms stand behind the convolutions, where they fold (Wang et al. 2018, arXiv:1804.06882), and
    the growth widens from stage to stage (Huang et al. 2017, arXiv:1711.09224).

    Source: Huang et al. 2016, arXiv:1608.06993.
    """

    growth: int = integer(4, 24, step=4, default=12)
    """Channels a layer of the first stage adds."""
    compression: float = choice(0.5, 0.75, 1.0, default=0.5)
    """Share of the channels that a transition between stages keeps."""

    def body(self, layers: Layers) -> tuple[nn.Module, int]:
        """One dense block per stage, with one attention at its end."""
        body: list[nn.Module] = []
        channels = self.channels(0)
        for stage in range(self.stages):
            if stage > 0:
                kept = max(4, int(channels * self.compression))
                body += [layers.pointwise(channels, kept), layers.pool("avg", stride=2)]
                channels = kept
            growth = round(self.growth * self.widening**stage)
            for _ in range(self.depth):
                body.append(_DenseLayer(layers, channels, growth))
                channels += growth
            body.append(layers.attend(channels))
        return nn.Sequential(*body), channels


class _DenseLayer(nn.Module):
    """Its input and, behind it, `growth` channels more."""

    def __init__(self, layers: Layers, inputs: int, growth: int) -> None:
        super().__init__()
        self.new = nn.Sequential(
            layers.pointwise(inputs, 2 * growth), layers.spatial(2 * growth, growth)
        )

    def forward(self, x_NCS: Tensor) -> Tensor:
        return torch.cat([x_NCS, self.new(x_NCS)], dim=1)


FAMILY = DenseNet
