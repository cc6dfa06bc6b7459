"""The dimensions that convolutional families share, and the frame of those that classify."""

from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from automed.family import Family
from automed.sample import SampleSpec
from automed.space import choice, integer, real

from ._blocks import LINEAR, GlobalMean, Layers, own_scale


@dataclass(frozen=True, kw_only=True)
class Convolutional(Family):
    """Stages of convolutions, each at half the resolution of the one before."""

    width: int = integer(4, 32, step=4, default=16)
    """Channels after the stem."""
    stages: int = integer(2, 4, default=4)
    """Resolutions the blocks work at; each has half the pixels an axis of the one before."""
    depth: int = integer(1, 3, default=1)
    """Blocks per stage; layers per stage where a stage is one block."""
    widening: float = choice(1.0, 1.5, 2.0, default=2.0)
    """Factor on the channels from stage to stage."""
    kernel: int = choice(3, 5)
    """Pixels an axis that a spatial convolution inside a block sees."""
    convolution: str = choice("separable", "ghost", "dense", default="dense")
    """What spatial convolutions inside a block are; "ghost" makes half of its channels cheaply."""
    volume: str = choice("2.5d", "2+1d", "3d", default="3d", dims=(3,))
    """How they see a volume: within slices and then across, each channel by itself or all; or at
    once.
    """
    attention: str = choice("none", "eca", "se", "cbam")
    """Attention at the end of blocks."""
    activation: str = choice("relu", "hardswish", "silu")
    """Non-linearity throughout."""

    def channels(self, stage: int) -> int:
        """Channels of a stage, a multiple of four."""
        return 4 * max(1, int(self.width * self.widening**stage / 4 + 0.5))

    def layers(self, dims: int, norm: str = "batch") -> Layers:
        """What makes this architecture's layers."""
        return Layers(
            dims=dims,
            kernel=self.kernel,
            activation=self.activation,
            attention=self.attention,
            norm=norm,
            convolution=self.convolution,
            volume=self.volume,
        )


@dataclass(frozen=True, kw_only=True)
class ConvFamily(Convolutional):
    """Resize, stem, stages, global average pooling and a linear classifier."""

    dims: ClassVar[tuple[int, ...]] = (1, 2, 3)

    stem: str = choice("stride4", "stride2", "full", default="stride2")
    """Resolution after the stem: a 7x7 convolution and max pooling, or a 3x3 convolution."""
    resolution: float = choice(0.5, 0.75, 1.0, default=1.0)
    """Factor on the pixels an axis of the input, applied inside the network."""
    dropout: float = real(0.0, 0.3)
    """Share of features dropped before the classifier."""

    def build(self, sample: SampleSpec) -> nn.Module:
        """The untrained network: windowed image (N, C, *size) in, logits (N, K) out."""
        layers = self.layers(sample.dims)
        body, features = self.body(layers)
        return nn.Sequential(
            OrderedDict(
                scale=own_scale(sample.image),
                resize=self._resize(sample.image.size),
                stem=layers.stem(self.stem, sample.image.channels, self.channels(0)),
                body=body,
                pool=GlobalMean(),
                dropout=nn.Dropout(self.dropout),
                classifier=nn.Linear(features, sample.target.channels),
            )
        )

    @abstractmethod
    def body(self, layers: Layers) -> tuple[nn.Module, int]:
        """The stages, from channels(0) channels on, and how many channels they give."""

    def blocks(self) -> Iterator[tuple[int, int, int]]:
        """Input channels, output channels and stride of every block; stages start strided."""
        inputs = self.channels(0)
        for stage in range(self.stages):
            for block in range(self.depth):
                outputs = self.channels(stage)
                yield inputs, outputs, 2 if stage > 0 and block == 0 else 1
                inputs = outputs

    def _resize(self, size: tuple[int, ...]) -> nn.Module:
        if self.resolution == 1.0:
            return nn.Identity()
        small = tuple(round(s * self.resolution) for s in size)
        return nn.Upsample(small, mode=LINEAR[len(size)])
