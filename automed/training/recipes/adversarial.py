"""Gradient descent on a problem's loss and on what a discriminator makes of the answers."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from automed.problems import Problem
from automed.training.adversary import Adversary
from automed.training.recipes import Fit, Schedule, gradient
from automed.training.tensors import Tensors


def train(
    network: nn.Module,
    tensors: Tensors,
    problem: Problem,
    schedule: Schedule,
    *,
    epochs: int,
    checkpoint: bytes | None = None,
) -> Fit:
    """See `Recipe.train`; without an adversary it is the gradient recipe.

    The network offers `adversary`, whose `build` makes the discriminator and whose `loss` names
    how the two compete, and `adversarial`, the weight of that. It answers with images; only its own
    weights are kept.

    Source: Isola et al. 2017, Image-to-image translation with conditional adversarial networks,
    arXiv:1611.07004.
    """
    offered: Any = network
    run = gradient.Run if offered.adversary.loss == "none" else _Run
    return run(network, tensors, problem, schedule).train(epochs, checkpoint)


class _Run(gradient.Run):
    """The step of the discriminator comes first, on the same batch and answer."""

    def __init__(
        self, network: nn.Module, tensors: Tensors, problem: Problem, schedule: Schedule
    ) -> None:
        super().__init__(network, tensors, problem, schedule)
        offered: Any = network
        with torch.random.fork_rng():
            torch.manual_seed(schedule.seed)
            discriminator = offered.adversary.build()
        self.adversary = Adversary(discriminator, offered.adversary.loss, tensors.device)
        self.weight = float(offered.adversarial)

    def cost(self, given: tuple[torch.Tensor, ...], truth: torch.Tensor) -> torch.Tensor:
        """The problem's loss and the weighted adversarial one, of the finest answer."""
        with self.autocast():
            answer = self.network(*given)
            own = gradient.cost(self.loss, answer, truth, given)
        made = answer[0] if isinstance(answer, tuple | list) else answer
        condition = torch.cat(given, dim=1)
        self.adversary.learn(condition, truth, made.float())
        return own + self.weight * self.adversary.fooled(condition, made.float())

    def state(self) -> dict[str, Any]:
        """Everything that continuing needs, of both sides."""
        return {**super().state(), "adversary": self.adversary.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` gave."""
        super().restore(state)
        self.adversary.restore(state["adversary"])
