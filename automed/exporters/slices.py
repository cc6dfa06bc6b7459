"""What 3D layers compute, on the slices of one volume (D, C, H, W), with 2D kernels alone."""

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from automed.exporters.norms import normalised

Within = Callable[[Tensor], Tensor]
"""A 2D operation on every slice by itself."""


class Taps(nn.Module):
    """2D convolutions of what the taps along depth meet, summed.

    Side by side as channels the taps are one convolution; groups, which that would mix, are not.
    """

    def __init__(
        self, weights: Sequence[Tensor], bias: Tensor | None, convolve: Callable[..., Tensor]
    ) -> None:
        """Weights of every tap, or those of all taps side by side; and the 2D convolution."""
        super().__init__()
        self.weights = nn.ParameterList(_kept(weight) for weight in weights)
        self.bias = None if bias is None else _kept(bias)
        self.convolve = convolve

    def forward(self, taps: Sequence[Tensor]) -> Tensor:
        """Slices (D', C', H', W')."""
        if len(self.weights) == 1:
            return self.convolve(_side_by_side(taps), self.weights[0], self.bias)
        y_DCHW = self.convolve(taps[0], self.weights[0], self.bias)
        for tap, weight in zip(taps[1:], self.weights[1:], strict=True):
            y_DCHW = y_DCHW + self.convolve(tap, weight, None)
        return y_DCHW


class Convolution(nn.Module):
    """A 3D convolution, of which every tap along depth is a 2D one."""

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
        groups: int,
    ) -> None:
        """Arguments are those of torch's `conv3d`, one number an axis."""
        super().__init__()
        self.along = weight.shape[2], stride[0], padding[0], dilation[0]
        convolve = _with(functional.conv2d, stride, padding, dilation, groups)
        self.taps = Taps(_merged(weight.unbind(2), 1, groups), bias, convolve)

    def forward(self, x_DCHW: Tensor) -> Tensor:
        """Slices (D', C', H', W')."""
        y_DCHW: Tensor = self.taps(windows(x_DCHW, *self.along))
        return y_DCHW


