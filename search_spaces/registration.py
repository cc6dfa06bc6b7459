"""VoxelMorph: a network that sees two images and answers with what lays one onto the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from monai.losses import LocalNormalizedCrossCorrelationLoss
from torch import Tensor, nn

from automed.sample import SampleSpec
from automed.space import choice, integer, real
from automed.warp import affine_fit, resized, roughness, warped

from ._blocks import Layers
from ._encoder_decoder import SkipFamily

STRIDES = {"half": 2, "full": 1}
REACH = 8.0
"""Pixels that an answer of 1 moves: training begins at answers near 0 and takes small steps."""
WINDOW = 7
"""Pixels an axis of the windows that local cross-correlation is taken in."""


@dataclass(frozen=True, kw_only=True)
class Registration(SkipFamily):
    """Strided convolutions down, convolutions and skips up, and a field of displacements.

    A field on half the pixels an axis is interpolated to all of them. An affine one is the
    least-squares fit to the dense field, so that its matrix is regressed by the same network.

    Source: Balakrishnan et al. 2019, arXiv:1809.05231; diffeomorphic: Dalca et al. 2018,
    arXiv:1805.04605; scaling and squaring: Arsigny et al. 2006, doi:10.1007/11866565_113.
    """

    problems: ClassVar[tuple[str, ...]] = ("registration",)

    transform: str = choice("affine", "dense", "diffeomorphic", default="diffeomorphic")
    """An affine map, a displacement of every pixel, or the flow of a velocity, which is smooth and
    has an inverse."""
    steps: int = integer(3, 7, default=5)
    """Squarings that integrate a velocity: 2**steps small steps; of diffeomorphic ones alone."""
    field_resolution: str = choice("half", "full")
    """Pixels an axis of the field, and of the finest features, beside those of the image."""
    smoothness: float = real(0.01, 1.0, log=True, default=0.03)
    """Weight of the roughness of field or velocity, beyond the little that the problem asks for."""
    similarity: str = choice("mse", "ncc")
    """What the images have to agree in: the problem's squared difference, or local normalised
    cross-correlation beside it, which takes no notice of brightness and contrast."""

    @property
    def stride(self) -> int:
        """Pixels an axis of a cell of the finest grid."""
        return STRIDES[self.field_resolution]

    def encoder(self, layers: Layers, stage: int, inputs: int) -> nn.Module:
        """Convolutions; the first has stride 2, but where the grid is that of the image."""
        stride = self.stride if stage == 0 else 2
        return self._convolutions(layers, inputs, self.channels(stage), stride)

    def decoder(self, layers: Layers, stage: int, inputs: int) -> tuple[nn.Module, int]:
        """The stage's convolutions."""
        outputs = self.channels(stage)
        return self._convolutions(layers, inputs, outputs), outputs

    def build(self, sample: SampleSpec) -> nn.Module:
        """The untrained network: two images in, displacements (N, dims, *size) in pixels out."""
        return Registering(
            super().build(sample),
            Transform(self.transform, self.steps, sample.image.size, self.stride),
            smoothness=self.smoothness,
            similarity=self.similarity,
        )

    def _convolutions(
        self, layers: Layers, inputs: int, outputs: int, stride: int = 1
    ) -> nn.Module:
        first = layers.spatial(inputs, outputs, stride=stride)
        more = [layers.spatial(outputs, outputs) for _ in range(self.depth - 1)]
        return nn.Sequential(first, *more, layers.attend(outputs))


class Transform(nn.Module):
    """What a network answers, on its grid and in pixels, as displacements of every pixel."""

    def __init__(self, kind: str, steps: int, size: Sequence[int], stride: int) -> None:
        super().__init__()
        self.kind, self.steps, self.stride = kind, steps, stride
        self.size, self.grid = tuple(size), tuple(-(-length // stride) for length in size)

    def forward(self, raw_NDG: Tensor) -> Tensor:
        """Displacements (N, dims, *size)."""
        raw_NDG = resized(REACH * raw_NDG.float(), self.grid)
        if self.kind == "affine":
            return affine_fit(resized(raw_NDG, self.size), self.size)
        if self.kind == "dense":
            return resized(raw_NDG, self.size)
        flow_NDG = raw_NDG * (1 / (self.stride * 2**self.steps))
        for _ in range(self.steps):
            flow_NDG = flow_NDG + warped(flow_NDG, flow_NDG, self.grid)
        return resized(flow_NDG * self.stride, self.size)

    def extra_repr(self) -> str:
        """What the field is."""
        return f"{self.kind}, steps={self.steps}, grid={self.grid}"


class Registering(nn.Module):
    """Displacements (N, dims, *size); while training with a penalty, and of several heads a list.

    The penalty is on the finest answer.
    """

    def __init__(
        self, network: nn.Module, transform: Transform, *, smoothness: float, similarity: str
    ) -> None:
        super().__init__()
        self.network, self.transform, self.smoothness = network, transform, smoothness
        self.differs = None
        if similarity == "ncc":
            self.differs = LocalNormalizedCrossCorrelationLoss(
                len(transform.size), kernel_size=WINDOW
            )

    def forward(
        self, fixed_NCS: Tensor, moving_NCS: Tensor
    ) -> Tensor | tuple[Tensor | list[Tensor], Tensor]:
        """The field between two images."""
        raw = self.network(fixed_NCS, moving_NCS)
        if not self.training:
            field_NDS: Tensor = self.transform(raw)
            return field_NDS
        several = raw if isinstance(raw, list) else [raw]
        fields = [self.transform(one) for one in several]
        penalty = self.smoothness * roughness(several[0].float() / self.transform.stride)
        if self.differs is not None:
            moved_NCS = warped(moving_NCS, fields[0], self.transform.size)
            with torch.autocast(moved_NCS.device.type, enabled=False):  # variances are differences
                penalty = penalty + self.differs(moved_NCS, fixed_NCS.float())
        return fields if isinstance(raw, list) else fields[0], penalty

    def extra_repr(self) -> str:
        """The weight that no layer shows."""
        return f"smoothness={self.smoothness}"


FAMILY = Registration
