"""Image-to-image adversarial networks: a U-Net whose answers are to pass as real images."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from automed.sample import SampleSpec
from automed.space import real

from ._adversarial import AdversarialFamily, Contestant, Discriminator
from .unet import UNet


@dataclass(frozen=True, kw_only=True)
class GAN(UNet, AdversarialFamily):
    """A U-Net learns an image's loss and to deceive a discriminator of patches beside the input.

    The recipe "adversarial" trains both; the U-Net alone is exported. There is no dropout at
    inference, so that the same image gives the same answer.

    Source: Isola et al. 2017, arXiv:1611.07004; for low-dose CT: Wolterink et al. 2017,
    doi:10.1109/TMI.2017.2708987.
    """

    recipe: ClassVar[str] = "adversarial"
    problems: ClassVar[tuple[str, ...]] = ("reconstruction",)

    adversarial: float = real(0.03, 3.0, log=True, default=0.3)
    """Weight of the adversarial loss beside the image's own; see `adversary`."""

    def build(self, sample: SampleSpec) -> nn.Module:
        """See `Family.build`."""
        conditions = sum(spec.channels for spec in sample.inputs)
        adversary = self.discriminator(sample, conditions)
        return _Translator(super().build(sample), adversary, self.adversarial)


class _Translator(Contestant):
    """With the weight of the adversarial loss."""

    def __init__(self, network: nn.Module, adversary: Discriminator, adversarial: float) -> None:
        super().__init__(network, adversary)
        self.adversarial = adversarial

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, adversarial={self.adversarial}"


FAMILY = GAN
