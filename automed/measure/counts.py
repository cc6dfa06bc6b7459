"""Parameters and multiply-accumulate operations of a network."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def num_params(network: nn.Module) -> int:
    """Trainable numbers in the network."""
    return sum(p.numel() for p in network.parameters())


def num_macs(network: nn.Module, *example: torch.Tensor) -> int:
    """Multiply-accumulate operations of one pass over example inputs, convolutions and products."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(*example)
    return int(counter.get_total_flops()) // 2
