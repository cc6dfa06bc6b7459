"""Autoencoders: an image through a narrow code and back, without anything handed across."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from monai.networks.layers.factories import Conv
from torch import Tensor, nn

from automed.sample import SampleSpec
from automed.space import choice, integer, real

from ._blocks import Layers
from ._conv import Convolutional
from ._encoder_decoder import cropped

TINY = 1e-8
"""Added to the mean square of a code, which may be all zero."""


@dataclass(frozen=True, kw_only=True)
class Autoencoder(Convolutional):
    """Stages of convolutions down to a code, and stages up from it alone.

    The code has `latent` numbers at every place of the coarsest stage; no stage is smaller than
    two pixels an axis.

    Source: Hinton and Salakhutdinov 2006, doi:10.1126/science.1127647; denoising: Vincent et al.
    2008, doi:10.1145/1390156.1390294; sparse: Hoyer 2004, JMLR 5:1457; variational: Kingma and
    Welling 2014, arXiv:1312.6114, with the weight of Higgins et al. 2017, beta-VAE, ICLR.
    """

    problems: ClassVar[tuple[str, ...]] = ("reconstruction", "anomaly")
    dims: ClassVar[tuple[int, ...]] = (1, 2, 3)

    stages: int = integer(2, 4, default=3)
    """Resolutions the blocks work at; each has half the pixels an axis of the one before."""
    latent: int = integer(1, 16, default=4)
    """Numbers at each place of the code."""
    kind: str = choice("plain", "denoising", "sparse", "variational", default="denoising")
    """What keeps the code from being a copy, beside its size; see `strength`."""
    strength: float = real(0.003, 0.3, log=True, default=0.03)
    """Of the kind: the standard deviation of the noise given to the encoder alone, as a share of
    the window; the weight of the code's lack of sparseness; or that of its divergence a pixel,
    beta. It is nothing to a plain one.
    """
    residual: bool = choice(False, True)
    """Whether every stage adds to its input."""
    norm: str = choice("batch", "instance")
    """Whose statistics normalise: the batch's, free of cost at inference, or each image's own."""
    upsampling: str = choice("nearest", "linear", "transposed", default="linear")
    """Interpolation behind a 1x1 convolution, or a transposed convolution."""

    def build(self, sample: SampleSpec) -> nn.Module:
        """The untrained network: windowed image (N, C, *size) in, an image (N, K, *size) out."""
        layers = self.layers(sample.dims, self.norm)
        stages = min(self.stages, min(sample.image.size).bit_length() - 1)
        widths = [self.channels(stage) for stage in range(stages)]
        inputs = [sample.image.channels, *widths]
        down = [
            nn.Sequential(
                layers.halve() if stage else nn.Identity(),
                self._stage(layers, inputs[stage], widths[stage]),
            )
            for stage in range(stages)
        ]
        up = [
            nn.Sequential(
                layers.double(coarse, fine, self.upsampling), self._stage(layers, fine, fine)
            )
            for coarse, fine in zip(widths[:0:-1], widths[-2::-1], strict=True)
        ]
        strength = {self.kind: self.strength}
        conv = Conv["conv", sample.dims]
        code: nn.Module = Code(conv(widths[-1], self.latent, 1), strength.get("sparse", 0.0))
        if self.kind == "variational":
            moments = conv(widths[-1], 2 * self.latent, 1)
            code = GaussianCode(moments, self.strength / math.prod(sample.image.shape))
        return AutoencoderNetwork(
            noise=Noise(strength.get("denoising", 0.0)),
            down=down,
            code=code,
            up=[layers.pointwise(self.latent, widths[-1]), *up],
            head=conv(widths[0], sample.target.channels, 1),
            features=widths[-1],
        )

    def _stage(self, layers: Layers, inputs: int, outputs: int) -> nn.Module:
        return layers.stage(inputs, outputs, self.depth, residual=self.residual)


class AutoencoderNetwork(nn.Module):
    """An image (N, K, *size) through a code; while training with the code's penalty.

    Attributes:
        features: Channels of the encoder's last stage.
    """

    def __init__(
        self,
        noise: nn.Module,
        down: Sequence[nn.Module],
        code: nn.Module,
        up: Sequence[nn.Module],
        head: nn.Module,
        features: int,
    ) -> None:
        super().__init__()
        self.noise, self.down, self.code = noise, nn.ModuleList(down), code
        self.up, self.head = nn.ModuleList(up), head
        self.features = features

    def forward(self, x_NCS: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """The image, and while training the penalty, see `Family.build`."""
        grids = []
        y_NCS = self.noise(x_NCS)
        for stage in self.down:
            y_NCS = stage(y_NCS)
            grids.append(y_NCS)
        y_NCS, penalty = self.code(y_NCS)
        for stage, grid_NCS in zip(self.up, reversed(grids), strict=True):
            y_NCS = cropped(stage(y_NCS), grid_NCS.shape[2:])
        raw_NKS: Tensor = self.head(y_NCS)
        return (raw_NKS, penalty) if self.training else raw_NKS


class Noise(nn.Module):
    """Gaussian noise of this standard deviation, while training."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.deviation = deviation

    def forward(self, x_NCS: Tensor) -> Tensor:
        """The input, noisy while training."""
        if not self.training or self.deviation == 0.0:
            return x_NCS
        return x_NCS + self.deviation * torch.randn_like(x_NCS)

    def extra_repr(self) -> str:
        """How much of it."""
        return f"deviation={self.deviation}"


class Code(nn.Module):
    """A code (N, Z, *places), and how far from sparse it is, times a weight.

    That is the ratio of the mean of its sizes to the root of the mean of their squares: 1 where all
    are equal, near 0 where few stand out. Scaling a code down, unlike a sum, does not lower it.
    """

    def __init__(self, conv: nn.Module, weight: float) -> None:
        super().__init__()
        self.conv, self.weight = conv, weight

    def forward(self, x_NCS: Tensor) -> tuple[Tensor, Tensor]:
        """Code and penalty."""
        code_NZS: Tensor = self.conv(x_NCS)
        flat_NF = code_NZS.flatten(1).float()
        spread_N = (flat_NF.square().mean(1) + TINY).sqrt()
        return code_NZS, self.weight * (flat_NF.abs().mean(1) / spread_N).mean()

    def extra_repr(self) -> str:
        """The weight."""
        return f"weight={self.weight}"


class GaussianCode(nn.Module):
    """A code drawn from a Gaussian, and the divergence of that from the standard one, weighted.

    What is drawn while training is the mean at inference.
    """

    def __init__(self, moments: nn.Module, weight: float) -> None:
        super().__init__()
        self.moments, self.weight = moments, weight

    def forward(self, x_NCS: Tensor) -> tuple[Tensor, Tensor]:
        """Code and penalty."""
        mean_NZS, log_variance_NZS = self.moments(x_NCS).float().chunk(2, dim=1)
        divergence_NZS = mean_NZS.square() + log_variance_NZS.exp() - 1 - log_variance_NZS
        penalty = self.weight * 0.5 * divergence_NZS.flatten(1).sum(1).mean()
        if self.training:
            deviation_NZS = (0.5 * log_variance_NZS).exp()
            mean_NZS = mean_NZS + deviation_NZS * torch.randn_like(mean_NZS)
        return mean_NZS, penalty

    def extra_repr(self) -> str:
        """The weight."""
        return f"weight={self.weight}"


FAMILY = Autoencoder
