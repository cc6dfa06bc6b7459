"""Latencies of graphs from those of others: what an operator costs, learnt from sums alone."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from sklearn.model_selection import KFold

from automed.devices.operators import Operator

Graph = Sequence[Operator]
Floats = NDArray[np.float64]

FOLDS = 10
BLOCK, FILTERS = 16, 64
"""Channels that vector kernels compute together, and those of one pass over an image."""
LENGTH = 8.0
"""Of the Gaussian process, in doublings of an operator's sizes."""
OWN, KIND, SHARED = 0.2, 0.1, 0.02
"""Variances of an operator's share: of its own, of all of its manner, of all operators."""
NOISE = 0.1
"""Standard deviation of a latency that no sum of operators explains, as a share of it."""
LEAST = 3e-3
"""Of an operator's first estimate, as a share of the median graph's latency."""
RIDGE = 0.1


def predict(known: Sequence[Graph], latencies: Floats, wanted: Sequence[Graph]) -> Floats:
    """Latencies of graphs, in the unit of the latencies of those that are known.

    A first estimate is linear: a call, a multiply-accumulate and a byte of each kind of operator
    cost so much, nothing less than nothing. By what share an operator deviates from that is a
    Gaussian process over its sizes; graphs are sums of operators, so they are jointly Gaussian.
    """
    rows = _Rows([*known, *wanted])
    places = np.arange(len(known) + len(wanted))
    return rows.predicted(places[: len(known)], latencies, places[len(known) :])


def held_out(graphs: Sequence[Graph], latencies: Floats) -> Floats:
    """Each graph's latency, predicted from those of other folds alone."""
    rows, told = _Rows(graphs), np.zeros(len(graphs))
    folds = KFold(min(FOLDS, len(graphs)), shuffle=True, random_state=0)
    for train, test in folds.split(latencies):
        told[test] = rows.predicted(train, latencies[train], test)
    return told


class _Rows:
    """Graphs as counts of operators, with what is known of each operator."""

    def __init__(self, graphs: Sequence[Graph]) -> None:
        operators = list(dict.fromkeys(operator for graph in graphs for operator in graph))
        place = {operator: i for i, operator in enumerate(operators)}
        self._counts = np.zeros((len(graphs), len(operators)))
        for row, graph in zip(self._counts, graphs, strict=True):
            np.add.at(row, [place[operator] for operator in graph], 1)
        self._linear = _linear(operators)
        self._kernel = _kernel(operators)

    def predicted(
        self, known: NDArray[np.intp], latencies: Floats, wanted: NDArray[np.intp]
    ) -> Floats:
        counts = self._counts[known]
        weights, constant = _non_negative(counts @ self._linear, latencies)
        costs = self._linear @ weights + LEAST * np.median(latencies)
        base = self._counts @ costs + constant
        sums = self._counts * costs
        relative = sums[known] / latencies[:, None]
        covariance = relative @ self._kernel @ relative.T + NOISE**2 * np.eye(len(known))
        deviations = (latencies - base[known]) / latencies
        dual = relative.T @ np.linalg.solve(covariance, deviations)
        told = base[wanted] + sums[wanted] @ (self._kernel @ dual)
        return np.maximum(told, base[wanted] / 4)  # far from all that is known it may fall below 0


def _linear(operators: Sequence[Operator]) -> Floats:
    """What each operator has of every cost: calls, work, bytes and weights, by kind and in all."""
    kinds = {kind: i for i, kind in enumerate(dict.fromkeys(o.kind for o in operators))}
    costs = np.zeros((len(operators), len(kinds) + 1, 4))
    for row, o in zip(costs, operators, strict=True):
        work = o.work * BLOCK * math.ceil(o.channels_out / BLOCK) / o.channels_out
        row[kinds[o.kind]] = 1, work, o.moved_bytes, o.weight_bytes
        row[-1] = 1, 0, o.moved_bytes, o.weight_bytes
    return costs.reshape(len(operators), -1)


def _kernel(operators: Sequence[Operator]) -> Floats:
    """Covariance of the shares by which operators deviate."""
    kinds = np.array([o.kind for o in operators])
    manners = np.array([f"{o.kind}/{o.manner}" for o in operators])
    sizes = np.array([_sizes(o) for o in operators])
    squares = (sizes**2).sum(1)
    distances = squares[:, None] + squares - 2 * sizes @ sizes.T
    alike = np.exp(-distances.clip(min=0) / (2 * LENGTH**2))
    covariance = OWN * alike * (kinds[:, None] == kinds) + KIND * (manners[:, None] == manners)
    return np.asarray(covariance + SHARED, dtype=np.float64)


def _sizes(o: Operator) -> list[float]:
    logs = [o.work, o.moved_bytes, o.weight_bytes, o.channels_in - 1, o.channels_out - 1, o.pixels]
    fits = [c % b == 0 for c in (o.channels_in, o.channels_out) for b in (BLOCK, BLOCK // 2)]
    few = [o.channels_in < BLOCK, o.channels_out < BLOCK]
    filters = min(BLOCK * math.ceil(o.channels_out / BLOCK), FILTERS)
    intensity = math.log2((1 + o.work) / (1 + o.moved_bytes))
    return [*(math.log2(1 + x) for x in logs), *(2.0 * x for x in (*fits, *few)),
            4.0 * filters / FILTERS, 2 * intensity]  # fmt: skip


def _non_negative(costs: Floats, latencies: Floats) -> tuple[Floats, float]:
    """Weights of costs, and a constant, by which relative errors are smallest."""
    scale = costs.max(0)
    scale[scale == 0] = 1
    constant = latencies.min()
    rows = np.column_stack([costs / scale, np.full(len(costs), constant)]) / latencies[:, None]
    ridge = RIDGE * np.eye(rows.shape[1])
    target = np.r_[np.ones(len(rows)), np.zeros(len(ridge))]
    weights, _ = nnls(np.vstack([rows, ridge]), target, maxiter=20_000)
    return weights[:-1] / scale, float(weights[-1] * constant)
