"""Instance norms that keep their digits in runtimes that add numbers up one by one."""

import copy
from collections.abc import Callable

from torch import Tensor, nn

from automed.exporters.deployed import Deployed

HOW = "instance norms summed in stages"


def staged(model: Deployed) -> Deployed | None:
    """A copy that computes the same with smaller rounding errors; None where there is no norm.

    A sum of ten thousand numbers in single precision is off by some 1e-6 where it is taken in one
    go, and a deep network multiplies that from norm to norm. Runtimes take it in one go inside
    their own instance norms, which are faster: this is for what does not agree with them.
    """
    steady, found = copy.deepcopy(model), False
    for module in [*steady.modules()]:
        for name, child in module.named_children():
            if isinstance(child, nn.InstanceNorm2d | nn.InstanceNorm3d):
                setattr(module, name, Staged(child))
                found = True
    return steady if found else None


def normalised(
    x: Tensor,
    mean: Callable[[Tensor], Tensor],
    eps: float,
    weight: Tensor | None,
    bias: Tensor | None,
) -> Tensor:
    """Features in standard deviations from their mean, scaled and shifted; all broadcast to x."""
    x = x - mean(x)
    y = x * (mean(x * x) + eps).rsqrt()
    if weight is not None:
        y = y * weight
    return y if bias is None else y + bias


class Staged(nn.Module):
    """An instance norm whose sums go over the last axes first and over the first one last."""

    def __init__(self, norm: nn.InstanceNorm2d | nn.InstanceNorm3d) -> None:
        """Another way to compute a norm without running statistics; it keeps its weights."""
        super().__init__()
        self.norm = norm

    def forward(self, x_NCS: Tensor) -> Tensor:
        """Features of the same shape, each channel in its own standard deviations."""
        shape = (1, -1, *(1 for _ in x_NCS.shape[2:]))
        weights = (self.norm.weight, self.norm.bias) if self.norm.affine else (None, None)
        weight, bias = (None if w is None else w.view(shape) for w in weights)
        return normalised(x_NCS, _mean, self.norm.eps, weight, bias)


def _mean(x_NCS: Tensor) -> Tensor:
    """The mean over space, as a sum of means: two means in a row would be made one again."""
    within = tuple(range(3, x_NCS.ndim))
    return x_NCS.mean(within, keepdim=True).sum(2, keepdim=True) / x_NCS.shape[2]
