"""What kinds of task mean: raw output, loss, metrics and what an exported graph returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from automed.sample import SampleSpec, TargetKind, TargetSpec

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A sample that tells how a model does, for the report.

    Attributes:
        row: Its position in the part.
        title: Why it is shown, in a word or two.
        caption: What is true of it and what the model says, in a few words.
        truth: Class number of every place (*size); None where the target is no map.
        answer: The same as the model has it.
        true_points: Objects (M, dims + 1), centre per axis and radius in pixels; None where the
            target is no points.
        found_points: The same as the model has them.
        beside: Images (C, *size) in [0, 1] drawn beside the inputs, in this order.
        field: Displacements (dims, *size) in pixels, by which the last input is warped and drawn
            beside them too; None where there are none.
    """

    row: int
    title: str
    caption: str
    truth: NDArray[Any] | None = None
    answer: NDArray[Any] | None = None
    true_points: NDArray[Any] | None = None
    found_points: NDArray[Any] | None = None
    beside: tuple[NDArray[Any], ...] = ()
    field: NDArray[Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What an exported graph says of one sample, as `automed predict` tells it.

    Attributes:
        values: A number by its name: a class's probability, or its share of the places.
        labels: Class number of every place (*size); None where the target is no map.
        image: What the model makes of the image, (C, *size); None where it makes none.
        points: Objects (F, dims + 2): centre per axis and radius in pixels, then the score;
            strongest first. None where the target is no points.
        field: Displacements (dims, *size) in pixels; None where the target is no field.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    labels: NDArray[np.uint8] | None = None
    image: NDArray[np.float32] | None = None
    points: NDArray[Any] | None = None
    field: NDArray[np.float32] | None = None

    def objects(self) -> list[dict[str, Any]]:
        """Centre, radius and score of every object, in plain values."""
        rows = [] if self.points is None else self.points.tolist()
        return [{"centre": row[:-2], "radius": row[-2], "score": row[-1]} for row in rows]

    def plain(self) -> dict[str, Any]:
        """All but the map, in plain values."""
        objects = {} if self.points is None else {"objects": self.objects()}
        return {**self.values, **objects}


@dataclass(frozen=True, kw_only=True)
class Plot:
    """What `Problem.drawn` is to be drawn as, for the report.

    Attributes:
        title: What it shows.
        x: What lies along the horizontal axis.
        y: What lies along the vertical axis.
        joined: Whether it is a line, one a model, or a cloud of samples.
        logarithmic: Whether the horizontal axis is.
        diagonal: Whether both axes mean one thing, so that equality is worth a line.
    """

    title: str
    x: str
    y: str
    joined: bool
    logarithmic: bool = False
    diagonal: bool = False


class Problem(Protocol):
    """One kind of task. Metrics work on what the exported graph returns, as NumPy arrays."""

    target: TargetKind
    """The kind of target that is learnt."""
    outputs: tuple[str, ...]
    """What the exported graph returns, by name; metrics work on the first."""
    restored: Mapping[str, int]
    """Outputs that `finish` gives in an image's window and the graph in its raw units: which image
    of the inputs, counted from 0."""
    one_class: bool
    """Whether networks learn to give back images of class 0 alone; all classes are judged."""
    metrics: Mapping[str, str]
    """Metric name to what it is, in words; the larger the better, unless among `errors`."""
    errors: frozenset[str]
    """Metrics of which less is better."""
    units: Mapping[str, str]
    """Metric name to its unit, for those that have one."""
    plot: Plot
    """What suits the problem better than a number."""
    classical: tuple[str, ...]
    """Baselines without a network that can answer, see automed/baselines."""

    def loss(self, truth: NDArray[Any], sample: SampleSpec, smoothing: float) -> "nn.Module":
        """A loss of (raw output, truth, *inputs) that weighs classes by their share."""

    def finish(
        self, raw: "torch.Tensor", *given: "torch.Tensor", sample: SampleSpec
    ) -> "tuple[torch.Tensor, ...]":
        """What the exported graph returns, from the network's raw output and its inputs."""

    def scores(
        self, outputs: NDArray[Any], truth: NDArray[Any], weights: NDArray[Any] | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """Every metric, for each row of sample weights (R, N); one row of ones if there are none.

        Returns:
            Metric name to an array (R,).
        """

    def drawn(
        self, outputs: NDArray[Any], truth: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Where the plot's line goes or its points lie: two arrays of one length, finite."""

    def shown(
        self, outputs: NDArray[Any], truth: NDArray[Any], target: TargetSpec
    ) -> tuple[Shown, ...]:
        """Samples that tell how a model does, the bad ones first; picked by rule, never by eye."""

    def answer(self, outputs: Mapping[str, NDArray[Any]], target: TargetSpec) -> Answer:
        """What the graph's outputs, by name, say of one sample."""


def sign(problem: Problem, metric: str) -> float:
    """1 where more of a metric is better, -1 where less is."""
    return -1.0 if metric in problem.errors else 1.0


def worst_median_best(values_N: NDArray[Any], number: int = 2) -> list[tuple[int, str]]:
    """Rows of the least, the middle and the largest values, rising, and why; NaN is left out."""
    ranked = np.argsort(values_N, kind="stable")[: np.isfinite(values_N).sum()].tolist()
    middle = max(0, (len(ranked) - number) // 2)
    kinds = {
        "Worst": ranked[:number],
        "Median": ranked[middle : middle + number],
        "Best": ranked[-number:],
    }
    titles = {row: title for title, rows in reversed(kinds.items()) for row in rows}
    return [(row, titles[row]) for row in ranked if row in titles]


def means_of_known(values_NK: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means (N,) over the columns that have a value; NaN counts as not there."""
    known = np.isfinite(values_NK)
    with np.errstate(invalid="ignore"):
        means: NDArray[np.float64] = np.where(known, values_NK, 0.0).sum(1) / known.sum(1)
    return means


def weighted_means(
    values_N: NDArray[np.float64], weights_RN: NDArray[Any] | None
) -> NDArray[np.float64]:
    """Means (R,) of a metric that every sample has a value of; NaN counts as not there."""
    known_N = np.isfinite(values_N)
    weights = np.ones((1, len(values_N))) if weights_RN is None else weights_RN
    with np.errstate(invalid="ignore"):
        means: NDArray[np.float64] = (
            weights[:, known_N] @ values_N[known_N] / weights[:, known_N].sum(axis=1)
        )
    return means
