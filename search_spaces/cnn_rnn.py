"""Convolutions that read an image piece by piece, and a recurrence over what they saw."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from automed.sample import SampleSpec
from automed.space import choice, integer

from ._blocks import own_scale
from .vgg import VGG


@dataclass(frozen=True, kw_only=True)
class CNNRNN(VGG):
    """One plain encoder for every piece, an LSTM or GRU along the pieces, and what they add up to.

    In 3D the pieces are the slices along the first axis, each read by the same 2D encoder; in 2D
    the columns of the feature map, averaged over its rows; in 1D its places.

    Source: Donahue et al. 2015, arXiv:1411.4389; columns: Shi et al. 2015, arXiv:1507.05717;
    LSTM: Hochreiter and Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735; GRU: Cho et al. 2014,
    arXiv:1406.1078.
    """

    volume: ClassVar[str] = "3d"  # type: ignore[misc] # a volume is read slice by slice
    stem: str = choice("stride4", "stride2", "full", default="stride2")
    """As everywhere; it also shortens the sequence where pieces are places of the feature map."""
    cell: str = choice("gru", "lstm")
    """Kind of recurrent layer: two gates, or three and a state of its own."""
    units: int = integer(16, 96, step=16, default=48)
    """Units of a recurrent layer, in each direction."""
    recurrent_layers: int = integer(1, 2)
    """Recurrent layers, one on top of the other."""
    bidirectional: bool = choice(False, True, default=True)
    """Whether the pieces are read backwards too."""
    over_time: str = choice("last", "mean", "attention", default="mean")
    """What is kept of all pieces: where the reading ends, the mean, or a learnt weighted mean."""

    def build(self, sample: SampleSpec) -> nn.Module:
        """The untrained network: windowed image (N, C, *size) in, logits (N, K) out."""
        image = sample.image
        layers = self.layers(min(2, sample.dims))
        body, features = self.body(layers)
        encoder = nn.Sequential(
            OrderedDict(
                scale=own_scale(image),
                resize=self._resize(image.size[-layers.dims :]),
                stem=layers.stem(self.stem, image.channels, self.channels(0)),
                body=body,
            )
        )
        recurrent = {"gru": nn.GRU, "lstm": nn.LSTM}[self.cell](
            features,
            self.units,
            self.recurrent_layers,
            batch_first=True,
            bidirectional=self.bidirectional,
        )
        states = self.units * (1 + self.bidirectional)
        return nn.Sequential(
            OrderedDict(
                pieces=_Slices(encoder) if sample.dims == 3 else _Places(encoder),
                states=_States(recurrent),
                over_time={"last": _End, "mean": _Mean, "attention": _Attention}[self.over_time](
                    self.units, states
                ),
                dropout=nn.Dropout(self.dropout),
                classifier=nn.Linear(states, sample.target.channels),
            )
        )


class _Slices(nn.Module):
    """Every slice by itself: (N, C, T, H, W) to features (N, T, F)."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x_NCTHW: Tensor) -> Tensor:
        x_NTCHW = x_NCTHW.transpose(1, 2)
        y_BFHW = self.encoder(x_NTCHW.flatten(0, 1))
        y_NTF: Tensor = y_BFHW.mean((2, 3)).unflatten(0, x_NTCHW.shape[:2])
        return y_NTF


class _Places(nn.Module):
    """The image as a whole: (N, C, L) or (N, C, H, W) to features (N, T, F) along the last axis."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x_NCS: Tensor) -> Tensor:
        y_NFS: Tensor = self.encoder(x_NCS)
        y_NFT = y_NFS if y_NFS.ndim == 3 else y_NFS.mean(2)
        return y_NFT.transpose(1, 2)


class _States(nn.Module):
    """The outputs of recurrent layers, without their last states."""

    def __init__(self, recurrent: nn.Module) -> None:
        super().__init__()
        self.recurrent = recurrent

    def forward(self, x_NTF: Tensor) -> Tensor:
        y_NTH: Tensor = self.recurrent(x_NTF)[0]
        return y_NTH


class _End(nn.Module):
    """Where each direction ends: forwards at the last piece, backwards at the first."""

    def __init__(self, units: int, states: int) -> None:
        super().__init__()
        self.units = units

    def forward(self, x_NTH: Tensor) -> Tensor:
        return torch.cat([x_NTH[:, -1, : self.units], x_NTH[:, 0, self.units :]], dim=1)


class _Mean(nn.Module):
    """The mean over all pieces."""

    def __init__(self, units: int, states: int) -> None:
        super().__init__()

    def forward(self, x_NTH: Tensor) -> Tensor:
        return x_NTH.mean(1)


class _Attention(nn.Module):
    """A mean with weights that a small network gives every piece.

    Source: Bahdanau et al. 2014, arXiv:1409.0473, without the decoder's state.
    """

    def __init__(self, units: int, states: int) -> None:
        super().__init__()
        self.score = nn.Sequential(
            nn.Linear(states, units), nn.Tanh(), nn.Linear(units, 1, bias=False)
        )

    def forward(self, x_NTH: Tensor) -> Tensor:
        weight_NT1 = self.score(x_NTH).softmax(dim=1)
        y_NH: Tensor = (weight_NT1 * x_NTH).sum(1)
        return y_NH


FAMILY = CNNRNN
