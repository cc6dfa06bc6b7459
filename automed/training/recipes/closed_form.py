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
from automed.problems.multilabel import positive_weights
from automed.sample import TargetSpec
from automed.training.recipes import Fit, Schedule, TrainingFailure, saved
from automed.training.tensors import Tensors

Inputs = tuple[torch.Tensor, ...]
Values = NDArray[np.float64]

BATCH = 256
SETTLING = 1024
"""Samples that norms take their means and spreads from."""
PENALTIES = np.logspace(-2, 4, 7)
"""Ridge penalties; the one with the least leave-one-out error is taken."""
SHARPNESS = np.geomspace(0.5, 32, 25)
"""Factors on answers that are logits; the one that makes the loss least is taken."""


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
    Each is regressed on the classes or findings as -1 and 1, or on standardised values. Nothing is
    augmented: of two copies of one image the one left out is foretold by the other, and the
    penalty comes out too small.
    """
    del schedule, epochs, checkpoint
    blocks: Any = network.to(tensors.device)
    inputs, truth = tensors.train.inputs, tensors.train.truth.cpu()
    wanted, weights = _wanted(truth.numpy(), tensors.sample.target)
    with torch.inference_mode():
        for block, readout in enumerate(blocks.readouts):
            units = _settled(network, partial(blocks.hidden, block), tensors, inputs)
            if not np.isfinite(units).all():
                raise TrainingFailure(f"the features of block {block + 1} are not finite")
            _fill(readout, *_ridge(units, wanted, weights))
        if tensors.sample.target.kind != "value":
            loss = problem.loss(truth.numpy(), tensors.sample, 0.0)
            _sharpen(readout, torch.from_numpy(units), lambda raw: loss(raw, truth, *inputs))
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


def _wanted(truth: NDArray[Any], target: TargetSpec) -> tuple[Values, Values]:
    """What read-outs are to say (N, K), and how much that counts: not at all where unknown."""
    if target.kind == "label":
        weights_N1 = class_weights(truth, target)[truth][:, None]
        columns = np.eye(target.channels)[truth] * 2 - 1
        return columns, np.broadcast_to(weights_N1, columns.shape)
    known_NK = np.isfinite(truth)
    if target.kind == "labels":
        weights_NK = np.where(truth == 1, positive_weights(truth), 1.0) * known_NK
        return np.nan_to_num(truth.astype(np.float64)) * 2 - 1, weights_NK
    columns = np.nan_to_num((truth.astype(np.float64) - target.centre) / target.scale)
    return columns, known_NK.astype(np.float64)


def _ridge(units_NH: NDArray[Any], wanted_NK: Values, weights_NK: Values) -> tuple[Values, Values]:
    """Coefficients (K, H) and intercepts (K,); columns of equal weights share a penalty."""
    coefficients = np.zeros((wanted_NK.shape[1], units_NH.shape[1]))
    intercepts = np.zeros(wanted_NK.shape[1])
    _, shared = np.unique(weights_NK, axis=1, return_inverse=True)
    for number in range(shared.max() + 1):
        mine = np.flatnonzero(shared == number)
        weights_N = weights_NK[:, mine[0]]
        known = weights_N > 0
        ridge = RidgeCV(alphas=PENALTIES).fit(
            units_NH[known], wanted_NK[known][:, mine], sample_weight=weights_N[known]
        )
        coefficients[mine], intercepts[mine] = ridge.coef_, ridge.intercept_
    return coefficients, intercepts


def _sharpen(
    readout: nn.Linear, units_NH: torch.Tensor, cost: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    """Multiply a read-out so that its answers cost the least: those of a ridge are no logits."""
    answers = units_NH @ readout.weight.cpu().T + readout.bias.cpu()
    factor = min(SHARPNESS, key=lambda factor: float(cost(float(factor) * answers)))
    readout.weight.mul_(factor)
    readout.bias.mul_(factor)


def _fill(readout: nn.Linear, weight: NDArray[np.float64], bias: NDArray[np.float64]) -> None:
    readout.weight.copy_(torch.from_numpy(weight))
    readout.bias.copy_(torch.from_numpy(bias))
