"""Quantisation-aware training: a trained network learns to bear int8, whatever target it goes to.

Source: Jacob et al. 2018, arXiv:1712.05877; straight-through gradients: Bengio et al. 2013,
arXiv:1308.3432. Batch norms need no folding here: with a scale an output channel, a weight and the
same weight folded are rounded alike.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from automed.problems import Problem
from automed.training.recipes import Schedule, gradient, kept_weights
from automed.training.tensors import Tensors

RECIPES = ("gradient", "layerwise", "pretrained")
"""Those that end in gradient descent over the whole network."""
SHARE = 0.2
"""Epochs, as a share of those of the full schedule."""
SLOWER = 0.1
"""Learning rate, as a share of that of the full schedule."""
MOMENTUM = 0.01
"""Weight of a batch in the moving averages of its least and largest value."""
CALIBRATION = 64
"""Samples from which the first ranges are taken."""
LEAST_STEP = 1e-8
_BATCH_NORM = nn.modules.batchnorm._BatchNorm
_CONVOLUTION = nn.modules.conv._ConvNd


def quantisation_aware(
    network: nn.Module, recipe: str, tensors: Tensors, problem: Problem, schedule: Schedule
) -> nn.Module | None:
    """A copy of a trained network, fine-tuned while it computes as int8 would.

    Args:
        network: With its trained weights; it stays as it is.
        recipe: How it was trained.
        tensors: What it was trained on.
        problem: What it answers.
        schedule: How it was trained; a small share of that is done, slowly.

    Returns:
        A copy of the network with other weights and no trace of rounding else; None if networks of
        this recipe do not descend a gradient as a whole.

    Raises:
        TrainingFailure: The loss is no number any more.
    """
    if recipe not in RECIPES:
        return None
    settings = schedule.settings
    brief = replace(
        schedule,
        settings=settings.model_copy(update={"learning_rate": settings.learning_rate * SLOWER}),
        full_epochs=max(1, round(schedule.full_epochs * SHARE)),
    )
    tuned = copy.deepcopy(network).to(tensors.device)
    with rounded(tuned):
        _calibrate(tuned, tensors)
        run = gradient.Run(tuned, tensors, problem, brief)
        run.mixed = False  # bfloat16 is coarser than what is to be learnt
        fit = run.train(brief.full_epochs, None)
        tuned.load_state_dict(kept_weights(fit.checkpoint))
    plain = copy.deepcopy(network)
    plain.load_state_dict(tuned.state_dict())
    return plain.eval()


@contextmanager
def rounded(network: nn.Module) -> Iterator[None]:
    """Convolutions and linear layers round their inputs and weights to int8; batch norms rest."""
    norms = [m for m in network.modules() if isinstance(m, _BATCH_NORM)]
    layers = [m for m in network.modules() if isinstance(m, _CONVOLUTION | nn.Linear)]
    hooks = [norm.register_forward_pre_hook(_rest) for norm in norms]
    for layer in layers:
        layer.add_module("rounded_input", RoundedValues().to(layer.weight.device))
        hooks.append(layer.register_forward_pre_hook(_round_input))
        output = 1 if isinstance(layer, nn.modules.conv._ConvTransposeNd) else 0
        parametrize.register_parametrization(layer, "weight", RoundedWeight(output))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for layer in layers:
            del layer.rounded_input
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)


class RoundedWeight(nn.Module):
    """A weight with 127 steps to either side of 0 for each output channel."""

    def __init__(self, output: int) -> None:
        super().__init__()
        self.output = output

    def forward(self, weight: Tensor) -> Tensor:
        """The weight as int8 holds it."""
        rest = [axis for axis in range(weight.ndim) if axis != self.output]
        step = (weight.detach().abs().amax(rest) / 127).clamp(min=LEAST_STEP)
        zero = torch.zeros_like(step, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weight, step, zero, self.output, -127, 127)


class RoundedValues(nn.Module):
    """Values in 256 steps over a range that holds 0, a moving average while training."""

    low: Tensor
    high: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("low", torch.tensor(torch.inf))
        self.register_buffer("high", torch.tensor(-torch.inf))

    def forward(self, x: Tensor) -> Tensor:
        """The values as uint8 holds them."""
        if self.training:
            for known, seen in zip((self.low, self.high), torch.aminmax(x.detach()), strict=True):
                known.copy_(torch.where(known.isfinite(), known.lerp(seen, MOMENTUM), seen))
        low, high = self.low.clamp(max=0), self.high.clamp(min=0)
        step = ((high - low) / 255).clamp(min=LEAST_STEP)
        zero = (-low / step).round().int()
        return torch.fake_quantize_per_tensor_affine(x, step, zero, 0, 255)


def _round_input(layer: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
    return layer.rounded_input(given[0]), *given[1:]


def _rest(norm: nn.Module, given: tuple[Any, ...]) -> None:
    norm.eval()


@torch.no_grad()
def _calibrate(network: nn.Module, tensors: Tensors) -> None:
    """Take the first ranges from training samples, without dropout."""
    network.eval()
    for module in network.modules():
        if isinstance(module, RoundedValues):
            module.train()
    network(*tensors.laid_out(tensors.train.rows(slice(CALIBRATION))))
