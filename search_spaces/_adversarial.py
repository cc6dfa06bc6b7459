"""What families share that learn against a discriminator, which is no part of their network."""

from dataclasses import dataclass

from monai.networks.nets import PatchDiscriminator
from torch import Tensor, nn

from automed.family import Family
from automed.sample import SampleSpec
from automed.space import choice, integer


@dataclass(frozen=True, kw_only=True)
class Discriminator:
    """How a discriminator of patches is made and what it learns by.

    Attributes:
        loss: "none", or "bce" or "least_squares", see `training.adversary`.
        dims: Spatial dimensions.
        channels: Of what it judges.
        width: Channels of its first convolution.
        layers: Convolutions after that, all but the last of stride 2.
    """

    loss: str
    dims: int
    channels: int
    width: int
    layers: int

    def build(self) -> nn.Module:
        """Untrained: (N, channels, *size) to a list, the scores (N, 1, *patches) last."""
        made: nn.Module = PatchDiscriminator(
            self.dims, self.width, self.channels, 1, self.layers, last_conv_kernel_size=3
        )
        return made


@dataclass(frozen=True, kw_only=True)
class AdversarialFamily(Family):
    """The discriminator's share of a space; it costs nothing at inference."""

    adversary: str = choice("none", "bce", "least_squares", default="least_squares")
    """What the discriminator learns by, see `training.adversary`; without one the rest of this is
    nothing.
    """
    adversary_width: int = integer(8, 32, step=8, default=16)
    """Channels of the discriminator's first convolution, doubled by every further one."""
    adversary_layers: int = integer(1, 3, default=2)
    """Further convolutions of the discriminator: the more, the larger the patches it judges."""

    def discriminator(self, sample: SampleSpec, conditions: int) -> Discriminator:
        """Of images beside so many channels that they were made from."""
        largest = min(sample.image.size).bit_length() - 2  # a patch is one score at least
        return Discriminator(
            loss=self.adversary,
            dims=sample.dims,
            channels=conditions + sample.image.channels,
            width=self.adversary_width,
            layers=max(1, min(self.adversary_layers, largest)),
        )


class Contestant(nn.Module):
    """A network, beside what its recipe needs to train it against an adversary.

    That is no module of it: it is neither counted, nor exported, nor kept.
    """

    def __init__(self, network: nn.Module, adversary: Discriminator) -> None:
        super().__init__()
        self.network, self.adversary = network, adversary

    def forward(self, *inputs: Tensor) -> Tensor | list[Tensor]:
        answer: Tensor | list[Tensor] = self.network(*inputs)
        return answer

    def extra_repr(self) -> str:
        return repr(self.adversary)
