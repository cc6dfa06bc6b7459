"""automed's own: costs are known, scores are learnt; pauses what promises the front little."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from automed.errors import StrategyError
from automed.front import num_beating, unbeaten
from automed.space import Joint, Point, Value
from automed.strategies.random_search import drawn, drawn_point
from automed.strategies.stopping import value_at
from automed.task import Direction, is_cost
from automed.trial import Outcome, Trial

if TYPE_CHECKING:
    from automed.strategies.surrogate import Belief, Surrogate

Floats = NDArray[np.float64]
Key = frozenset[tuple[str, Value]]

FIRST = 8
"""Architectures drawn at random before the surrogate is asked."""
POOL = 300
"""Architectures that are weighed: new ones thought of, or the least beaten of those paused."""
LOOKS = 0.4
"""Share of the training that goes to fidelities below the full one."""
BLINDLY = 0.2
"""Share of new architectures that are taken for their costs alone, lest the surrogate never hears
that it errs."""
OWN_RUNGS = True
"""It pauses trainings itself, so that no stopping rule is put around it."""
LEVELS = 200
"""Costs at which an architecture is held against the front."""
NEAR = 0.8
"""Share of these that lie no further than the front goes."""
BEYOND = 0.1
"""How far these go beyond the dearest architecture, as a logarithm, lest that one gain nothing."""


def make(
    algorithm: str,
    space: Joint,
    objectives: Mapping[str, Direction],
    *,
    rungs: Sequence[int],
    seed: int,
    first: int,
) -> "Pareto":
    """See `Maker.make`."""
    from automed.strategies.surrogate import Surrogate

    scores = [name for name in objectives if not is_cost(name)]
    if len(scores) != 1:
        raise StrategyError(
            f"pareto weighs one score against costs, not {' and '.join(scores)}; take optuna:tpe"
        )
    surrogate = Surrogate(space, num_rungs=len(rungs))
    return Pareto(surrogate, space, objectives, rungs=rungs, seed=seed, first=first)


@dataclass(eq=False)
class Known:
    """What is known of an architecture.

    Attributes:
        point: Its values, those of other families among them.
        number: Of the first trial that asked for it.
        row: It in numbers (F,), see `Encoding`.
        costs: Logarithms of the objectives that are costs (C,), once it has been lowered; NaN
            where a target refused it.
        limits: Logarithms of what share of each limit it takes, once it has been lowered.
        losses: The score at each rung it has reached, smaller better.
        asked: The rung it is on its way to; None if it is with no worker.
        over: It failed, breaks a limit, or nothing is left to train.
    """

    point: Point
    number: int
    row: Floats
    costs: Floats | None = None
    limits: Mapping[str, float] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    asked: int | None = None
    over: bool = False

    @property
    def runs(self) -> bool:
        """It has been lowered, and the first target takes it."""
        return self.costs is not None and bool(np.isfinite(self.costs).all())


class Pareto:
    """Asks for what lets the expected hypervolume grow most, and trains it as far as that is true.

    Costs are known exactly once an architecture is lowered, before it is trained, and nearly so
    before that; only the score is uncertain. New architectures are trained a first few epochs until
    such short trainings have had their share of all training; then the most promising of those
    that are paused goes on to the next rung, for as long as they are behind. Nobody waits, and what
    promises little is never asked to go on. Architectures that are with a worker count as if they
    had turned out as predicted. Limits are constraints: each is learnt, and a promise counts by
    the chance to keep within them.

    Random numbers come from the seed and from what was asked and told, so that a strategy rebuilt
    from the record goes on as the first would have.

    Source: Emmerich et al. 2006 (expected hypervolume improvement), here over levels of the costs,
    which are known; Le Gratiet and Garnier 2014 (fidelities), see `Surrogate`; Schmucker et al.
    2021, arXiv:2106.12639 (rungs without waiting); Gardner et al. 2014 (limits).
    """

    def __init__(
        self,
        surrogate: "Surrogate",
        space: Joint,
        objectives: Mapping[str, Direction],
        *,
        rungs: Sequence[int],
        seed: int,
        first: int,
    ) -> None:
        self._surrogate, self._space, self._rungs, self._seed = surrogate, space, rungs, seed
        self._next = first
        self._costs = [name for name in objectives if is_cost(name)]
        self._score = next(name for name in objectives if not is_cost(name))
        self._direction = objectives[self._score]
        self._sign = -1.0 if self._direction == "maximize" else 1.0
        self._known: dict[Key, Known] = {}
        self._learnt = 0, 0

    def recall(self, earlier: Sequence[tuple[Point, float]]) -> None:
        """See `Recalling.recall`."""
        rows = np.array([self._surrogate.row(point) for point, _ in earlier])
        self._surrogate.recall(rows, np.array([loss for _, loss in earlier]))

    def ask(self) -> Trial | None:
        """What promises most; None if all that is left is with a worker."""
        known = self._known.values()
        told = sum(len(k.losses) for k in known)
        rng = random.Random(f"{self._seed}/{self._next}/{told}")
        believes = len(known) >= FIRST and self._learn()
        paused = [k for k in known if k.losses and k.asked is None and not k.over]
        if not paused or len(known) < FIRST or self._may_look():
            point = self._thought_of(rng, believes)
            if point is not None or not paused:
                return None if point is None else self._new(point)
        if not believes:
            return self._further(rng.choice(paused))
        return self._further(self._most_promising(self._least_beaten(paused)))

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        """Learn what a trial gave at the rung it reached."""
        self._next = max(self._next, trial.number + 1)
        known = self._at(trial.point, trial.number)
        known.asked = None
        if outcome.costs:
            costs = [outcome.costs.get(n, math.nan) for n in self._costs]
            known.costs = np.log(np.maximum(costs, 1e-12))
            known.limits = {n: float(np.log1p(v)) for n, v in outcome.violations.items()}
        if outcome.failure is not None or not outcome.feasible:
            known.over = True
        elif outcome.epochs:
            passed = sum(rung <= outcome.epochs for rung in self._rungs)
            reached = len(self._rungs) if outcome.finished else passed
            for rung in range(len(known.losses), reached):
                known.losses.append(self._loss_at(outcome, rung, reached))
            known.over = outcome.finished

    def _loss_at(self, outcome: Outcome, rung: int, reached: int) -> float:
        """The loss when a rung was passed, from the curve; at the last one what is told."""
        if rung == reached - 1:
            return self._sign * outcome.value(self._score)
        return self._sign * value_at(outcome, self._score, self._direction, self._rungs[rung])

    def _key(self, point: Point) -> Key:
        return frozenset(self._space.active(point).items())

    def _at(self, point: Point, number: int) -> Known:
        key = self._key(point)
        if key not in self._known:
            self._known[key] = Known(point, number, self._surrogate.row(point))
        return self._known[key]

    def _new(self, point: Point) -> Trial:
        known = self._at(point, self._next)
        self._next += 1
        return self._further(known)

    def _further(self, known: Known) -> Trial:
        known.asked = len(known.losses)
        epochs = self._rungs[known.asked]
        return Trial(known.number, str(known.point["family"]), known.point, epochs)

    def _may_look(self) -> bool:
        """Short trainings have had less than their share."""
        top = len(self._rungs) - 1
        looks = full = 0
        for known in self._known.values():
            rung = len(known.losses) - 1 if known.asked is None else known.asked
            if rung == top:
                full += self._rungs[top]
            elif rung >= 0:
                looks += self._rungs[rung]
        return top == 0 or looks <= LOOKS * (looks + full)

    def _thought_of(self, rng: random.Random, believes: bool) -> Point | None:
        """The most promising of many new points, half random, half children of the front.

        Some are the nearest to costs drawn at random: most random points cost much the same.
        """
        parents = self._front()
        pool: dict[Key, Point] = {}
        for number in range(POOL):
            point = self._child(parents, rng) if number % 2 else drawn_point(self._space, rng)
            key = self._key(point)
            if key not in self._known:
                pool[key] = point
                if not believes:
                    return point
        new = [Known(point, 0, self._surrogate.row(point)) for point in pool.values()]
        if not new:
            return None
        if rng.random() < BLINDLY:
            costs = self._belief(new).costs
            bounds = zip(self._surrogate.cheapest, self._surrogate.dearest, strict=True)
            wanted = [rng.uniform(low, high) for low, high in bounds]
            return new[int(np.abs(costs - wanted).sum(1).argmin())].point
        return self._most_promising(new).point

    def _front(self) -> list[Known]:
        """Those that nothing beats, at the highest rung that any has reached."""
        top = max((len(k.losses) for k in self._known.values()), default=0)
        done = [k for k in self._known.values() if top and len(k.losses) == top]
        rows = np.array([[k.losses[-1], *k.costs] for k in done if k.costs is not None])
        return [done[i] for i in unbeaten(rows)]

    def _child(self, parents: Sequence[Known], rng: random.Random) -> Point:
        """Of one parent with one or two values changed, or first crossed with another."""
        if not parents:
            return drawn_point(self._space, rng)
        point, other = dict(rng.choice(parents).point), rng.choice(parents).point
        if rng.random() < 0.3 and other["family"] == point["family"]:
            point = {n: (other if rng.random() < 0.5 else point)[n] for n in self._space}
        own = [n for n in self._space.active(point) if n != "family"]
        for name in rng.sample(own, min(len(own), rng.randint(1, 2))):
            point[name] = drawn(self._space[name], rng)
        return point

    def _least_beaten(self, paused: Sequence[Known]) -> list[Known]:
        """Those that fewest others beat at the rung they are paused at; as many as are weighed."""
        if len(paused) <= POOL:
            return list(paused)
        times: dict[int, int] = {}
        for reached in {len(k.losses) for k in paused}:
            rows = {
                k.number: [k.losses[reached - 1], *k.costs]
                for k in self._known.values()
                if len(k.losses) >= reached and k.costs is not None
            }
            here = [k.number for k in paused if len(k.losses) == reached]
            every = np.array(list(rows.values()))
            beating = num_beating(np.array([rows[n] for n in here]), every)
            times |= dict(zip(here, map(int, beating), strict=True))
        return sorted(paused, key=lambda k: (times[k.number], k.number))[:POOL]

    def _most_promising(self, among: Sequence[Known]) -> Known:
        return among[int(np.argmax(self._gains(among)))]

    def _gains(self, among: Sequence[Known]) -> Floats:
        """How much the dominated hypervolume is expected to grow by each (N,)."""
        belief = self._belief(among)
        rung = self._surrogate.rung
        reached = [k for k in self._known.values() if len(k.losses) > rung and k.costs is not None]
        losses = np.array([k.losses[rung] for k in reached])
        costs = np.array([k.costs for k in reached])
        flying = [k for k in self._known.values() if k.asked is not None and len(k.losses) <= rung]
        if flying:
            guess = self._belief(flying)
            losses = np.concatenate([losses, guess.losses])
            costs = np.concatenate([costs, guess.costs])
        levels = self._levels()
        under = (costs[None] <= levels[:, None] + 1e-9).all(-1)
        best = np.minimum(np.where(under, losses, np.inf).min(1), self._surrogate.worst)
        fits = (belief.costs[:, None] <= levels[None] + 1e-9).all(-1)
        improvement = expected_improvement(belief.losses, belief.deviations, best)
        gains: Floats = (improvement * fits).sum(1) * belief.allowed
        return gains

    def _levels(self) -> Floats:
        """Costs (L, C), logarithms, up to the limit: most evenly up to the best of any rung.

        The others go on from there to a little beyond the dearest, which may be better still.
        """
        if not self._costs:
            return np.zeros((1, 0))
        lowered = [
            (k.costs, k.limits) for k in self._known.values() if k.costs is not None and k.runs
        ]
        highest = np.max([self._surrogate.dearest, *(costs for costs, _ in lowered)], 0) + BEYOND
        costs, limits = lowered[0]
        for place, name in enumerate(self._costs):
            if name in limits:
                highest[place] = min(highest[place], costs[place] - limits[name])
        every = self._known.values()
        best = [
            min((k for k in every if len(k.losses) > rung), key=lambda k: k.losses[rung]).costs
            for rung in range(self._surrogate.rung + 1)
        ]
        reached = np.minimum(np.max([c for c in best if c is not None], 0) + BEYOND, highest)
        rng = np.random.default_rng(0)
        num_near = round(NEAR * LEVELS)
        levels = []
        for near, far in zip(np.exp(reached), np.exp(highest), strict=True):
            up = near * (np.arange(num_near) + 0.5) / num_near
            on = np.linspace(near, far, LEVELS - num_near + 1)[1:]
            levels.append(rng.permutation(np.concatenate([up, on])))
        return np.log(levels).T

    def _belief(self, among: Sequence[Known]) -> "Belief":
        return self._surrogate.belief(*self._arrays(among))

    def _learn(self) -> bool:
        """Whatever was told since; whether that is enough to believe anything."""
        lowered = [k for k in self._known.values() if k.costs is not None]
        state = len(lowered), sum(len(k.losses) for k in lowered)
        if state != self._learnt and any(k.runs for k in lowered):
            self._learnt = state
            lowered.sort(key=lambda k: k.number)
            self._surrogate.learn(*self._arrays(lowered), [k.limits for k in lowered])
        return self._surrogate.rung >= 0

    def _arrays(self, among: Sequence[Known]) -> tuple[Floats, Floats, Floats]:
        """Rows (N, F), costs (N, C) and losses (N, R), NaN where nothing is known."""
        nothing = np.full(len(self._costs), np.nan)
        losses = np.full((len(among), len(self._rungs)), np.nan)
        for row, known in zip(losses, among, strict=True):
            row[: len(known.losses)] = known.losses
        costs = np.array([nothing if k.costs is None else k.costs for k in among])
        return np.array([k.row for k in among]), costs, losses


def expected_improvement(means_N: Floats, deviations_N: Floats, best_L: Floats) -> Floats:
    """How far below each of some losses a Gaussian is expected to fall, (N, L)."""
    from scipy.special import ndtr

    z = (best_L[None] - means_N[:, None]) / np.maximum(deviations_N, 1e-9)[:, None]
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    gain: Floats = deviations_N[:, None] * (z * ndtr(z) + density)
    return gain
