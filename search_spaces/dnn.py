"""Stacked fully connected layers, for tables, images, and images with a table beside them."""

import math
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from monai.networks.layers.factories import Norm, Pool
from torch import Tensor, nn

from automed.family import Family
from automed.sample import InputSpec, SampleSpec
from automed.space import choice, integer, real

from ._blocks import ACTIVATIONS, GlobalMean, Layers, own_scale


@dataclass(frozen=True, kw_only=True)
class DNN(Family):
    """Every input becomes a row of features; all rows, joined, go through the hidden layers.

    Tables are standardised inside the network, by the statistics of the training part, so that
    the exported graph takes them as they are.

    Source: Gorishniy et al. 2021, arXiv:2106.11959 (its MLP); batch norm: Ioffe and Szegedy 2015,
    arXiv:1502.03167; layer norm: Ba et al. 2016, arXiv:1607.06450.
    """

    dims: ClassVar[tuple[int, ...]] = (0, 1, 2, 3)
    takes_table: ClassVar[bool] = True
    takes_images: ClassVar[bool] = True

    depth: int = integer(1, 3, default=2)
    """Hidden layers."""
    hidden: int = integer(16, 128, step=16, default=64)
    """Units of the first hidden layer."""
    tapering: float = choice(0.25, 0.5, 1.0, default=0.5)
    """Factor on the units from layer to layer."""
    unit_norm: str = choice("none", "batch", "layer", default="batch")
    """What is normalised before an activation: nothing, each unit, or each sample."""
    activation: str = choice("relu", "hardswish", "silu")
    """Non-linearity throughout."""
    dropout: float = real(0.0, 0.3, default=0.1)
    """Share of units dropped behind each hidden layer."""
    embedding: str = choice("pixels", "conv", default="conv")
    """How an image becomes features: averaged to a coarse grid, or by three convolutions."""
    features: int = choice(32, 64, 128, 256, default=64)
    """Features an image becomes; of pixels about so many for each of its channels."""

    def build(self, sample: SampleSpec) -> nn.Module:
        """The untrained network: every input in order in, logits (N, K) out."""
        embeddings, features = zip(*(self._embed(spec) for spec in sample.inputs), strict=True)
        widths = (sum(features), *self.widths())
        hidden = [self._layer(*ends) for ends in pairwise(widths)]
        return _Joined(
            embeddings,
            nn.Sequential(
                OrderedDict(
                    hidden=nn.Sequential(*hidden),
                    classifier=nn.Linear(widths[-1], sample.target.channels),
                )
            ),
        )

    def widths(self) -> list[int]:
        """Units of every hidden layer, four or more."""
        return [max(4, round(self.hidden * self.tapering**n)) for n in range(self.depth)]

    def _layer(self, inputs: int, outputs: int) -> nn.Module:
        norms = {"none": nn.Identity, "batch": nn.BatchNorm1d, "layer": nn.LayerNorm}
        return nn.Sequential(
            nn.Linear(inputs, outputs, bias=self.unit_norm != "batch"),
            norms[self.unit_norm](outputs),
            ACTIVATIONS[self.activation](),
            nn.Dropout(self.dropout),
        )

    def _embed(self, spec: InputSpec) -> tuple[nn.Module, int]:
        """What makes a row of features of one input, and how many."""
        if spec.kind == "table":
            return _standardise(spec), spec.channels
        if self.embedding == "conv":
            return self._convolutions(spec), self.features
        return self._coarse(spec)

    def _convolutions(self, spec: InputSpec) -> nn.Module:
        layers = Layers(
            dims=len(spec.size),
            kernel=3,
            activation=self.activation,
            attention="none",
        )
        return nn.Sequential(
            own_scale(spec),
            layers.conv(spec.channels, self.features // 4, 3, stride=2),
            layers.conv(self.features // 4, self.features // 2, 3, stride=2),
            layers.conv(self.features // 2, self.features, 3, stride=2),
            GlobalMean(),
        )

    def _coarse(self, spec: InputSpec) -> tuple[nn.Module, int]:
        """Means over cells of pixels; cells at the border see only what lies inside."""
        dims = len(spec.size)
        grid = max(1, round(self.features ** (1 / dims)))
        cell = [max(1, round(s / grid)) for s in spec.size]
        border = [(-s % c + 1) // 2 for s, c in zip(spec.size, cell, strict=True)]
        pool = Pool["avg", dims](cell, cell, border, count_include_pad=False)
        cells = [(s + 2 * b) // c for s, b, c in zip(spec.size, border, cell, strict=True)]
        return (
            nn.Sequential(own_scale(spec), _standardise(spec), pool, nn.Flatten()),
            spec.channels * math.prod(cells),
        )


class _Joined(nn.Module):
    """The features of every input, one behind the other, and what follows."""

    def __init__(self, embeddings: Iterable[nn.Module], body: nn.Module) -> None:
        super().__init__()
        self.embeddings, self.body = nn.ModuleList(embeddings), body

    def forward(self, *inputs: Tensor) -> Tensor:
        rows = [embed(x) for embed, x in zip(self.embeddings, inputs, strict=True)]
        y_NK: Tensor = self.body(torch.cat(rows, dim=1))
        return y_NK


def _standardise(spec: InputSpec) -> nn.Module:
    """Mean 0 and variance 1 of every column or channel.

    Nothing before it learns, so that the plain mean over all batches seen is the estimate: a
    running one would still hold a part of its start after few steps, and columns lie far from it.
    """
    norm: nn.Module = Norm["batch", max(1, len(spec.size))](
        spec.channels, affine=False, momentum=None
    )
    return norm


FAMILY = DNN
