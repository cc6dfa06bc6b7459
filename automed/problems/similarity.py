"""How well a field lays one image onto another, while it is learnt."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from automed.warp import resized, roughness, warped

IMAGES, LABELS, ROUGHNESS = 10.0, 1.0, 0.02
"""Weights: the squared difference of images in [0, 1] is small beside a Dice."""
LEAST = 1.0
"""Voxels added to both sides of a Dice, for classes that are in neither map."""


class RegistrationLoss(nn.Module):
    """Squared difference of fixed and warped image, Dice of their labels, roughness of the field.

    Source: Balakrishnan et al. 2019, arXiv:1809.05231.
    """

    def __init__(self, size: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self.size, self.num_classes = tuple(size), num_classes

    def forward(self, raw: Tensor | list[Tensor], truth: Tensor, *given: Tensor) -> Tensor:
        """The loss of fields (N, dims, *grid), label maps (N, 2, *size) and two images."""
        fields = raw if isinstance(raw, list) else [raw]
        labels = functional.one_hot(truth.long(), self.num_classes).movedim(-1, 2)[:, :, 1:]
        fixed_NKS, moving_NKS = labels.float().unbind(1)
        channels = given[1].shape[1]
        both_NCS = torch.cat([given[1].float(), moving_NKS], 1)  # one look-up for both
        losses = []
        for number, field in enumerate(fields):
            whole = resized(field.float(), self.size)
            moved = warped(both_NCS, whole, self.size)
            difference = (moved[:, :channels] - given[0]).square().mean()
            loss = IMAGES * difference + LABELS * _apart(moved[:, channels:], fixed_NKS)
            losses.append(0.5**number * (loss + ROUGHNESS * roughness(whole)))
        return torch.stack(losses).sum()


def _apart(moved_NKS: Tensor, fixed_NKS: Tensor) -> Tensor:
    """One less the soft Dice, the mean over samples and classes."""
    space = tuple(range(2, moved_NKS.ndim))
    both = 2 * (moved_NKS * fixed_NKS).sum(space) + LEAST
    return 1 - (both / (moved_NKS.sum(space) + fixed_NKS.sum(space) + LEAST)).mean()
