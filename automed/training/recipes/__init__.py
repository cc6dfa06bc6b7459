"""Ways of training. A recipe answers `train`; a family names the recipe that fits it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from automed.problems import Problem
from automed.task import Training

if TYPE_CHECKING:
    import torch
    from torch import nn

    from automed.training.tensors import Tensors


class TrainingFailure(Exception):  # noqa: N818 - it is an outcome, not a bug
    """Training that cannot go on; its message is the trial's reason."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What training gave.

    Attributes:
        scores: Validation metrics at the kept epoch.
        curve: One mapping an epoch: epoch, loss and validation metrics.
        epochs: Epochs trained so far.
        finished: Full fidelity was reached, or the early stop.
        checkpoint: The kept weights when finished, else all that is needed to continue.
    """

    scores: Mapping[str, float]
    curve: tuple[Mapping[str, float], ...]
    epochs: int
    finished: bool
    checkpoint: bytes


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How a network is to be trained, and by what it is judged.

    Attributes:
        settings: The task's hyperparameters.
        score: The validation metric by which epochs are chosen.
        full_epochs: Epochs of the whole schedule, which learning rates follow.
        seed: Of the order of samples, augmentation and dropout.
    """

    settings: Training
    score: str
    full_epochs: int
    seed: int


class Recipe(Protocol):
    """One way of training."""

    def train(
        self,
        network: "nn.Module",
        tensors: "Tensors",
        problem: Problem,
        schedule: Schedule,
        *,
        epochs: int,
        checkpoint: bytes | None = None,
    ) -> Fit:
        """Train up to `epochs` of the schedule, from a checkpoint if there is one.

        Paused and continued training gives what uninterrupted training gives, bit for bit on CPU.

        Raises:
            TrainingFailure: The loss is no number any more.
        """


def saved(content: Mapping[str, Any]) -> bytes:
    """A checkpoint: the key `kept` holds the weights to keep, others what the recipe needs."""
    import io

    import torch

    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    return buffer.getvalue()


def unpacked(checkpoint: bytes, device: "str | torch.device" = "cpu") -> dict[str, Any]:
    """What a recipe saved; foreign objects are not unpickled."""
    import io

    import torch

    loaded: dict[str, Any] = torch.load(
        io.BytesIO(checkpoint), weights_only=True, map_location=device
    )
    return loaded


def kept_weights(checkpoint: bytes) -> dict[str, Any]:
    """The state dict to keep of what a recipe saved."""
    weights: dict[str, Any] = unpacked(checkpoint)["kept"]
    return weights
