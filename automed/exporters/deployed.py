"""What is shipped: windowing, network and final activation in one graph, fed with raw values."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from automed.sample import LEAST_SPREAD, InputSpec, SampleSpec


class Answers(Protocol):
    """What of a `problems.Problem` goes into the graph."""

    outputs: tuple[str, ...]
    restored: Mapping[str, int]

    def finish(
        self, raw: torch.Tensor, *given: torch.Tensor, sample: SampleSpec
    ) -> tuple[torch.Tensor, ...]:
        """Final outputs from the network's raw output and its inputs."""


class Deployed(nn.Module):
    """A network that takes raw values in the units of its inputs and returns final outputs.

    The network itself resizes where its architecture says so, so that is in the graph too.
    """

    def __init__(
        self,
        network: nn.Module,
        sample: SampleSpec,
        problem: Answers,
    ) -> None:
        """A network, what one sample of it holds, and the problem it answers."""
        super().__init__()
        self.network = network
        self.output_names = problem.outputs
        self._sample, self._problem = sample, problem

    def forward(self, *raw: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The outputs named by `output_names`, from the inputs (N, C, *size) in order."""
        specs, problem = self._sample.inputs, self._problem
        given = [ready(x, spec) for x, spec in zip(raw, specs, strict=True)]
        finished = problem.finish(self.network(*given), *given, sample=self._sample)
        images = [pair for pair in zip(raw, specs, strict=True) if pair[1].kind == "image"]
        return tuple(
            in_raw_units(y, *images[problem.restored[name]]) if name in problem.restored else y
            for name, y in zip(problem.outputs, finished, strict=True)
        )

    @torch.inference_mode()
    def outputs(self, raw: Sequence[NDArray[np.generic]], batch: int = 64) -> NDArray[np.float32]:
        """The first output for raw inputs (N, C, *size), computed where the network lies."""
        self.eval()
        device = next(self.parameters()).device
        given = []
        for start in range(0, len(raw[0]), batch):
            rows = (x[start : start + batch].astype(np.float32) for x in raw)
            given.append(self(*(torch.from_numpy(x).to(device) for x in rows))[0].cpu())
        return torch.cat(given).numpy()


def ready(raw: torch.Tensor, spec: InputSpec) -> torch.Tensor:
    """What a network takes: images windowed, tables as they are."""
    if spec.kind != "image":
        return raw
    return windowed(standardised(raw) if spec.standardised else raw, spec.window)


def standardised(raw: torch.Tensor) -> torch.Tensor:
    """Each channel of each image in standard deviations from its own mean."""
    mean, spread = _scale(raw)
    return (raw - mean) / spread


def windowed(raw: torch.Tensor, window: tuple[float, float]) -> torch.Tensor:
    """Raw values mapped so that the window's ends become 0 and 1, and clipped there."""
    low, high = window
    return ((raw - low) * (1.0 / (high - low))).clamp(0.0, 1.0)


def in_raw_units(values: torch.Tensor, raw: torch.Tensor, spec: InputSpec) -> torch.Tensor:
    """Values in the window of an image, (N, C, *size), back in the units that image came in."""
    low, high = spec.window
    values = values * (high - low) + low
    if not spec.standardised:
        return values
    mean, spread = _scale(raw)
    return values * spread + mean


def _scale(raw: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of each channel of each image."""
    axes = tuple(range(2, raw.ndim))
    mean = raw.mean(axes, keepdim=True)
    spread = (raw - mean).square().mean(axes, keepdim=True).sqrt().clamp(min=LEAST_SPREAD)
    return mean, spread
