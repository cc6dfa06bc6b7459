"""A split data set as tensors on the training device, windowed once, never again per trial."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from automed.data.dataset import Dataset
from automed.exporters.deployed import ready
from automed.sample import SampleSpec


@dataclass(frozen=True, kw_only=True)
class Part:
    """Inputs (N, C, *size), images in [0, 1], and the truth, as tensors on one device."""

    inputs: tuple[torch.Tensor, ...]
    truth: torch.Tensor
    truth_on_host: NDArray[Any]

    def __len__(self) -> int:
        return len(self.truth)

    def rows(self, index: torch.Tensor | slice) -> tuple[torch.Tensor, ...]:
        """The inputs at these positions."""
        return tuple(x[index] for x in self.inputs)


@dataclass(frozen=True, kw_only=True)
class Tensors:
    """The training and the validation part.

    Attributes:
        sample: What one row of them holds.
        train: What networks learn from.
        val: What they are compared on.
        seen: Every input that may be learnt from, those without a label too.
    """

    sample: SampleSpec
    train: Part
    val: Part
    seen: tuple[torch.Tensor, ...]

    @property
    def device(self) -> torch.device:
        """Where the tensors lie, and so where networks train."""
        return self.train.truth.device

    @property
    def memory_format(self) -> torch.memory_format:
        """Channels last where it is faster: in 2D everywhere, in 3D on a GPU."""
        if self.sample.dims == 2:
            return torch.channels_last
        is_3d_on_gpu = self.sample.dims == 3 and self.device.type == "cuda"
        return torch.channels_last_3d if is_3d_on_gpu else torch.contiguous_format

    def laid_out(self, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """Inputs with their images in the memory format."""
        return tuple(
            x.to(memory_format=self.memory_format) if spec.kind == "image" else x
            for x, spec in zip(inputs, self.sample.inputs, strict=True)
        )

    def laid_out_network(self, network: nn.Module) -> nn.Module:
        """The network on the device, its convolutions over the whole image in the memory format.

        Module.to would refuse a network of 2D convolutions for the slices of a volume.
        """
        network = network.to(self.device)
        if self.memory_format is not torch.contiguous_format:
            for weight in network.parameters():
                if weight.ndim == 2 + self.sample.dims:
                    weight.data = weight.data.to(memory_format=self.memory_format)
        return network


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
    learnt = _part(train, device)
    seen = learnt.inputs
    if train.unlabelled is not None:
        bare = _inputs(train.unlabelled, device)
        seen = tuple(torch.cat(both) for both in zip(seen, bare, strict=True))
    return Tensors(sample=train.sample, train=learnt, val=_part(val, device), seen=seen)


def _inputs(data: Dataset, device: torch.device) -> tuple[torch.Tensor, ...]:
    raw = (torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32)) for x in data.given)
    specs = data.sample.inputs
    return tuple(ready(x, spec).to(device) for x, spec in zip(raw, specs, strict=True))


def _part(data: Dataset, device: torch.device) -> Part:
    truth = np.ascontiguousarray(data.truth)
    if truth.dtype.kind in "iu":
        truth = truth.astype(np.int64 if data.sample.target.kind == "label" else np.uint8)
    return Part(
        inputs=_inputs(data, device),
        truth=torch.from_numpy(truth).to(device),
        truth_on_host=truth,
    )
