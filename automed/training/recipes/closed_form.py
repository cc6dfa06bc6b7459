"""Read-outs solved for by ridge regression, one block after another: no gradient loop."""

from collections.abc import Callable, Iterator
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
Layout = Callable[[Inputs], Inputs]
Values = NDArray[np.float64]

BATCH = 256
SETTLING = 1024
"""Samples that norms take their means and spreads from."""
PENALTIES = np.logspace(-2, 4, 7)
"""Ridge penalties; the one with the least leave-one-out error in the first block is taken."""
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

    The network offers `features` of the inputs and, for each block, one of `blocks`, which makes
    units, and one of `readouts`, a linear layer. Read-outs are regressed on the classes or findings
    as -1 and 1, or on standardised values.

    A block sees what those before it say of every sample when it is left out: what they say of
    samples they were fitted to is too good to be relied on (Wolpert 1992,
    doi:10.1016/S0893-6080(05)80023-1). It takes the penalty of the first, since answers and
    features together give a label away, by which less of a penalty seems to do. Nothing is
    augmented: of two copies of one image the one left out is foretold by the other.
    """
    del schedule, epochs, checkpoint
    parts: Any = network.to(tensors.device)
    inputs, truth = tensors.train.inputs, tensors.train.truth.cpu()
    wanted, weights = _wanted(truth.numpy(), tensors.sample.target)
    penalties = None
    with torch.inference_mode():
        seen = _settled(parts.features, tensors.laid_out, inputs)
        for number, (block, readout) in enumerate(zip(parts.blocks, parts.readouts, strict=True)):
            units = _settled(block, tuple, (seen,)).cpu().double().numpy()
            if not np.isfinite(units).all():
                raise TrainingFailure(f"the features of block {number + 1} are not finite")
            if penalties is None:
                penalties = _penalties(units, wanted, weights)
            weight, bias, left_out = _ridge(units, wanted, weights, penalties)
            _fill(readout, weight, bias)
            answers = torch.from_numpy(left_out).float()
            seen = torch.cat([seen, answers.to(seen.device)], dim=1)
        if tensors.sample.target.kind != "value":
            loss = problem.loss(truth.numpy(), tensors.sample, 0.0)
            _sharpen(readout, lambda factor: loss(factor * answers, truth, *inputs))
        network.eval()
        outputs = _batched(
            lambda *x: problem.finish(network(*x), *x, sample=tensors.sample)[0],
            tensors.laid_out,
            tensors.val.inputs,
        )
    given = problem.scores(outputs.cpu().numpy(), tensors.val.truth_on_host)
    scores = {name: float(values[0]) for name, values in given.items()}
    return Fit(
        scores=scores,
        curve=({"epoch": 1, **scores},),
        epochs=1,
        finished=True,
        checkpoint=saved({"kept": network.state_dict()}),
    )


def _settled(module: nn.Module, laid_out: Layout, inputs: Inputs) -> torch.Tensor:
    """What a module gives, once its norms know the means and spreads of some data."""
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = None  # the mean over all batches instead of a moving one
    module.train()
    _batched(module, laid_out, tuple(x[:SETTLING] for x in inputs))
    module.eval()
    return _batched(module, laid_out, inputs)


def _batched(
    function: Callable[..., torch.Tensor], laid_out: Layout, inputs: Inputs
) -> torch.Tensor:
    """A function's values for all inputs."""
    given = []
    for start in range(0, len(inputs[0]), BATCH):
        rows = tuple(x[start : start + BATCH] for x in inputs)
        given.append(function(*laid_out(rows)).float())
    return torch.cat(given)


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


def _penalties(units_NH: Values, wanted_NK: Values, weights_NK: Values) -> Values:
    """The penalty (K,) of least leave-one-out error; columns of equal weights share one."""
    penalties = np.zeros(wanted_NK.shape[1])
    for mine, weights_N in _alike(weights_NK):
        known = weights_N > 0
        ridge = RidgeCV(alphas=PENALTIES).fit(
            units_NH[known], wanted_NK[known][:, mine], sample_weight=weights_N[known]
        )
        penalties[mine] = ridge.alpha_
    return penalties


def _ridge(
    units_NH: Values, wanted_NK: Values, weights_NK: Values, penalty_K: Values
) -> tuple[Values, Values, Values]:
    """Coefficients (K, H), intercepts (K,), and the answers (N, K) to samples that are left out."""
    coefficients = np.zeros((wanted_NK.shape[1], units_NH.shape[1]))
    left_out = np.zeros(wanted_NK.shape)
    intercepts = np.average(wanted_NK, axis=0, weights=weights_NK)
    for mine, weights_N in _alike(weights_NK):
        weights_N1, wanted = weights_N[:, None], wanted_NK[:, mine]
        middle_H = np.average(units_NH, axis=0, weights=weights_N)
        units = units_NH - middle_H
        gram_HH = units.T @ (weights_N1 * units) + penalty_K[mine[0]] * np.eye(len(middle_H))
        solved_HN = np.linalg.solve(gram_HH, (weights_N1 * units).T)
        coefficients[mine] = (solved_HN @ (wanted - intercepts[mine])).T
        answers = units @ coefficients[mine].T + intercepts[mine]
        intercepts[mine] -= coefficients[mine] @ middle_H
        # the share of an answer that is owed to the sample itself
        own_N1 = weights_N1 / weights_N.sum() + (units * solved_HN.T).sum(axis=1, keepdims=True)
        left_out[:, mine] = (answers - own_N1 * wanted) / (1 - own_N1)
    return coefficients, intercepts, left_out


def _alike(weights_NK: Values) -> Iterator[tuple[NDArray[np.int64], Values]]:
    """Columns of equal weights, which are solved for together, and these weights (N,)."""
    columns, first, shared = np.unique(weights_NK, axis=1, return_index=True, return_inverse=True)
    for number in range(columns.shape[1]):
        yield np.flatnonzero(shared == number), weights_NK[:, first[number]]


def _sharpen(readout: nn.Linear, cost: Callable[[float], torch.Tensor]) -> None:
    """Multiply a read-out so that its answers cost the least: those of a ridge are no logits."""
    factor = min(map(float, SHARPNESS), key=lambda factor: float(cost(factor)))
    readout.weight.mul_(factor)
    readout.bias.mul_(factor)


def _fill(readout: nn.Linear, weight: NDArray[np.float64], bias: NDArray[np.float64]) -> None:
    readout.weight.copy_(torch.from_numpy(weight))
    readout.bias.copy_(torch.from_numpy(bias))
