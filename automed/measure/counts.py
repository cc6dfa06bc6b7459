"""Parameters and multiply-accumulate operations of a network."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def num_params(network: nn.Module) -> int:
    """Trainable numbers in the network."""
    return sum(p.numel() for p in network.parameters())


def num_macs(network: nn.Module, *example: torch.Tensor) -> int:
    """Multiply-accumulate operations of one pass over example inputs, convolutions and products."""
    fused: Any = {torch.ops.aten.mkldnn_rnn_layer: _flops_of_lstm}
    counter = FlopCounterMode(display=False, custom_mapping=fused)
    with counter, torch.no_grad():
        network(*example)
    return int(counter.get_total_flops()) // 2


def _flops_of_lstm(
    x_TNF: Sequence[int], weight_GF: Sequence[int], weight_GH: Sequence[int], *_: Any, **__: Any
) -> int:
    """Of one direction of one layer, which torch runs as one operation on the CPU.

    Its counter knows the products of all other recurrent cells, but not this operation.
    """
    return 2 * x_TNF[0] * x_TNF[1] * (math.prod(weight_GF) + math.prod(weight_GH))
