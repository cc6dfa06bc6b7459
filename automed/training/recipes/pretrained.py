"""An encoder that first learns to give images back, with or without labels, then everything."""

from typing import Any

import torch
from torch import nn

from automed.problems import Problem
from automed.training.recipes import Fit, Schedule, gradient
from automed.training.tensors import Tensors


def train(
    network: nn.Module,
    tensors: Tensors,
    problem: Problem,
    schedule: Schedule,
    *,
    epochs: int,
    checkpoint: bytes | None = None,
) -> Fit:
    """See `Recipe.train`; epochs are those with labels, before the first the encoder is trained.

    The network offers `pretext`, modules that share its encoder and give (image, penalty) for an
    image, and `rounds`, the epochs over all inputs, those without a label too.
    """
    if checkpoint is None:
        with torch.random.fork_rng():
            torch.manual_seed(schedule.seed)
            _pretrain(network.to(tensors.device), tensors, schedule)
    return gradient.train(network, tensors, problem, schedule, epochs=epochs, checkpoint=checkpoint)


def _pretrain(network: Any, tensors: Tensors, schedule: Schedule) -> None:
    """Mean absolute error of what is given back, and the penalty; one cosine down to zero."""
    pretext = network.pretext.to(tensors.device).train()
    count = len(tensors.seen[0])
    batch = min(schedule.settings.batch, count)
    steps = count // batch
    optimizer = torch.optim.AdamW(pretext.parameters(), lr=schedule.settings.learning_rate)
    fading = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps * network.rounds))
    for _ in range(network.rounds):
        order = torch.randperm(count).to(tensors.device)
        for step in range(steps):
            rows = order[step * batch : (step + 1) * batch]
            (images,) = tensors.laid_out(tuple(x[rows] for x in tensors.seen))
            restored, penalty = pretext(images)
            loss = nn.functional.l1_loss(restored, images) + penalty
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            fading.step()
