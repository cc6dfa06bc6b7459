"""Classifiers whose encoder first learns, as half of an autoencoder, what images look like."""

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor, nn

from automed.family import Family
from automed.sample import SampleSpec, TargetSpec
from automed.space import integer, real

from ._blocks import GlobalMean
from .autoencoder import Autoencoder, AutoencoderNetwork


@dataclass(frozen=True, kw_only=True)
class AutoencoderClassifier(Autoencoder):
    """The encoder of an autoencoder, global average pooling and a linear classifier.

    The autoencoder is trained first, on every image of the training part, labelled or not; then
    its decoder is dropped and the rest is trained by gradient.

    Source: Vincent et al. 2010, Stacked denoising autoencoders, JMLR 11:3371; Erhan et al. 2010,
    Why does unsupervised pre-training help deep learning?, JMLR 11:625.
    """

    recipe: ClassVar[str] = "pretrained"
    problems: ClassVar[tuple[str, ...]] = Family.problems
    dims: ClassVar[tuple[int, ...]] = (2, 3)

    autoencoding: int = integer(0, 16, step=4, default=8)
    """Epochs of the autoencoder before the classifier's own; with 0 there are none."""
    dropout: float = real(0.0, 0.3)
    """Share of features dropped before the classifier."""

    def build(self, sample: SampleSpec) -> nn.Module:
        """The untrained network: windowed image (N, C, *size) in, logits (N, K) out."""
        image = TargetSpec(name="target", kind="image", values=sample.image.channels)
        autoencoder = super().build(replace(sample, targets=(image,)))
        assert isinstance(autoencoder, AutoencoderNetwork)
        classifier = nn.Sequential(
            OrderedDict(
                pool=GlobalMean(),
                dropout=nn.Dropout(self.dropout),
                classifier=nn.Linear(autoencoder.features, sample.target.channels),
            )
        )
        return PretrainedEncoder(autoencoder, classifier, self.autoencoding)


class PretrainedEncoder(nn.Module):
    """An autoencoder's way down, and a classifier over it.

    The whole autoencoder is at hand for the recipe "pretrained" but no part of this module: its
    decoder is neither counted, saved nor exported.
    """

    def __init__(self, autoencoder: AutoencoderNetwork, classifier: nn.Module, rounds: int) -> None:
        super().__init__()
        self.down, self.classifier, self.rounds = autoencoder.down, classifier, rounds
        self._autoencoder = (autoencoder,)

    @property
    def pretext(self) -> nn.Module:
        """What is trained first: the autoencoder."""
        return self._autoencoder[0]

    def forward(self, x_NCS: Tensor) -> Tensor:
        """Logits (N, K)."""
        for stage in self.down:
            x_NCS = stage(x_NCS)
        logits_NK: Tensor = self.classifier(x_NCS)
        return logits_NK

    def extra_repr(self) -> str:
        """What the encoder first was a part of, and for how long."""
        return f"rounds={self.rounds}, pretext={self.pretext}"


FAMILY = AutoencoderClassifier
