"""A split data set as tensors on the training device, windowed once, never again per trial."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from automed.data.dataset import Dataset
from automed.exporters.deployed import windowed
from automed.sample import SampleSpec


@dataclass(frozen=True, kw_only=True)
class Part:
    """Images (N, C, *size) in [0, 1] and labels (N,), as tensors on one device."""

    images: torch.Tensor
    labels: torch.Tensor
    labels_on_host: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Tensors:
    """The training and the validation part."""

    sample: SampleSpec
    train: Part
    val: Part

    @property
    def device(self) -> torch.device:
        """Where the tensors lie, and so where networks train."""
        return self.train.images.device

    @property
    def memory_format(self) -> torch.memory_format:
        """Channels last where it is faster: in 2D everywhere, in 3D on a GPU."""
        if self.sample.dims == 2:
            return torch.channels_last
        on_gpu = self.device.type == "cuda"
        return torch.channels_last_3d if on_gpu else torch.contiguous_format


def training_device() -> torch.device:
    """The process's current CUDA device if there is one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def device_name() -> str:
    """The training device in words."""
    device = training_device()
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def tensors(train: Dataset, val: Dataset, device: torch.device) -> Tensors:
    """Two parts as tensors on a device."""
    return Tensors(sample=train.sample, train=_part(train, device), val=_part(val, device))


def _part(data: Dataset, device: torch.device) -> Part:
    raw = torch.from_numpy(np.ascontiguousarray(data.images, dtype=np.float32))
    labels = np.asarray(data.labels, dtype=np.int64)
    return Part(
        images=windowed(raw, data.sample.image.window).to(device),
        labels=torch.from_numpy(labels).to(device),
        labels_on_host=labels,
    )
