"""Detection: centre and radius of every object; the exported graph returns a list of them too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automed.problems import Answer, Plot, Shown, worst_median_best
from automed.sample import SampleSpec, TargetKind, TargetSpec

if TYPE_CHECKING:
    import torch

    from automed.problems.heat_map import HeatMapLoss

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

RATES = (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)
"""False positives an image at which the FROC score reads the sensitivity."""
SURE = 0.3
"""The score from which an object of the list is shown and told."""


class Detection:
    """A heat map with radii and places; see `problems.heat_map` for what cells say.

    Metrics are of the list that the graph returns, of fixed length. An object of the list hits if
    its centre lies within the radius of a true one. Distances are in pixels, along all axes alike.
    Images without any object count as images: what is found in them is a false positive.
    """

    target: TargetKind = "points"
    outputs: tuple[str, ...] = ("maps", "centres", "radii", "scores")
    metrics: Mapping[str, str] = {
        "froc": "FROC score: the mean sensitivity at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false positives "
        "an image; hits of one object count once",
        "average_precision": "area under precision over recall; the second hit of an object is "
        "a false positive",
        "sensitivity": "share of objects found at one false positive an image",
    }
    errors = frozenset[str]()
    units: Mapping[str, str] = {}
    plot = Plot(
        title="FROC: found at every threshold",
        x="False positives an image",
        y="Sensitivity",
        joined=True,
        logarithmic=True,
    )
    classical: tuple[str, ...] = ("blob-detector",)
    restored: Mapping[str, int] = {}
    one_class = False

    def loss(self, truth: NDArray[Any], sample: SampleSpec, smoothing: float) -> "HeatMapLoss":
        """Focal loss of the heat, L1 of radius and place; see `HeatMapLoss`."""
        from automed.problems.heat_map import HeatMapLoss

        del truth, smoothing
        return HeatMapLoss(sample.image.size)

    def finish(
        self, raw: "torch.Tensor", *given: "torch.Tensor", sample: SampleSpec
    ) -> "tuple[torch.Tensor, ...]":
        """What every cell says, and the list: centres, radii and scores, strongest first."""
        from automed.problems.heat_map import maps, peaks

        del given
        finished = maps(raw, sample.image.size)
        return finished, *peaks(finished)

    def scores(
        self, outputs: NDArray[Any], truth: NDArray[Any], weights: NDArray[Any] | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """Every metric from maps (N, 2 + dims, *grid) and points (N, M, dims + 1).

        Without any object they are not defined (NaN).

        Source: FROC score: Setio et al. 2017, LUNA16, arXiv:1612.08012.
        """
        ranked = _Ranked.of(Hits.of(outputs, truth))
        weights_RN = np.ones((1, len(truth))) if weights is None else weights
        found_RF = np.stack([ranked.sensitivities(weights_N, RATES) for weights_N in weights_RN])
        return {
            "froc": found_RF.mean(axis=1),
            "average_precision": np.array([ranked.average_precision(w) for w in weights_RN]),
            "sensitivity": found_RF[:, RATES.index(1)],
        }

    def drawn(
        self, outputs: NDArray[Any], truth: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """The free-response curve over the rates that its score reads."""
        rates = np.geomspace(RATES[0], RATES[-1], 61)
        ranked = _Ranked.of(Hits.of(outputs, truth))
        found = ranked.sensitivities(np.ones(len(truth)), rates)
        return rates, np.nan_to_num(found)

    def shown(
        self, outputs: NDArray[Any], truth: NDArray[Any], target: TargetSpec
    ) -> tuple[Shown, ...]:
        """The worst, the median and the best by F1 of the sure ones, of those that have an F1.

        An image without an object in which nothing is found has none.
        """
        del target
        hits = Hits.of(outputs, truth)
        sure_NK = hits.scores >= SURE
        true_N, found_N = hits.there.sum(1), (hits.first & sure_NK).sum(1)
        false_N = sure_NK.sum(1) - found_N
        with np.errstate(invalid="ignore"):
            f1_N = 2 * found_N / (true_N + sure_NK.sum(1))
        return tuple(
            Shown(
                row=row,
                title=title,
                caption=f"{found_N[row]} of {true_N[row]} found, {false_N[row]} false",
                true_points=truth[row][hits.there[row]],
                found_points=hits.points[row][sure_NK[row]],
            )
            for row, title in worst_median_best(f1_N)
        )

    def answer(self, outputs: Mapping[str, NDArray[Any]], target: TargetSpec) -> Answer:
        """The sure objects, strongest first."""
        del target
        listed = (
            outputs["centres"][0],
            outputs["radii"][0, :, None],
            outputs["scores"][0, :, None],
        )
        points = np.concatenate(listed, axis=1)
        return Answer(points=points[points[:, -1] >= SURE])


@dataclass(frozen=True)
class Hits:
    """What the lists (N, K) of some images have to do with their true objects (N, M).

    Attributes:
        points: (N, K, dims + 1) centre per axis and radius.
        scores: (N, K), 0 where the list is at its end.
        there: (N, M) where an object is.
        hit: (N, K, M) where one of the list hits.
        first: (N, K) the nearest object it hits had not been hit by a stronger one.
    """

    points: NDArray[Any]
    scores: NDArray[Any]
    there: Bools
    hit: Bools
    first: Bools

    @classmethod
    def of(cls, outputs: NDArray[Any], truth: NDArray[Any]) -> "Hits":
        """From maps and points."""
        import torch

        from automed.problems.heat_map import peaks

        listed = peaks(torch.from_numpy(outputs))
        centres, radii, scores = (x.numpy() for x in listed)
        there = np.isfinite(truth[..., -1])
        away = np.linalg.norm(centres[:, :, None] - truth[:, None, :, :-1], axis=-1)
        with np.errstate(invalid="ignore"):
            hit = (away <= truth[:, None, :, -1]) & (scores > 0)[..., None]
        left, first = there.copy(), np.zeros(scores.shape, bool)
        rows = np.arange(len(truth))
        for k in range(scores.shape[1]):
            near = np.where(hit[:, k] & left, away[:, k], np.inf)
            nearest = near.argmin(axis=1)
            first[:, k] = np.isfinite(near[rows, nearest])
            left[rows[first[:, k]], nearest[first[:, k]]] = False
        return cls(np.concatenate([centres, radii[..., None]], -1), scores, there, hit, first)


@dataclass(frozen=True)
class _Column:
    """Scores of all images, falling, and the image of each."""

    scores: NDArray[Any]
    image: NDArray[np.int64]


@dataclass(frozen=True)
class _Ranked:
    """Hits in the order of their scores, so that every row of weights costs sums alone.

    Attributes:
        objects: The strongest hit of each true object, 0 for none.
        false: Those of the lists that hit nothing.
        listed: All of the lists.
        first: Which of those count as found; among equals they come last.
    """

    objects: _Column
    false: _Column
    listed: _Column
    first: Bools

    @classmethod
    def of(cls, hits: Hits) -> "_Ranked":
        """In one sort for all that is asked later."""
        best = np.where(hits.hit, hits.scores[..., None], 0).max(axis=1)
        is_false = (hits.scores > 0) & ~hits.hit.any(axis=2)
        image, k = np.nonzero(hits.scores > 0)
        first = hits.first[image, k]
        order = np.lexsort((first, -hits.scores[image, k]))
        return cls(
            _column(best, hits.there),
            _column(hits.scores, is_false),
            _Column(hits.scores[image, k][order], image[order]),
            first[order],
        )

    def sensitivities(self, weights_N: NDArray[Any], rates: Sequence[float] | Floats) -> Floats:
        """The largest shares (F,) of objects found at no more than F rates of false positives."""
        objects = weights_N[self.objects.image].cumsum()
        if len(objects) == 0 or objects[-1] == 0:
            return np.full(len(rates), np.nan)
        false = weights_N[self.false.image].cumsum()
        allowed = np.asarray(rates) * weights_N.sum() + 1e-9
        cuts = np.append(self.false.scores, 0)[np.searchsorted(false, allowed, side="right")]
        numbers = np.searchsorted(-self.objects.scores, -cuts)
        shares: Floats = np.append(0, objects)[numbers] / objects[-1]
        return shares

    def average_precision(self, weights_N: NDArray[Any]) -> float:
        """The area under the highest precision at each recall or more, over recall."""
        objects = weights_N[self.objects.image].sum()
        if objects == 0:
            return float("nan")
        weights = weights_N[self.listed.image]
        found = weights * self.first
        with np.errstate(invalid="ignore"):
            precision = np.nan_to_num(found.cumsum() / weights.cumsum())
        highest = np.maximum.accumulate(precision[::-1])[::-1]
        return float(highest @ found / objects)


def _column(scores: NDArray[Any], chosen: Bools) -> _Column:
    image = np.nonzero(chosen)[0]
    order = np.argsort(-scores[chosen], kind="stable")
    return _Column(scores[chosen][order], image[order])


PROBLEM = Detection()
