"""Deep Boltzmann machines: every layer hears from below and from above."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from automed.sample import SampleSpec
from automed.space import integer

from ._boltzmann import Boltzmann, BoltzmannFamily, RestrictedBoltzmann


@dataclass(frozen=True, kw_only=True)
class DBM(BoltzmannFamily):
    """Layers linked both ways, inferred by mean field, a fixed number of rounds unrolled.

    Pre-trained greedily with what a layer will hear from its other side doubled in, then taught
    by gradient through the mean field; the paper's joint sampling in between is left out.

    Source: Salakhutdinov and Hinton 2009, Deep Boltzmann machines, AISTATS, PMLR 5:448-455.
    """

    mean_field: int = integer(1, 5, default=3)
    """Rounds of mean-field updates."""

    def build(self, sample: SampleSpec) -> nn.Module:
        """See `Family.build`."""
        visible, count = self.visible(sample)
        last = self.machines - 1
        machines = [
            RestrictedBoltzmann(
                below,
                above,
                gaussian=number == 0,
                up=1.0 if number == last else 2.0,
                down=1.0 if number == 0 else 2.0,
            )
            for number, (below, above) in enumerate(pairwise([count, *self.units()]))
        ]
        return _MeanField(
            visible,
            machines,
            nn.Linear(sum(self.units()), sample.target.channels),
            steps=self.gibbs_steps,
            rounds=self.pretraining,
            updates=self.mean_field,
        )


class _MeanField(Boltzmann):
    """Means of all hidden units, each given those of its neighbours."""

    def __init__(
        self,
        visible: nn.Module,
        machines: list[RestrictedBoltzmann],
        head: nn.Module,
        *,
        steps: int,
        rounds: int,
        updates: int,
    ) -> None:
        super().__init__(visible, machines, head, steps=steps, rounds=rounds)
        self.updates = updates

    def infer(self, v_NV: Tensor) -> Tensor:
        """Mean-field means of every layer, joined: (N, all hidden units)."""
        stack, layers = self.stack, [v_NV]
        for machine in stack:
            layers.append(machine(layers[-1]))
        for _ in range(self.updates):
            for number, machine in enumerate(stack):
                heard = machine.link(layers[number])
                if number + 1 < len(stack):
                    heard = heard + layers[number + 2] @ stack[number + 1].link.weight
                layers[number + 1] = heard.sigmoid()
        return torch.cat(layers[1:], dim=1)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, updates={self.updates}"


FAMILY = DBM
