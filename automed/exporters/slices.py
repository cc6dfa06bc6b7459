"""What 3D layers compute, on the slices of one volume (D, C, H, W), with 2D kernels alone."""

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

Within = Callable[[Tensor], Tensor]
"""A 2D operation on every slice by itself."""


class Convolution(nn.Module):
    """A 3D convolution: the taps along depth lie side by side as channels of one 2D convolution.

    With groups, which channels side by side would mix, the 2D convolutions of the taps are summed.
    """

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
        self.extent, self.stride, self.padding, self.dilation = (
            weight.shape[2], stride[0], padding[0], dilation[0],
        )  # fmt: skip
        taps = weight.unbind(2)
        self.convolutions = nn.ModuleList(
            _filled(
                nn.Conv2d(
                    tap.shape[1] * groups,
                    tap.shape[0],
                    tap.shape[2:],
                    stride[1:],
                    padding[1:],
                    dilation[1:],
                    groups,
                ),
                tap,
                bias if number == 0 else None,
            )
            for number, tap in enumerate([torch.cat(taps, 1)] if groups == 1 else taps)
        )

    def forward(self, x_DCHW: Tensor) -> Tensor:
        taps = windows(x_DCHW, self.extent, self.stride, self.padding, self.dilation)
        return _summed(self.convolutions, taps)


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
        self.stride = stride[0]
        reach = (weight.shape[2] - 1) * dilation[0] + 1
        self.growth = reach + output_padding[0] - 2 * padding[0] - stride[0]
        self.phases, self.offsets = nn.ModuleList(), []
        for phase in range(stride[0]):
            steps = [phase + padding[0] - tap * dilation[0] for tap in range(weight.shape[2])]
            fed = [tap for tap, step in enumerate(steps) if step % stride[0] == 0]
            self.offsets.append([steps[tap] // stride[0] for tap in fed])
            taps = [weight[:, :, tap] for tap in fed]
            if not fed:  # a stride that leaves slices out: they hold the bias
                taps, self.offsets[-1] = [torch.zeros_like(weight[:, :, 0])], [0]
            self.phases.append(
                nn.ModuleList(
                    _filled(
                        nn.ConvTranspose2d(
                            tap.shape[0],
                            tap.shape[1] * groups,
                            tap.shape[2:],
                            stride[1:],
                            padding[1:],
                            output_padding[1:],
                            groups,
                            dilation=dilation[1:],
                        ),
                        tap,
                        bias if number == 0 else None,
                    )
                    for number, tap in enumerate([torch.cat(taps, 0)] if groups == 1 else taps)
                )
            )

    def forward(self, x_DCHW: Tensor) -> Tensor:
        depth = len(x_DCHW) * self.stride + self.growth
        count = -(-depth // self.stride)
        every = list(itertools.chain.from_iterable(self.offsets))
        before, after = max(0, -min(every)), max(0, count + max(every) - len(x_DCHW))
        padded = beyond(x_DCHW, before, after)
        answers = [
            _summed(phase, [padded.narrow(0, before + o, count) for o in offsets])
            for phase, offsets in zip(self.phases, self.offsets, strict=True)
        ]
        channels, *size = answers[0].shape[1:]
        y_DCHW = torch.cat(answers, 1).reshape(count * self.stride, channels, *size)
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
            tuple(extent[1:]), tuple(stride[1:]), tuple(padding[1:]), tuple(dilation[1:]), ceil_mode=ceil
        )
        self.along, self.ceil = (extent[0], stride[0], padding[0], dilation[0]), ceil

    def forward(self, x_DCHW: Tensor) -> Tensor:
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
        self.mix: nn.Module = nn.Identity()
        if not torch.equal(along, torch.eye(*along.shape)):
            self.mix = _filled(
                nn.Conv2d(along.shape[1], along.shape[0], 1), along[:, :, None, None], None
            )
        self.shrinks = along.shape[0] < along.shape[1]

    def forward(self, x_DCHW: Tensor) -> Tensor:
        return self._along(self.within(x_DCHW)) if self.shrinks else self.within(self._along(x_DCHW))

    def _along(self, x_DCHW: Tensor) -> Tensor:
        channels, *size = x_DCHW.shape[1:]
        flat_1DRW = x_DCHW.reshape(1, len(x_DCHW), channels * size[0], size[1])
        y_DCHW: Tensor = self.mix(flat_1DRW).reshape(self.depth, channels, *size)
        return y_DCHW


class InstanceNorm(nn.Module):
    """Every channel of the volume in its own standard deviations, scaled and shifted."""

    def __init__(self, weight: Tensor | None, bias: Tensor | None, eps: float) -> None:
        """Arguments are those of torch's `instance_norm`."""
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", None if weight is None else weight.reshape(1, -1, 1, 1))
        self.register_buffer("bias", None if bias is None else bias.reshape(1, -1, 1, 1))

    def forward(self, x_DCHW: Tensor) -> Tensor:
        x_DCHW = x_DCHW - _mean(x_DCHW)
        y_DCHW = x_DCHW * (_mean(x_DCHW * x_DCHW) + self.eps).rsqrt()
        if self.weight is not None:
            y_DCHW = y_DCHW * self.weight
        return y_DCHW if self.bias is None else y_DCHW + self.bias


class Reading(nn.Module):
    """A volume read off at other places, linear between voxels and constant beyond its border."""

    def forward(self, x_1CDHW: Tensor, places_1DHW3: Tensor) -> Tensor:
        """As torch's `grid_sample` with padding "border" and aligned corners."""
        channels, *size = x_1CDHW.shape[1:]
        ends = []
        for axis, length in enumerate(size):  # places have the last axis first
            place = (places_1DHW3[..., 2 - axis] + 1) * ((length - 1) / 2)
            place = place.clamp(0, length - 1)
            low = place.floor().clamp(max=max(0, length - 2))
            share = place - low
            high = (low + 1).clamp(max=length - 1)
            ends.append(((low, 1 - share), (high, share)))
        flat_CV = x_1CDHW.reshape(channels, -1)
        corners = []
        for (z, in_z), (y, in_y), (x, in_x) in itertools.product(*ends):
            index = ((z * size[1] + y) * size[2] + x).long()
            read_CV = flat_CV.index_select(1, index.reshape(-1))
            corners.append(read_CV.reshape(1, channels, *index.shape[1:]) * (in_z * in_y * in_x))
        return torch.stack(corners).sum(0)


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


def _summed(convolutions: nn.ModuleList, taps: Sequence[Tensor]) -> Tensor:
    """One convolution over taps side by side, or the sum of one a tap."""
    if len(convolutions) == 1:
        y_DCHW: Tensor = convolutions[0](torch.cat(list(taps), 1) if len(taps) > 1 else taps[0])
        return y_DCHW
    answers = [conv(tap) for conv, tap in zip(convolutions, taps, strict=True)]
    y_DCHW = answers[0]
    for answer in answers[1:]:
        y_DCHW = y_DCHW + answer
    return y_DCHW


def _filled(layer: nn.Module, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """A layer with these numbers."""
    layer.weight = nn.Parameter(weight.detach().clone().contiguous(), requires_grad=False)
    layer.bias = None if bias is None else nn.Parameter(bias.detach().clone(), requires_grad=False)
    return layer


def _mean(x_DCHW: Tensor) -> Tensor:
    return x_DCHW.mean((2, 3), keepdim=True).mean(0, keepdim=True)
