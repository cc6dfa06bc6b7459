"""Reconstruction: an image from an image; the exported graph returns it in raw units too."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automed.problems import Answer, Plot, Shown, weighted_means, worst_median_best
from automed.sample import SampleSpec, TargetKind, TargetSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

NUM_SHOWN = 1
"""Samples of each kind for the report."""
LEAST_ERROR = 1e-10
"""What a mean square is taken for if it is less: nothing scores above 100 dB."""
SSIM_EXTENT, SSIM_SIGMA = 11, 1.5
"""Pixels an axis of the Gaussian window, and its standard deviation in pixels."""


class Reconstruction:
    """Images (N, C, *size) in training and in the exported graph, which clips them to the window.

    Images and truth lie in the input's window: 0 and 1 are its ends, and what lies beyond them is
    clipped there. Every metric is computed in these units, over all pixels and channels of a
    sample; `reconstruction` is the answer in the input's raw units.
    """

    target: TargetKind = "image"
    outputs: tuple[str, ...] = ("windowed", "reconstruction")
    restored: Mapping[str, int] = {"reconstruction": 0}
    one_class = False
    metrics: Mapping[str, str] = {
        "psnr": "peak signal-to-noise ratio, the window its peak, the mean over samples",
        "ssim": "structural similarity in Gaussian windows of 11 pixels, the window its range",
        "mae": "mean absolute error, as a share of the window",
        "texture": "how much more or less edges and texture, in Laplacian energy, than the truth",
    }
    errors = frozenset({"mae", "texture"})
    units: Mapping[str, str] = {"psnr": "dB", "mae": "share of the window", "texture": "dB"}
    plot = Plot(
        title="Every validation sample",
        x="Peak signal-to-noise ratio in dB",
        y="Structural similarity",
        joined=False,
    )
    classical: tuple[str, ...] = ("identity", "gaussian", "median")

    def loss(self, truth: NDArray[Any], sample: SampleSpec, smoothing: float) -> "nn.Module":
        """Mean absolute error of images in the window.

        Of several outputs (deep supervision), the finest first, each counts half the one before.

        Source: Zhao et al. 2017, Loss functions for image restoration, arXiv:1511.08861.
        """
        from monai.losses import DeepSupervisionLoss
        from torch import nn

        from automed.problems.losses import OfAnswer

        del truth, sample, smoothing
        return OfAnswer(DeepSupervisionLoss(nn.L1Loss()))

    def finish(
        self, raw: "torch.Tensor", *given: "torch.Tensor", sample: SampleSpec
    ) -> "tuple[torch.Tensor, ...]":
        """The image (N, C, *size), clipped to the window, twice: `Deployed` restores the second."""
        del given, sample
        clipped = raw.clamp(0.0, 1.0)
        return clipped, clipped

    def scores(
        self, outputs: NDArray[Any], truth: NDArray[Any], weights: NDArray[Any] | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """Every metric from images and truth, both (N, C, *size) in the window."""
        axes = tuple(range(1, truth.ndim))
        return {
            "psnr": weighted_means(psnr(outputs, truth), weights),
            "ssim": weighted_means(ssim(outputs, truth), weights),
            "mae": weighted_means(np.abs(outputs - truth).mean(axes), weights),
            "texture": weighted_means(np.abs(texture(outputs, truth)), weights),
        }

    def drawn(
        self, outputs: NDArray[Any], truth: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """PSNR and SSIM of every sample."""
        return psnr(outputs, truth), ssim(outputs, truth)

    def shown(
        self, outputs: NDArray[Any], truth: NDArray[Any], target: TargetSpec
    ) -> tuple[Shown, ...]:
        """The worst, the median and the best samples by PSNR: input, answer and truth."""
        del target
        ratio = psnr(outputs, truth)
        return tuple(
            Shown(
                row=row,
                title=title,
                caption=f"PSNR {ratio[row]:.1f} dB: input, answer, truth",
                beside=(outputs[row], truth[row]),
            )
            for row, title in worst_median_best(ratio, NUM_SHOWN)
        )

    def answer(self, outputs: Mapping[str, NDArray[Any]], target: TargetSpec) -> Answer:
        """The image in raw units, and its least, mean and greatest value."""
        del target
        image = outputs["reconstruction"][0].astype(np.float32)
        values = {"least": image.min(), "mean": image.mean(), "greatest": image.max()}
        return Answer(values={k: float(v) for k, v in values.items()}, image=image)


def psnr(outputs: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.float64]:
    """Peak signal-to-noise ratio (N,) in dB of images in [0, 1], of which 1 is the peak."""
    error = np.square(outputs - truth, dtype=np.float64).mean(tuple(range(1, truth.ndim)))
    ratio: NDArray[np.float64] = -10.0 * np.log10(np.maximum(error, LEAST_ERROR))
    return ratio


def ssim(outputs: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.float64]:
    """Structural similarity (N,) of images in [0, 1], the mean over channels and windows.

    Source: Wang et al. 2004, Image quality assessment, doi:10.1109/TIP.2003.819861.
    """
    import torch
    from monai.metrics.regression import compute_ssim_and_cs

    size = truth.shape[2:]
    extents = [SSIM_EXTENT] * len(size)
    if len(size) == 1:  # MONAI's has no 1D: a signal is an image of one row
        size, extents = (1, *size), [1, *extents]
    given, wanted = (
        torch.from_numpy(np.asarray(x, np.float32).reshape(*truth.shape[:2], *size))
        for x in (outputs, truth)
    )
    similar, _ = compute_ssim_and_cs(
        given, wanted, len(size), kernel_size=extents, kernel_sigma=[SSIM_SIGMA] * len(size)
    )
    means: NDArray[np.float64] = similar.flatten(1).double().mean(1).numpy()
    return means


def texture(outputs: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.float64]:
    """Edges and texture (N,) in dB of images in [0, 1]: 0 as in the truth, less if blurred.

    It is the ratio of the variances of the two Laplacians and compares no pixel with another: the
    better an answer's PSNR, the smoother it may well be, which this tells.

    Source: Pech-Pacheco et al. 2000, doi:10.1109/ICPR.2000.903548; why both are needed: Blau and
    Michaeli 2018, The perception-distortion tradeoff, arXiv:1711.06077.
    """
    given, wanted = (np.maximum(_sharpness(x), LEAST_ERROR) for x in (outputs, truth))
    ratio: NDArray[np.float64] = 10.0 * np.log10(given / wanted)
    return ratio


def _sharpness(images: NDArray[Any]) -> NDArray[np.float64]:
    """The variance (N,) over pixels of the Laplacian, the mean over channels."""
    space = tuple(range(2, images.ndim))
    laplacian = np.zeros(images.shape)
    for axis in space:
        beyond = [(int(a == axis),) * 2 for a in range(images.ndim)]
        wide = np.pad(images.astype(np.float64), beyond, mode="edge")
        laplacian += np.diff(wide, n=2, axis=axis)
    spread: NDArray[np.float64] = laplacian.var(space).mean(1)
    return spread


PROBLEM = Reconstruction()
