"""Deep belief nets: machines trained one upon the other, then taught together."""

from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from automed.sample import SampleSpec

from ._boltzmann import Boltzmann, BoltzmannFamily, RestrictedBoltzmann


@dataclass(frozen=True, kw_only=True)
class DBN(BoltzmannFamily):
    """Restricted Boltzmann machines, each trained on what the one below infers.

    Source: Hinton, Osindero and Teh 2006, doi:10.1162/neco.2006.18.7.1527.
    """

    def build(self, sample: SampleSpec) -> nn.Module:
        """See `Family.build`."""
        visible, count = self.visible(sample)
        machines = [
            RestrictedBoltzmann(below, above, gaussian=number == 0)
            for number, (below, above) in enumerate(pairwise([count, *self.units()]))
        ]
        classifier = nn.Linear(self.units()[-1], sample.target.channels)
        return Boltzmann(
            visible, machines, classifier, steps=self.gibbs_steps, rounds=self.pretraining
        )


FAMILY = DBN
