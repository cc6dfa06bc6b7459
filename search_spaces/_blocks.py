"""Layers that several families share, in 1D, 2D and 3D alike."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from monai.networks.blocks.squeeze_and_excitation import ChannelSELayer
from monai.networks.layers.factories import Conv, Norm, Pad, Pool
from torch import Tensor, nn
from torch.nn import functional

from automed.sample import InputSpec

ACTIVATIONS = {"relu": nn.ReLU, "hardswish": nn.Hardswish, "silu": nn.SiLU}
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
"""What torch calls linear interpolation, by spatial dimensions."""
MAX_POOLS = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}
Extent = int | tuple[int, int, int]
"""One number for every axis, or one an axis of a volume."""
REDUCTION = 4
"""Channels per hidden unit of a squeeze-and-excitation bottleneck."""


@dataclass(frozen=True, kw_only=True)
class Layers:
    """Makes the layers of one architecture; holds what all of its blocks have in common.

    Strided layers give ceil(size / 2), so no image is too small for any number of them. Every
    convolution is followed by a norm; a batch norm folds into it at export.

    Attributes:
        dims: Spatial dimensions, 1 to 3.
        kernel: Extent of the spatial convolutions inside blocks.
        activation: Name of the activation.
        attention: Name of the channel attention at block ends.
        norm: "batch", or "instance" for statistics of each image by itself.
        convolution: What those convolutions are: "dense", "separable" or "ghost".
        volume: How they see volumes: "3d", or "2.5d" or "2+1d" within slices, then across.
    """

    dims: int
    kernel: int
    activation: str
    attention: str
    norm: str = "batch"
    convolution: str = "dense"
    volume: str = "3d"

    def conv(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, active: bool = True
    ) -> nn.Sequential:
        """Dense convolution, norm and, if active, the activation."""
        return nn.Sequential(
            self._conv(inputs, outputs, kernel, stride), *self._norm(outputs, active)
        )

    def pointwise(self, inputs: int, outputs: int, *, active: bool = True) -> nn.Sequential:
        """1x1 convolution over channels."""
        return self.conv(inputs, outputs, 1, active=active)

    def spatial(
        self, inputs: int, outputs: int, *, stride: int = 1, active: bool = True
    ) -> nn.Sequential:
        """Convolution with the architecture's kernel: dense, depthwise-separable or ghost.

        The separable one has no norm between its halves (Chollet 2017, arXiv:1610.02357).
        """
        if self.convolution == "ghost" and outputs > 1:
            few = outputs - outputs // 2
            return nn.Sequential(
                Ghost(
                    nn.Sequential(*self._kernel(inputs, few, stride), *self._norm(few, active)),
                    self.depthwise(outputs // 2, active=active),
                    outputs // 2,
                )
            )
        if self.convolution == "separable":
            filters = [
                *self._kernel(inputs, inputs, stride, groups=inputs),
                self._conv(inputs, outputs, 1),
            ]
        else:
            filters = self._kernel(inputs, outputs, stride)
        return nn.Sequential(*filters, *self._norm(outputs, active))

    def stage(self, inputs: int, outputs: int, depth: int, *, residual: bool) -> nn.Module:
        """So many spatial convolutions and the attention; if residual, added to the input."""
        convolutions = [
            self.spatial(
                inputs if number == 1 else outputs,
                outputs,
                active=not residual or number < depth,
            )
            for number in range(1, depth + 1)
        ]
        branch = nn.Sequential(*convolutions, self.attend(outputs))
        if not residual:
            return branch
        same = inputs == outputs
        shortcut = nn.Identity() if same else self.pointwise(inputs, outputs, active=False)
        return Residual(branch, shortcut, self.activate())

    def depthwise(self, channels: int, *, stride: int = 1, active: bool = True) -> nn.Sequential:
        """Convolution of each channel by itself, norm and, if active, the activation."""
        return nn.Sequential(
            *self._kernel(channels, channels, stride, groups=channels),
            *self._norm(channels, active),
        )

    def stem(self, kind: str, inputs: int, outputs: int) -> nn.Sequential:
        """What an image meets first: "stride4" is a 7x7 convolution and max pooling.

        "stride2" and "full" are a 3x3 convolution.
        """
        if kind == "stride4":
            conv = self.conv(inputs, outputs, 7, stride=2)
            return nn.Sequential(conv, self.pool("max", stride=2))
        return self.conv(inputs, outputs, 3, stride={"stride2": 2, "full": 1}[kind])

    def pool(self, kind: str, *, stride: int) -> nn.Module:
        """Pooling over 3 pixels an axis; kind is "max" or "avg".

        Averages are padded by a layer of their own: torch's own padding refuses 3D images of less
        than 3 pixels an axis.
        """
        pool = Pool[kind, self.dims]
        if kind == "avg":
            return nn.Sequential(Pad["constantpad", self.dims](1, 0.0), pool(3, stride))
        padded: nn.Module = pool(3, stride, padding=1)
        return padded

    def halve(self) -> nn.Module:
        """Max pooling over 2 pixels an axis; an odd last pixel is kept."""
        return Halving()

    def double(self, inputs: int, outputs: int, kind: str) -> nn.Sequential:
        """Twice the pixels an axis: "nearest" or "linear" interpolation, or "transposed".

        The 1x1 convolution stands before the interpolation, where pixels are fewest: the two
        commute. The transposed convolution has one weight a pixel it makes (Ronneberger 2015).
        """
        if kind == "transposed":
            conv: nn.Module = Conv["convtrans", self.dims](inputs, outputs, 2, 2, bias=False)
            nn.init.normal_(conv.get_parameter("weight"), std=math.sqrt(2 / inputs))
            return nn.Sequential(conv, *self._norm(outputs, True))
        mode = LINEAR[self.dims] if kind == "linear" else kind
        return nn.Sequential(
            self.pointwise(inputs, outputs), nn.Upsample(scale_factor=2, mode=mode)
        )

    def activate(self) -> nn.Module:
        """The activation."""
        return ACTIVATIONS[self.activation]()

    def attend(self, channels: int) -> nn.Module:
        """The attention over this many channels."""
        match self.attention:
            case "eca":
                return EfficientChannelAttention(channels)
            case "se":
                gate: nn.Module = ChannelSELayer(self.dims, channels, r=REDUCTION)
                return gate
            case "cbam":
                return ConvolutionalBlockAttention(self.dims, channels)
        return nn.Identity()

    def _kernel(
        self, inputs: int, outputs: int, stride: int = 1, groups: int = 1
    ) -> list[nn.Module]:
        """What sees the architecture's kernel; of volumes, at once or first within slices.

        "2+1d" is as Tran et al. 2018, arXiv:1711.11248, have it, with as many channels between
        its halves as it gives; across slices, "2.5d" looks at each channel by itself.
        """
        if self.dims < 3 or self.volume == "3d":
            return [self._conv(inputs, outputs, self.kernel, stride, groups)]
        k = self.kernel
        within = self._conv(inputs, outputs, (1, k, k), (1, stride, stride), groups)
        if self.volume == "2.5d":
            return [within, self._conv(outputs, outputs, (k, 1, 1), (stride, 1, 1), outputs)]
        across = self._conv(outputs, outputs, (k, 1, 1), (stride, 1, 1), groups)
        return [within, *self._norm(outputs, True), across]

    def _conv(
        self, inputs: int, outputs: int, kernel: Extent, stride: Extent = 1, groups: int = 1
    ) -> nn.Module:
        padding = kernel // 2 if isinstance(kernel, int) else tuple(k // 2 for k in kernel)
        conv: nn.Module = Conv["conv", self.dims](
            inputs, outputs, kernel, stride, padding=padding, groups=groups, bias=False
        )
        nn.init.kaiming_normal_(conv.get_parameter("weight"), nonlinearity="relu")
        return conv

    def _norm(self, channels: int, active: bool) -> list[nn.Module]:
        norm: nn.Module = Norm[self.norm, self.dims](channels, affine=True)
        return [norm, self.activate()] if active else [norm]


class Halving(nn.Module):
    """Max pooling over 2 pixels of every axis that has as many: OpenVINO refuses to pool one."""

    def forward(self, x_NCS: Tensor) -> Tensor:
        window = [2 if pixels > 1 else 1 for pixels in x_NCS.shape[2:]]
        y_NCS: Tensor = MAX_POOLS[len(window)](x_NCS, window, ceil_mode=True)
        return y_NCS


class Ghost(nn.Module):
    """Some channels from a convolution, and as many again from a cheap look at those.

    Source: Han et al. 2020, GhostNet, arXiv:1911.11907.
    """

    def __init__(self, primary: nn.Module, cheap: nn.Module, copied: int) -> None:
        super().__init__()
        self.primary, self.cheap, self.copied = primary, cheap, copied

    def forward(self, x_NCS: Tensor) -> Tensor:
        y_NCS = self.primary(x_NCS)
        return torch.cat([y_NCS, self.cheap(y_NCS[:, : self.copied])], dim=1)


class Residual(nn.Module):
    """The sum of a branch and its shortcut."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module, after: nn.Module) -> None:
        super().__init__()
        self.branch, self.shortcut, self.after = branch, shortcut, after

    def forward(self, x_NCS: Tensor) -> Tensor:
        y_NCS: Tensor = self.after(self.shortcut(x_NCS) + self.branch(x_NCS))
        return y_NCS


