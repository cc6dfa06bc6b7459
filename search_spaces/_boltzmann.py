"""Restricted Boltzmann machines, the parts that deep belief nets and Boltzmann machines stack.

The review this project follows writes the energy of units s as E = sum w_ij s_i s_j + sum
theta_i s_i. Here, as in the papers, both sums carry a minus, so that the probability exp(-E) is
high where linked units agree: the review's weights and biases are the negatives of these.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from automed.family import Family
from automed.sample import SampleSpec
from automed.space import choice, integer

from ._blocks import row_of

MOMENTUM = 0.5
DECAY = 1e-4
BOUND = 4.0
"""Standard deviations that a dream of Gaussian units keeps within: without it, a machine whose
units all agree dreams ever brighter, until its weights are infinite."""


class RestrictedBoltzmann(nn.Module):
    """Visible and hidden units, linked across only.

    E(v, h) = -h'Wv - b'v - c'h for binary visible units; for Gaussian ones of unit variance
    -b'v becomes |v - b|^2 / 2. The visible biases are needed while pre-training alone.

    Source: Hinton 2002, doi:10.1162/089976602760128018; Gaussian units: Hinton and Salakhutdinov
    2006, doi:10.1126/science.1127647.
    """

    def __init__(
        self, visible: int, hidden: int, *, gaussian: bool, up: float = 1.0, down: float = 1.0
    ) -> None:
        """Draw small weights.

        Args:
            visible: Units below.
            hidden: Units above.
            gaussian: Whether the visible units are real numbers of unit variance.
            up: Factor on what hidden units hear while pre-training, 2 in a Boltzmann machine
                that will also hear from above.
            down: The same of visible units.
        """
        super().__init__()
        self.link = nn.Linear(visible, hidden)
        nn.init.normal_(self.link.weight, std=0.01 if gaussian else 0.1)
        nn.init.zeros_(self.link.bias)
        self.below: Tensor
        self.register_buffer("below", torch.zeros(visible))
        self.gaussian, self.up, self.down = gaussian, up, down

    def forward(self, v_NV: Tensor) -> Tensor:
        """Probabilities (N, H) that hidden units are on."""
        h_NH: Tensor = self.link(v_NV).sigmoid()
        return h_NH

    @torch.no_grad()
    def diverge(self, v_NV: Tensor, steps: int, rate: float, moved: list[Tensor]) -> None:
        """One update by contrastive divergence with so many steps of Gibbs sampling.

        Args:
            v_NV: What the visible units are, probabilities or real numbers.
            steps: Of Gibbs sampling.
            rate: Learning rate.
            moved: The last update of weights and biases, for momentum; changed in place.
        """
        h_NH = seen_NH = self._above(v_NV)
        for _ in range(steps):
            dreamt_NV = self.under(torch.bernoulli(h_NH)).clamp(-BOUND, BOUND)
            h_NH = self._above(dreamt_NV)
        changes = (
            (seen_NH.T @ v_NV - h_NH.T @ dreamt_NV) / len(v_NV) - DECAY * self.link.weight,
            (seen_NH - h_NH).mean(0),
            (v_NV - dreamt_NV).mean(0),
        )
        own = (self.link.weight, self.link.bias, self.below)
        for parameter, last, change in zip(own, moved, changes, strict=True):
            last.mul_(MOMENTUM).add_(rate * change)
            parameter.add_(last)

    def still(self) -> list[Tensor]:
        """No update yet."""
        return [torch.zeros_like(p) for p in (self.link.weight, self.link.bias, self.below)]

    def _above(self, v_NV: Tensor) -> Tensor:
        return (self.up * (v_NV @ self.link.weight.T) + self.link.bias).sigmoid()

    def under(self, h_NH: Tensor) -> Tensor:
        """Means (N, V) of the visible units, given the hidden ones."""
        heard_NV = self.down * (h_NH @ self.link.weight) + self.below
        return heard_NV if self.gaussian else heard_NV.sigmoid()


class Boltzmann(nn.Module):
    """A stack of machines over standardised inputs, and a head over what they infer.

    The recipe "layerwise" trains the machines one after another, then everything by gradient.
    """

    def __init__(
        self,
        visible: nn.Module,
        machines: Sequence[RestrictedBoltzmann],
        head: nn.Module,
        *,
        steps: int,
        rounds: int,
    ) -> None:
        """Put it together.

        Args:
            visible: From the inputs to standardised numbers (N, V).
            machines: From below upwards.
            head: From what `infer` gives to the raw output.
            steps: Of Gibbs sampling an update of the pre-training.
            rounds: Epochs of pre-training of each machine.
        """
        super().__init__()
        self.visible, self.machines = visible, nn.ModuleList(machines)
        self.head = head
        self.steps, self.rounds = steps, rounds

    @property
    def stack(self) -> list[RestrictedBoltzmann]:
        """The machines, from below upwards."""
        return [m for m in self.machines if isinstance(m, RestrictedBoltzmann)]

    def below(self, number: int, *inputs: Tensor) -> Tensor:
        """What the visible units of a machine see while it is pre-trained."""
        units: Tensor = self.visible(*inputs)
        for machine in self.stack[:number]:
            units = machine(units)
        return units

    def infer(self, v_NV: Tensor) -> Tensor:
        """Upwards through every machine."""
        for machine in self.stack:
            v_NV = machine(v_NV)
        return v_NV

    def forward(self, *inputs: Tensor) -> Tensor:
        raw: Tensor = self.head(self.infer(self.visible(*inputs)))
        return raw

    def extra_repr(self) -> str:
        return f"steps={self.steps}, rounds={self.rounds}"


@dataclass(frozen=True, kw_only=True)
class BoltzmannFamily(Family):
    """What deep belief nets and deep Boltzmann machines have in common."""

    recipe: ClassVar[str] = "layerwise"
    dims: ClassVar[tuple[int, ...]] = (0, 1, 2, 3)

    grid: int = choice(8, 16, 24, default=16)
    """Cells an axis that the image is averaged over; each is one visible unit."""
    machines: int = integer(2, 3)
    """Restricted Boltzmann machines in the stack."""
    binary_units: int = integer(64, 512, step=64, default=256)
    """Hidden units of the first; each further one has half."""
    gibbs_steps: int = integer(1, 3)
    """Steps of Gibbs sampling of contrastive divergence."""
    pretraining: int = integer(1, 8, default=4)
    """Epochs of pre-training of each machine, before the gradient's own."""

    def units(self) -> list[int]:
        """Hidden units of every machine."""
        return [max(8, self.binary_units // 2**n) for n in range(self.machines)]

    def visible(self, sample: SampleSpec) -> tuple[nn.Module, int]:
        """From the input to standardised numbers, and how many."""
        row, count = row_of(sample.image, self.grid)
        return nn.Sequential(row, nn.BatchNorm1d(count, affine=False)), count
