"""What tells abnormal images without a network: their brightness, and a linear code."""

from typing import Any

import torch
from torch import Tensor, nn

from automed.baselines.export import exported
from automed.data.dataset import Dataset
from automed.data.units import in_window
from automed.problems.anomaly import PROBLEM

NUM_COMPONENTS = 32


def mean_intensity(train: Dataset, seed: int) -> bytes:
    """How far the mean of an image's window is from that of the training part, channel by channel.

    Args:
        train: Images (N, C, *size) of the normal class.
        seed: Not used: nothing is drawn.
    """
    del seed
    images_NCS = torch.from_numpy(in_window(train.images, train.sample.image))
    return exported(AsBright(images_NCS.transpose(0, 1).flatten(1).mean(1)), train.sample, PROBLEM)


def pca(train: Dataset, seed: int) -> bytes:
    """What the first NUM_COMPONENTS principal components of the training part leave of an image."""
    from sklearn.decomposition import PCA

    images_NF = in_window(train.images, train.sample.image).reshape(len(train), -1)
    count = min(NUM_COMPONENTS, *images_NF.shape)
    model: Any = PCA(count, svd_solver="randomized", random_state=seed).fit(images_NF)
    mean_F, parts_KF = (torch.from_numpy(x).float() for x in (model.mean_, model.components_))
    return exported(Projection(mean_F, parts_KF), train.sample, PROBLEM)


class AsBright(nn.Module):
    """Images (N, C, *size) shifted to means (C,), so that they differ by how bright they were."""

    def __init__(self, mean_C: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean_C", mean_C)

    def forward(self, x_NCS: Tensor) -> Tensor:
        """Images of those means."""
        axes = tuple(range(2, x_NCS.ndim))
        wanted = self.get_buffer("mean_C").reshape(1, -1, *(1 for _ in axes))
        return x_NCS - x_NCS.mean(axes, keepdim=True) + wanted


class Projection(nn.Module):
    """Images (N, C, *size) on the plane through a mean (F,) that components (K, F) span."""

    def __init__(self, mean_F: Tensor, parts_KF: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean_F", mean_F)
        self.register_buffer("parts_KF", parts_KF)

    def forward(self, x_NCS: Tensor) -> Tensor:
        """What the components keep."""
        mean_F, parts_KF = self.get_buffer("mean_F"), self.get_buffer("parts_KF")
        kept_NF = (x_NCS.flatten(1) - mean_F) @ parts_KF.T @ parts_KF + mean_F
        return kept_NF.reshape(x_NCS.shape)