class TransposedConvolution(nn.Module):
    """A transposed 3D convolution: every phase of the stride along depth is a convolution itself.

    Output slice s * q + r is fed by those taps that are congruent to r, each with a slice near q.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        stride: Sequence[int],
        padding: Sequence[int],
        output_padding: Sequence[int],
        groups: int,
        dilation: Sequence[int],
    ) -> None:
        """Arguments are those of torch's `conv_transpose3d`, one number an axis."""
        super().__init__()
        self.stride, extent = stride[0], weight.shape[2]
        reach = (extent - 1) * dilation[0] + 1
        self.growth = reach + output_padding[0] - 2 * padding[0] - self.stride
        convolve = _with(
            functional.conv_transpose2d, stride, padding, dilation, groups,
            output_padding=tuple(output_padding[1:]),
        )  # fmt: skip
        self.phases, self.offsets = nn.ModuleList(), []
        for phase in range(self.stride):
            steps = [phase + padding[0] - tap * dilation[0] for tap in range(extent)]
            fed = [tap for tap, step in enumerate(steps) if step % self.stride == 0]
            offsets = [steps[tap] // self.stride for tap in fed]
            taps = [weight[:, :, tap] for tap in fed]
            if not fed:  # the stride leaves these slices out: they hold the bias
                offsets, taps = [0], [torch.zeros_like(weight[:, :, 0])]
            self.offsets.append(offsets)
            self.phases.append(Taps(_merged(taps, 0, groups), bias, convolve))

    def forward(self, x_DCHW: Tensor) -> Tensor:
        """Slices (D', C', H', W')."""
        depth = len(x_DCHW) * self.stride + self.growth
        count = -(-depth // self.stride)
        every = list(itertools.chain.from_iterable(self.offsets))
        before, after = max(0, -min(every)), max(0, count + max(every) - len(x_DCHW))
        padded = beyond(x_DCHW, before, after)
        answers = [
            phase([padded.narrow(0, before + offset, count) for offset in offsets])
            for phase, offsets in zip(self.phases, self.offsets, strict=True)
        ]
        channels, *size = answers[0].shape[1:]
        y_DCHW = _side_by_side(answers).reshape(count * self.stride, channels, *size)
        return y_DCHW.narrow(0, 0, depth)


class Maximum(nn.Module):
    """Max pooling: within slices, then over them."""

    def __init__(
        self,
        extent: Sequence[int],
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
        ceil: bool,
    ) -> None:
        """Arguments are those of torch's `max_pool3d`, one number an axis."""
        super().__init__()
        self.within = nn.MaxPool2d(
            tuple(extent[1:]),
            tuple(stride[1:]),
            tuple(padding[1:]),
            tuple(dilation[1:]),
            ceil_mode=ceil,
        )
        self.along, self.ceil = (extent[0], stride[0], padding[0], dilation[0]), ceil

    def forward(self, x_DCHW: Tensor) -> Tensor:
        """Slices (D', C, H', W')."""
        x_DCHW = self.within(x_DCHW)
        y_DCHW, *others = windows(x_DCHW, *self.along, ceil=self.ceil, value=-torch.inf)
        for other_DCHW in others:
            y_DCHW = torch.maximum(y_DCHW, other_DCHW)
        return y_DCHW


class Linear(nn.Module):
    """What is linear along depth, and a 2D operation within slices: averages, interpolation."""

    def __init__(self, along: Tensor, within: Within) -> None:
        """A matrix (D', D) and the operation, which goes first where it shrinks slices."""
        super().__init__()
        self.within, self.depth = within, len(along)
        self.mix = _kept(along[:, :, None, None])
        self.shrinks = along.shape[0] < along.shape[1]

    def forward(self, x_DCHW: Tensor) -> Tensor:
        """Slices (D', C, H', W')."""
        if self.shrinks:
            return self._along(self.within(x_DCHW))
        return self.within(self._along(x_DCHW))

    def _along(self, x_DCHW: Tensor) -> Tensor:
        channels, *size = x_DCHW.shape[1:]
        flat_1DRW = x_DCHW.reshape(1, len(x_DCHW), channels * size[0], size[1])
        return functional.conv2d(flat_1DRW, self.mix).reshape(self.depth, channels, *size)


class InstanceNorm(nn.Module):
    """Every channel of the volume in its own standard deviations, scaled and shifted."""

    def __init__(self, weight: Tensor | None, bias: Tensor | None, eps: float) -> None:
        """Arguments are those of torch's `instance_norm`."""
        super().__init__()
        self.eps = eps
        self.weight = None if weight is None else _kept(weight.reshape(1, -1, 1, 1))
        self.bias = None if bias is None else _kept(bias.reshape(1, -1, 1, 1))

    def forward(self, x_DCHW: Tensor) -> Tensor:
        """Slices of the same shape."""
        return normalised(x_DCHW, _mean, self.eps, self.weight, self.bias)


class Reading(nn.Module):
    """A volume read off at other places, linear between voxels and constant beyond its border."""

    def forward(self, x_1CDHW: Tensor, places_1DHW3: Tensor) -> Tensor:
        """As torch's `grid_sample` with padding "border" and aligned corners."""
        channels, *size = x_1CDHW.shape[1:]
        ends = []
        for axis, length in enumerate(size):  # places have the last axis first
            place_V = (places_1DHW3[..., 2 - axis].reshape(-1) + 1) * ((length - 1) / 2)
            place_V = place_V.clamp(0, length - 1)
            low_V = place_V.floor().clamp(max=max(0, length - 2))
            share_V = place_V - low_V
            both = [2 if other == axis else 1 for other in range(3)]
            which = torch.stack([low_V, (low_V + 1).clamp(max=length - 1)]).reshape(*both, -1)
            ends.append((which, torch.stack([1 - share_V, share_V]).reshape(*both, -1)))
        (z, in_z), (y, in_y), (x, in_x) = ends
        corners = ((z * size[1] + y) * size[2] + x).long().reshape(-1)
        read_C8V = x_1CDHW.reshape(channels, -1).index_select(1, corners).reshape(channels, 8, -1)
        shared_C8V = read_C8V * (in_z * in_y * in_x).reshape(8, -1)
        return shared_C8V.sum(1).reshape(1, channels, *places_1DHW3.shape[1:4])


def windows(
    x_DCHW: Tensor,
    extent: int,
    stride: int,
    padding: int,
    dilation: int,
    *,
    ceil: bool = False,
    value: float = 0.0,
) -> list[Tensor]:
    """For every tap along depth the slices (D', C, H, W) that it meets; beyond the ends a value."""
    depth, channels = len(x_DCHW), x_DCHW.shape[1]
    reach = dilation * (extent - 1)
    count = (depth + 2 * padding - reach - 1 + ceil * (stride - 1)) // stride + 1
    if ceil and (count - 1) * stride >= depth + padding:
        count -= 1  # no window begins in the padding behind the volume
    rows = -(-((count - 1) * stride + reach + 1) // stride)
    end = rows * stride - padding - depth
    padded = beyond(x_DCHW if end >= 0 else x_DCHW[:end], padding, max(0, end), value)
    grouped = padded.reshape(rows, stride * channels, *x_DCHW.shape[2:])
    starts = [divmod(tap * dilation, stride) for tap in range(extent)]
    taps = [grouped.narrow(0, row, count) for row, _ in starts]
    if stride == 1:
        return taps
    return [
        tap.narrow(1, phase * channels, channels)
        for tap, (_, phase) in zip(taps, starts, strict=True)
    ]


def beyond(x_DCHW: Tensor, before: int, after: int, value: float = 0.0) -> Tensor:
    """With so many slices of one value before and after."""
    if not before and not after:
        return x_DCHW
    return functional.pad(x_DCHW, (0, 0, 0, 0, 0, 0, before, after), value=value)


def _side_by_side(taps: Sequence[Tensor]) -> Tensor:
    """As channels of one."""
    return taps[0] if len(taps) == 1 else torch.cat(list(taps), 1)


def _merged(taps: Sequence[Tensor], axis: int, groups: int) -> Sequence[Tensor]:
    """Weights of all taps side by side along the axis of input channels; with groups as given."""
    return [torch.cat(list(taps), axis)] if groups == 1 else taps


def _with(
    convolution: Callable[..., Tensor],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    **options: Any,
) -> Callable[..., Tensor]:
    """A 2D convolution with what is within slices of the numbers an axis."""
    within = {"stride": stride, "padding": padding, "dilation": dilation}
    return partial(
        convolution, **{name: tuple(n[1:]) for name, n in within.items()}, groups=groups, **options
    )


def _kept(numbers: Tensor) -> nn.Parameter:
    return nn.Parameter(numbers.detach().clone().contiguous(), requires_grad=False)


def _mean(x_DCHW: Tensor) -> Tensor:
    """Over slices, then over all of them: XNNPACK takes means over the last two axes alone."""
    each_1CD1 = x_DCHW.mean((2, 3), keepdim=True).transpose(0, 2)
    return each_1CD1.mean((2, 3), keepdim=True)
