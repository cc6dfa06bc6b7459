"""Read-outs solved for by ridge regression, one block after another: no gradient loop."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV
from torch import nn

from automed.problems import Problem
from automed.problems.classification import class_weights
from automed.training.recipes import Fit, Schedule, TrainingFailure, saved
from automed.training.tensors import Tensors

Inputs = tuple[torch.Tensor, ...]

BATCH = 256
SETTLING = 1024
"""Samples that norms take their means and spreads from."""
PENALTIES = np.logspace(-2, 4, 7)
"""Ridge penalties; the one with the least leave-one-out error is taken."""
SHARPNESS = np.geomspace(0.5, 32, 25)
"""Factors on the answers; the one whose probabilities cost the least is taken."""


def train(
    network: nn.Module,
    tensors: Tensors,
    problem: Problem,
    schedule: Schedule,
    *,
    epochs: int,
    checkpoint: bytes | None = None,
) -> Fit:
    """See `Recipe.train`; whatever the epochs, it is finished after one pass.

    The network offers `readouts`, linear layers, and `hidden(block, *inputs)`, what they read.
    Each is regressed on the classes as -1 and 1. Nothing is augmented: of two copies of one image
    the one left out is foretold by the other, and the penalty comes out too small.
    """
    del schedule, epochs, checkpoint
    blocks: Any = network.to(tensors.device)
    inputs, truth = tensors.train.inputs, tensors.train.truth_on_host
    wanted = np.eye(tensors.sample.target.channels)[truth] * 2 - 1
    weights = class_weights(truth, tensors.sample.target)[truth]
    with torch.inference_mode():
        for block, readout in enumerate(blocks.readouts):
            units = _settled(network, partial(blocks.hidden, block), tensors, inputs)
            if not np.isfinite(units).all():
                raise TrainingFailure(f"the features of block {block + 1} are not finite")
            ridge = RidgeCV(alphas=PENALTIES).fit(units, wanted, sample_weight=weights)
            sharpness = 1.0
            if block == len(blocks.readouts) - 1:
                sharpness = _sharpness(ridge.predict(units), truth, weights)
            _fill(readout, sharpness * ridge.coef_, sharpness * ridge.intercept_)
        outputs = _batched(
            lambda *x: problem.finish(network(*x), *x, sample=tensors.sample)[0],
            tensors,
            tensors.val.inputs,
        )
    given = problem.scores(outputs, tensors.val.truth_on_host)
    scores = {name: float(values[0]) for name, values in given.items()}
    return Fit(
        scores=scores,
        curve=({"epoch": 1, **scores},),
        epochs=1,
        finished=True,
        checkpoint=saved({"kept": network.state_dict()}),
    )


def _settled(
    network: nn.Module, units: Callable[..., torch.Tensor], tensors: Tensors, inputs: Inputs
) -> NDArray[Any]:
    """What a block's hidden units are, once its norms know the means and spreads of some data."""
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = None  # the mean over all batches instead of a moving one
    network.train()
    _batched(units, tensors, tuple(x[:SETTLING] for x in inputs))
    network.eval()
    return _batched(units, tensors, inputs)


def _batched(
    function: Callable[..., torch.Tensor], tensors: Tensors, inputs: Inputs
) -> NDArray[Any]:
    """A function's values for all inputs."""
    given = []
    for start in range(0, len(inputs[0]), BATCH):
        rows = tuple(x[start : start + BATCH] for x in inputs)
        given.append(function(*tensors.laid_out(rows)).float().cpu())
    return torch.cat(given).numpy()


def _sharpness(
    answers: NDArray[np.float64], truth: NDArray[np.int64], weights: NDArray[np.float64]
) -> float:
    """The factor whose softmax fits the training part best: a ridge's answers are no logits."""

    def cost(factor: float) -> float:
        logs_NK = torch.from_numpy(factor * answers).log_softmax(dim=1).numpy()
        return float(-weights @ logs_NK[np.arange(len(truth)), truth])

    return float(min(SHARPNESS, key=cost))


def _fill(readout: nn.Linear, weight: NDArray[np.float64], bias: NDArray[np.float64]) -> None:
    readout.weight.copy_(torch.from_numpy(weight))
    readout.bias.copy_(torch.from_numpy(bias))
