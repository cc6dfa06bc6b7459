"""Machines trained one upon the other without labels, then everything by gradient."""

from typing import Any

import torch
from torch import nn

from automed.problems import Problem
from automed.training.recipes import Fit, Schedule, gradient
from automed.training.tensors import Tensors

RATE = 0.02
"""Learning rate of contrastive divergence; the last epoch of each machine has a tenth."""


def train(
    network: nn.Module,
    tensors: Tensors,
    problem: Problem,
    schedule: Schedule,
    *,
    epochs: int,
    checkpoint: bytes | None = None,
) -> Fit:
    """See `Recipe.train`; epochs are those by gradient, before the first the machines are trained.

    The network offers `stack`, its machines, `below(number, *inputs)`, what one
    sees, and how it is trained: `rounds` epochs with `steps` steps of Gibbs sampling an update.
    """
    if checkpoint is None:
        with torch.random.fork_rng():
            torch.manual_seed(schedule.seed)
            _pretrain(network.to(tensors.device), tensors, schedule.settings.batch)
    return gradient.train(network, tensors, problem, schedule, epochs=epochs, checkpoint=checkpoint)


@torch.no_grad()
def _pretrain(network: Any, tensors: Tensors, batch: int) -> None:
    network.train()
    count = len(tensors.seen[0])
    batch = min(batch, count)
    for number, machine in enumerate(network.stack):
        moved = machine.still()
        for epoch in range(network.rounds):
            rate = RATE if epoch + 1 < network.rounds else RATE / 10
            order = torch.randperm(count).to(tensors.device)
            for start in range(0, count - batch + 1, batch):
                rows = tuple(x[order[start : start + batch]] for x in tensors.seen)
                machine.diverge(network.below(number, *rows), network.steps, rate, moved)
