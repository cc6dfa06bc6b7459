"""Rarer classes filled up with images that a conditional generator makes, then gradient descent."""

from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from automed.problems import Problem
from automed.training.adversary import Adversary, adam
from automed.training.augment import Augmentation
from automed.training.recipes import Fit, Schedule, TrainingFailure, gradient, saved, unpacked
from automed.training.tensors import Part, Tensors

SLAB = 256
"""Images made at a time."""


def train(
    network: nn.Module,
    tensors: Tensors,
    problem: Problem,
    schedule: Schedule,
    *,
    epochs: int,
    checkpoint: bytes | None = None,
) -> Fit:
    """See `Recipe.train`; without an adversary, or one class only, it is the gradient recipe.

    The network offers `generator`, what is to be trained: its `build` gives a network from noise
    (N, `noise`) and classes (N, K), one 1 each, to images (N, C, *size); `adversary`, see
    `adversarial`; `rounds`, the epochs of the two; and `fill`, the share of what a class lacks to
    the most frequent one that is made for it. Only the training part is learnt from and added to.

    What is made is never written: patients can be recognised in what learnt from few. A checkpoint
    to continue from holds the generator, one that is finished only the classifier.

    Source: Frid-Adar et al. 2018, GAN-based synthetic medical image augmentation,
    arXiv:1803.01229; conditions: Mirza and Osindero 2014, arXiv:1411.1784.
    """
    offered: Any = network
    arguments = (problem, schedule)
    if offered.adversary.loss == "none":
        return gradient.train(network, tensors, *arguments, epochs=epochs, checkpoint=checkpoint)
    with torch.random.fork_rng():
        torch.manual_seed(schedule.seed)
        generator = offered.generator.build().to(tensors.device)
        if checkpoint is None:
            _compete(generator, offered, tensors, schedule)
        else:
            generator.load_state_dict(unpacked(checkpoint, tensors.device)["generator"])
        torch.manual_seed(schedule.seed)
        filled = replace(tensors, train=_filled(generator, offered, tensors))
    fit = gradient.train(network, filled, *arguments, epochs=epochs, checkpoint=checkpoint)
    if fit.finished:
        return fit
    state = {**unpacked(fit.checkpoint), "generator": generator.state_dict()}
    return replace(fit, checkpoint=saved(state))


def _compete(generator: nn.Module, offered: Any, tensors: Tensors, schedule: Schedule) -> None:
    """Train the generator; every batch holds the classes alike, however rare they are."""
    part, sample = tensors.train, tensors.sample
    settings, kinds = schedule.settings, sample.target.channels
    adversary = Adversary(offered.adversary.build(), offered.adversary.loss, tensors.device)
    optimizer = adam(generator.train())
    augment = Augmentation(settings.augment, sample.image.size)
    counts = part.truth.bincount(minlength=kinds)
    chances = 1.0 / counts[part.truth]
    batch = min(settings.batch, len(part))
    for number in range(offered.rounds):
        (images, *_), labels = augment.part(part, sample, schedule.seed * 1_000_003 + number)
        for _ in range(len(part) // batch):
            rows = torch.multinomial(chances, batch, replacement=True)
            classes = functional.one_hot(labels[rows], kinds).float()
            made = generator(_noise(offered, classes), classes)
            planes = _planes(classes, images)
            adversary.learn(planes, images[rows], made)
            loss = adversary.fooled(planes, made)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    if not bool(loss.isfinite()):
        raise TrainingFailure("the generator's loss is not finite")


@torch.no_grad()
def _filled(generator: nn.Module, offered: Any, tensors: Tensors) -> Part:
    """The training part and what was made for its rarer classes."""
    part, kinds = tensors.train, tensors.sample.target.channels
    counts = part.truth.bincount(minlength=kinds)
    lacking = (offered.fill * (counts.max() - counts)).round().long()
    lacking[counts == 0] = 0  # nobody has seen one
    labels = torch.arange(kinds, device=tensors.device).repeat_interleave(lacking)
    generator.eval()
    made = []
    for some in torch.split(labels, SLAB):
        classes = functional.one_hot(some, kinds).float()
        made.append(generator(_noise(offered, classes), classes))
    truth = torch.cat([part.truth, labels])
    return Part(
        inputs=(torch.cat([*part.inputs, *made]),),
        truth=truth,
        truth_on_host=truth.cpu().numpy(),
    )


def _noise(offered: Any, classes_NK: torch.Tensor) -> torch.Tensor:
    return torch.randn(len(classes_NK), offered.generator.noise).to(classes_NK.device)


def _planes(classes_NK: torch.Tensor, images_NCS: torch.Tensor) -> torch.Tensor:
    """Classes as images (N, K, *size)."""
    size = images_NCS.shape[2:]
    return classes_NK.reshape(*classes_NK.shape, *(1 for _ in size)).expand(-1, -1, *size)
