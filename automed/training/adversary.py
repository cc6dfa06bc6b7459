"""A discriminator that learns beside a generator, whatever the two are shown."""

from collections.abc import Mapping
from typing import Any

import torch
from monai.losses import PatchAdversarialLoss
from torch import Tensor, nn

RATE = 1e-3
"""Learning rate of Adam, for discriminators and for generators that have no other loss."""
BETAS = (0.5, 0.999)
"""Decays of Adam's moments; the first is low because the loss moves (Radford et al. 2015)."""


class Adversary:
    """A discriminator, its optimizer and its loss.

    Each image is judged beside what it was made from, the condition, place by place.

    Source: Goodfellow et al. 2014, arXiv:1406.2661 ("bce", non-saturating); Mao et al. 2017,
    arXiv:1611.04076 ("least_squares"); conditions: Mirza and Osindero 2014, arXiv:1411.1784;
    patches: Isola et al. 2017, arXiv:1611.07004.
    """

    def __init__(self, discriminator: nn.Module, loss: str, device: torch.device) -> None:
        """Make it ready.

        Args:
            discriminator: From (N, conditions + channels, *size) to a list, scores of patches last.
            loss: "bce" or "least_squares".
            device: Where it learns.
        """
        self.discriminator = discriminator.to(device).train()
        self.loss = PatchAdversarialLoss(criterion=loss, no_activation_leastsq=True)
        self.optimizer = adam(discriminator)

    def learn(self, condition_NCS: Tensor, real_NCS: Tensor, made_NCS: Tensor) -> None:
        """One step towards telling the real images from those that were made."""
        self.discriminator.requires_grad_(True)
        real = self.loss(self._scores(condition_NCS, real_NCS), True, True)
        made = self.loss(self._scores(condition_NCS, made_NCS.detach()), False, True)
        self.optimizer.zero_grad(set_to_none=True)
        (0.5 * (real + made)).backward()
        self.optimizer.step()

    def fooled(self, condition_NCS: Tensor, made_NCS: Tensor) -> Tensor:
        """The generator's loss: how far the images it made are from passing as real."""
        self.discriminator.requires_grad_(False)
        loss: Tensor = self.loss(self._scores(condition_NCS, made_NCS), True, False)
        return loss

    def state(self) -> dict[str, Any]:
        """Everything that continuing needs."""
        return {
            "discriminator": self.discriminator.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` gave."""
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimizer.load_state_dict(state["optimizer"])

    def _scores(self, condition_NCS: Tensor, image_NCS: Tensor) -> Tensor:
        scores: Tensor = self.discriminator(torch.cat([condition_NCS, image_NCS], dim=1))[-1]
        return scores.float()  # binary cross-entropy has no half precision


def adam(network: nn.Module) -> torch.optim.Adam:
    """What both sides of a contest descend by."""
    return torch.optim.Adam(network.parameters(), lr=RATE, betas=BETAS, fused=True)
