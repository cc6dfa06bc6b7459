"""The frame that networks for maps share: features down to a coarse stage and back up."""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from monai.networks.layers.factories import Conv
from torch import Tensor, nn
from torch.nn import functional

from automed.sample import SampleSpec
from automed.space import choice, integer

from ._blocks import Layers
from ._conv import Convolutional

SMALL = 0.05
"""Standard deviation that corrections of an image begin with, as a share of its window, and
displacements in pixels."""


@dataclass(frozen=True, kw_only=True)
class EncoderDecoderFamily(Convolutional):
    """An encoder stage per resolution, a decoder stage for all but the coarsest, a 1x1 head.

    No stage is smaller than two pixels an axis: an image that is too small has fewer of them.
    Several images are taken as channels of one.
    """

    takes_images: ClassVar[bool] = True
    problems: ClassVar[tuple[str, ...]] = ("segmentation", "reconstruction")
    unfit: ClassVar[Mapping[str, str]] = {
        "anomaly": "what its encoder hands across lets it copy any input, normal or not"
    }

    depth: int = integer(1, 3, default=2)
    """Convolutions per stage, on the way down and on the way up."""
    norm: str = choice("batch", "instance")
    """Whose statistics normalise: the batch's, free of cost at inference, or each image's own."""
    deep_supervision: bool = choice(False, True)
    """Whether every decoder stage learns to answer, at its own resolution; free at inference.

    Source: Lee et al. 2014, arXiv:1409.5185.
    """

    def build(self, sample: SampleSpec) -> nn.Module:
        """The untrained network: windowed images (N, C, *size) in, raw output (N, K, *grid) out."""
        layers = self.layers(sample.dims, self.norm)
        finest = -(-min(sample.image.size) // self.stride)
        stages = min(self.stages, finest.bit_length() - 1)
        encoders, inputs = [], sum(spec.channels for spec in sample.inputs)
        for stage in range(stages):
            encoders.append(self.encoder(layers, stage, inputs))
            inputs = self.channels(stage)
        corrects = sample.target.kind == "image"
        joins, decoders, heads = [], [], []
        for stage in reversed(range(stages - 1)):
            join, joined = self.join(layers, inputs, self.channels(stage))
            decoder, inputs = self.decoder(layers, stage, joined)
            joins.append(join)
            decoders.append(decoder)
            heads.append(Conv["conv", sample.dims](inputs, sample.target.channels, 1))
            if sample.target.kind in ("image", "field"):
                nn.init.normal_(heads[-1].weight, std=SMALL / math.sqrt(inputs))
        heads = heads[::-1] if self.deep_supervision else heads[-1:]
        return EncoderDecoder(encoders, joins, decoders, heads, corrects=corrects)

    @property
    def stride(self) -> int:
        """Pixels an axis of a cell of the finest grid, the one that is answered on."""
        return 1

    @abstractmethod
    def encoder(self, layers: Layers, stage: int, inputs: int) -> nn.Module:
        """One stage on the way down, to channels(stage); all but the first begin by halving."""

    @abstractmethod
    def join(self, layers: Layers, coarse: int, fine: int) -> tuple[nn.Module, int]:
        """What brings coarse features to the grid of the fine ones, and the channels it gives."""

    @abstractmethod
    def decoder(self, layers: Layers, stage: int, inputs: int) -> tuple[nn.Module, int]:
        """One stage on the way up, and how many channels it gives."""


@dataclass(frozen=True, kw_only=True)
class SkipFamily(EncoderDecoderFamily):
    """An encoder and a decoder with the encoder's features handed across."""

    skip: str = choice("add", "concat", "gate", default="concat")
    """How: summed, beside the decoder's, or beside them and weighted by an attention gate."""
    upsampling: str = choice("nearest", "linear", "transposed", default="linear")
    """Interpolation behind a 1x1 convolution, or a transposed convolution."""

    def join(self, layers: Layers, coarse: int, fine: int) -> tuple[nn.Module, int]:
        """Up-sampled features with those handed across."""
        up = layers.double(coarse, fine, self.upsampling)
        gate = AttentionGate(layers, fine) if self.skip == "gate" else None
        return Skip(up, gate, self.skip == "add"), fine if self.skip == "add" else 2 * fine


class EncoderDecoder(nn.Module):
    """Raw output (N, K, *grid); while training with several heads a list, the finest first.

    Where an image is made of images, what the heads give is added to the first: the difference
    between the two is easier to learn (Zhang et al. 2017, DnCNN, arXiv:1608.03981).
    """

    def __init__(
        self,
        encoders: Sequence[nn.Module],
        joins: Sequence[nn.Module],
        decoders: Sequence[nn.Module],
        heads: Sequence[nn.Module],
        *,
        corrects: bool = False,
    ) -> None:
        super().__init__()
        self.corrects = corrects
        self.encoders, self.joins = nn.ModuleList(encoders), nn.ModuleList(joins)
        self.decoders, self.heads = nn.ModuleList(decoders), nn.ModuleList(heads)

    def forward(self, *images: Tensor) -> Tensor | list[Tensor]:
        given_NCS, x_NCS = images[0], torch.cat(images, dim=1)
        fine = []
        for encoder in self.encoders:
            x_NCS = encoder(x_NCS)
            fine.append(x_NCS)
        fine.pop()
        decoded: list[Tensor] = []
        for join, decoder in zip(self.joins, self.decoders, strict=True):
            x_NCS = decoder(join(x_NCS, fine.pop()))
            decoded.insert(0, x_NCS)
        if self.training and len(self.heads) > 1:
            pairs = zip(self.heads, decoded, strict=True)
            return [self._answer(head(y_NCS), given_NCS) for head, y_NCS in pairs]
        return self._answer(self.heads[0](decoded[0]), given_NCS)

    def _answer(self, raw_NKS: Tensor, given_NCS: Tensor) -> Tensor:
        if not self.corrects:
            return raw_NKS
        if raw_NKS.shape != given_NCS.shape:  # a coarser head, whose truth is thinned out likewise
            given_NCS = functional.interpolate(given_NCS, raw_NKS.shape[2:], mode="nearest-exact")
        return given_NCS + raw_NKS


class Skip(nn.Module):
    """Coarse features up-sampled to a finer grid, and the features of that grid."""

    def __init__(self, up: nn.Module, gate: nn.Module | None, add: bool) -> None:
        super().__init__()
        self.up, self.gate, self.add = up, gate, add

    def forward(self, coarse_NCS: Tensor, fine_NCS: Tensor) -> Tensor:
        up_NCS = cropped(self.up(coarse_NCS), fine_NCS.shape[2:])
        if self.add:
            return up_NCS + fine_NCS
        if self.gate is not None:
            fine_NCS = self.gate(up_NCS, fine_NCS)
        return torch.cat([up_NCS, fine_NCS], dim=1)

    def extra_repr(self) -> str:
        """Whether features are summed."""
        return f"add={self.add}"


class AttentionGate(nn.Module):
    """Features weighted place by place, by what the coarser stage has seen there.

    The gate is computed on the fine grid, from the up-sampled signal.

    Source: Oktay et al. 2018, arXiv:1804.03999.
    """

    def __init__(self, layers: Layers, channels: int) -> None:
        super().__init__()
        hidden = max(1, channels // 2)
        self.signal = layers.pointwise(channels, hidden, active=False)
        self.features = layers.pointwise(channels, hidden, active=False)
        self.gate = nn.Sequential(nn.ReLU(), Conv["conv", layers.dims](hidden, 1, 1), nn.Sigmoid())

    def forward(self, signal_NCS: Tensor, x_NCS: Tensor) -> Tensor:
        gate_N1S: Tensor = self.gate(self.signal(signal_NCS) + self.features(x_NCS))
        return x_NCS * gate_N1S


def cropped(x_NCS: Tensor, size: Sequence[int]) -> Tensor:
    """Without what lies beyond a size: halving keeps an odd last pixel, doubling makes it two."""
    for axis, length in enumerate(size, start=2):
        x_NCS = x_NCS.narrow(axis, 0, length)
    return x_NCS