class EfficientChannelAttention(nn.Module):
    """A gate per channel, from the means of its neighbouring channels.

    Source: Wang et al. 2020, arXiv:1910.03151.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        extent = int((math.log2(channels) + 1) / 2)
        extent += extent % 2 == 0
        self.conv = nn.Conv1d(1, 1, extent, padding=extent // 2, bias=False)

    def forward(self, x_NCS: Tensor) -> Tensor:
        mean_N1C = x_NCS.mean(_space(x_NCS)).unsqueeze(1)
        gate_NC = self.conv(mean_N1C).sigmoid().squeeze(1)
        return x_NCS * _over_space(gate_NC, x_NCS)


class ConvolutionalBlockAttention(nn.Module):
    """A gate per channel, then one per place.

    Source: Woo et al. 2018, arXiv:1807.06521.
    """

    def __init__(self, dims: int, channels: int) -> None:
        super().__init__()
        hidden = channels // REDUCTION
        self.channel = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels)
        )
        self.place = Conv["conv", dims](2, 1, 7, padding=3, bias=False)

    def forward(self, x_NCS: Tensor) -> Tensor:
        space = _space(x_NCS)
        gate_NC = (self.channel(x_NCS.mean(space)) + self.channel(x_NCS.amax(space))).sigmoid()
        y_NCS = x_NCS * _over_space(gate_NC, x_NCS)
        seen_N2S = torch.cat([y_NCS.mean(1, keepdim=True), y_NCS.amax(1, keepdim=True)], 1)
        gate_N1S: Tensor = self.place(seen_N2S).sigmoid()
        return y_NCS * gate_N1S


def own_scale(image: InputSpec) -> nn.Module:
    """Signals get mean 0 and variance 1, each channel by itself; images stay as they are.

    Offset and gain of an electrode differ from patient to patient and mean nothing, where grey
    values do: a network that goes by them does not carry over to other patients.
    """
    return nn.InstanceNorm1d(image.channels) if len(image.size) == 1 else nn.Identity()


class GlobalMean(nn.Module):
    """The mean over space: (N, C, *size) to (N, C)."""

    def forward(self, x_NCS: Tensor) -> Tensor:
        return x_NCS.mean(_space(x_NCS))


def _space(x_NCS: Tensor) -> tuple[int, ...]:
    return tuple(range(2, x_NCS.ndim))


def _over_space(gate_NC: Tensor, x_NCS: Tensor) -> Tensor:
    return gate_NC.reshape(*gate_NC.shape, *(1 for _ in _space(x_NCS)))


class Cells(nn.Module):
    """Means over at most so many cells an axis: (N, C, *size) to (N, count), C * cells.

    Attributes:
        size: Pixels an axis of what is averaged.
        extents: Pixels an axis of a cell.
        shape: Channels, and cells an axis.
        count: Numbers it gives.
    """

    def __init__(self, channels: int, size: Sequence[int], most: int) -> None:
        super().__init__()
        extents = [math.ceil(s / most) for s in size]
        counts = [math.ceil(s / e) for s, e in zip(size, extents, strict=True)]
        self.size, self.extents = tuple(size), tuple(extents)
        self.shape = (channels, *counts)
        self.count = math.prod(self.shape)
        for axis, (number, extent, length) in enumerate(zip(counts, extents, size, strict=True)):
            places = torch.arange(number * extent).clamp(max=length - 1)  # the edge, repeated
            self.register_buffer(f"places_{axis}", places, persistent=False)
        self.pool = Pool["avg", len(size)](tuple(extents))

    def forward(self, x_NCS: Tensor) -> Tensor:
        for axis in range(2, x_NCS.ndim):
            places: Tensor = self.get_buffer(f"places_{axis - 2}")
            if len(places) > x_NCS.shape[axis]:
                x_NCS = x_NCS.index_select(axis, places)
        means_NF: Tensor = self.pool(x_NCS).flatten(1)
        return means_NF


def row_of(spec: InputSpec, most: int) -> tuple[nn.Module, int]:
    """What makes one row of numbers of an input, and how many: means over cells, or the table."""
    if spec.kind == "table":
        return nn.Identity(), spec.channels
    cells = Cells(spec.channels, spec.size, most)
    return cells, cells.count
