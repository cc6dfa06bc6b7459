"""automed's own: costs are known before training, only the score is uncertain."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import norm

from automed.space import Joint, Point, Value
from automed.strategies.random_search import drawn
from automed.strategies.surrogate import Chain, Encoding, Floats, Process
from automed.task import COSTS, Direction
from automed.trial import Outcome, Trial

FIRST = 8
"""Random architectures before the surrogate is asked."""
POOL = 300
"""Architectures thought of for each that is lowered."""
LOWERED = 4
"""Architectures lowered for each that is trained a first time."""
LOOKS = 0.3
"""Share of the training that goes to fidelities below the full one."""
AT_RANDOM = 0.1
"""Share of architectures drawn blindly, lest the surrogate never hears that it errs."""
LEVELS = 200
"""Cost levels that an architecture is held against the front at."""


@dataclass(eq=False)
class Node:
    """What is known of an architecture.

    Attributes:
        losses: The score at each rung it has reached, smaller better.
        running: It is with a worker.
        over: It failed, breaks a limit, or nothing is left to train.
    """

    point: Point
    number: int
    costs: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    running: int = 0
    over: bool = False


class Pareto:
    def __init__(
        self,
        space: Joint,
        objectives: Mapping[str, Direction],
        *,
        rungs: Sequence[int],
        seed: int,
        first: int,
    ) -> None:
        self._space, self._rungs, self._seed = space, tuple(rungs), seed
        self._next = first
        self._costs = [n for n in objectives if n in COSTS]
        scores = [n for n in objectives if n not in COSTS]
        (self._score,) = scores
        self._sign = -1.0 if objectives[self._score] == "maximize" else 1.0
        self._nodes: dict[frozenset[tuple[str, Value]], Node] = {}
        self._encode = Encoding(space)
        self._told = self._fitted = self._learnt = 0
        self._queue: list[Point] = []

    def ask(self) -> Trial | None:
        rng = random.Random(f"{self._seed}/{self._next}/{self._told}")
        nodes = self._nodes.values()
        begun = sum(1 for n in nodes if n.losses or n.running > 0)
        if begun < FIRST:
            return self._asked(self._random(rng), self._rungs[0])
        idle = [n for n in nodes if not n.running and not n.over]
        paused = [n for n in idle if n.losses]
        stock = [n for n in idle if not n.losses and n.costs]
        if paused and not self._may_look():
            return self._further(self._most_promising(paused))
        lowered = sum(1 for n in nodes if n.costs or n.running < 0)
        if lowered < LOWERED * (begun + 1):
            point = self._thought_of(rng)
            if point is not None:
                return self._asked(point, 0)
        if not stock:
            return self._further(self._most_promising(paused)) if paused else None
        if rng.random() < AT_RANDOM:
            return self._further(rng.choice(stock))
        return self._further(self._most_promising(stock))

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        self._next = max(self._next, trial.number + 1)
        self._told += 1
        node = self._node(trial.point, trial.number)
        node.running = 0
        if outcome.costs:
            node.costs = [float(np.log(outcome.costs[n])) for n in self._costs]
        if outcome.failure is not None or not outcome.feasible:
            node.over = True
            return
        if outcome.epochs == 0:
            return
        self._learnt += 1
        value = self._sign * outcome.value(self._score)
        reached = len(self._rungs) if outcome.finished else self._rungs.index(outcome.epochs) + 1
        node.losses += [value] * (reached - len(node.losses))
        node.over = reached == len(self._rungs)

    def _node(self, point: Point, number: int) -> Node:
        active = self._space.active(point)
        return self._nodes.setdefault(frozenset(active.items()), Node(point, number))

    def _asked(self, point: Point, epochs: int) -> Trial:
        node = self._node(point, self._next)
        node.running = epochs or -1
        self._next += 1
        return Trial(node.number, str(point["family"]), point, epochs)

    def _further(self, node: Node) -> Trial:
        node.running = epochs = self._rungs[len(node.losses)]
        return Trial(node.number, str(node.point["family"]), node.point, epochs)

    def _may_look(self) -> bool:
        """Fidelities below the full one have had less than their share of the training."""
        looks = full = 0
        for node in self._nodes.values():
            reached = len(node.losses)
            if node.running > 0:
                reached = self._rungs.index(node.running) + 1
            epochs = self._rungs[reached - 1] if reached else 0
            if reached == len(self._rungs):
                full += epochs
            else:
                looks += epochs
        return len(self._rungs) == 1 or looks <= LOOKS * (looks + full)

    def _random(self, rng: random.Random) -> Point:
        for _ in range(100):
            point = {name: drawn(p, rng) for name, p in self._space.items()}
            if frozenset(self._space.active(point).items()) not in self._nodes:
                break
        return point

    def _thought_of(self, rng: random.Random) -> Point | None:
        """The most promising of a pool of new points."""
        if rng.random() < AT_RANDOM:
            return self._random(rng)
        while self._queue:
            point = self._queue.pop()
            if frozenset(self._space.active(point).items()) not in self._nodes:
                return point
        parents = self._parents()
        pool: dict[frozenset[tuple[str, Value]], Point] = {}
        for number in range(POOL):
            if number % 2 and parents:
                point = self._child(parents, rng)
            else:
                point = {name: drawn(p, rng) for name, p in self._space.items()}
            key = frozenset(self._space.active(point).items())
            if key not in self._nodes:
                pool[key] = point
        if not pool:
            return None
        points = list(pool.values())
        order = np.argsort(self._gains([Node(p, 0) for p in points]))
        self._queue = [points[i] for i in order[-LOWERED:]]
        return self._queue.pop()

    def _parents(self) -> list[Node]:
        done = [n for n in self._nodes.values() if n.losses and n.costs]
        top = max(len(n.losses) for n in done)
        done = [n for n in done if len(n.losses) == top]
        rows = np.array([[n.losses[-1], *n.costs] for n in done])
        on = [i for i, r in enumerate(rows) if not ((rows <= r).all(1) & (rows < r).any(1)).any()]
        return [done[i] for i in on]

    def _child(self, parents: list[Node], rng: random.Random) -> Point:
        point = dict(rng.choice(parents).point)
        other = rng.choice(parents).point
        names = list(self._space)
        if rng.random() < 0.3 and other["family"] == point["family"]:
            point = {n: (other if rng.random() < 0.5 else point)[n] for n in names}
        own = [n for n in self._space.active(point) if n != "family"] or names
        for name in rng.sample(own, min(len(own), rng.randint(1, 2))):
            point[name] = drawn(self._space[name], rng)
        return point

    def _most_promising(self, nodes: list[Node]) -> Node:
        return nodes[int(np.argmax(self._gains(nodes)))]

    def _gains(self, nodes: list[Node]) -> Floats:
        """Expected growth (N,) of what the front dominates."""
        self._learn()
        mean, deviation, costs = self._predicted(nodes)
        known = self._chain.known
        done = [n for n in self._nodes.values() if len(n.losses) >= known and n.costs]
        losses = np.array([n.losses[known - 1] for n in done])
        spent = np.array([n.costs for n in done])
        running = [
            n for n in self._nodes.values() if n.running > 0 and n.costs and len(n.losses) < known
        ]
        if running:
            guess, _, at = self._predicted(running)
            losses, spent = np.concatenate([losses, guess]), np.concatenate([spent, at])
        worst = self._worst
        levels = self._levels(spent)
        under = (spent[None] <= levels[:, None] + 1e-9).all(-1)
        best_L = np.minimum(np.where(under, losses, np.inf).min(1), worst)
        z = (best_L[None] - mean[:, None]) / np.maximum(deviation, 1e-9)[:, None]
        gain = deviation[:, None] * (z * norm.cdf(z) + norm.pdf(z))
        fits = (costs[:, None] <= levels[None] + 1e-9).all(-1)
        return (gain * fits).sum(1)

    def _levels(self, spent: Floats) -> Floats:
        rng = np.random.default_rng(0)
        high = np.exp(self._cost_rows.max(0))
        if MODE == "linear":
            u = (np.arange(LEVELS) + 0.5) / LEVELS
            return np.log(np.stack([rng.permutation(u) * h for h in high], 1) + 1e-12)
        return self._cost_rows[rng.integers(len(self._cost_rows), size=LEVELS)]

    def _predicted(self, nodes: list[Node]) -> tuple[Floats, Floats, Floats]:
        x = self._encode([n.point for n in nodes])
        costs = np.full((len(nodes), len(self._costs)), np.nan)
        for i, n in enumerate(nodes):
            if n.costs:
                costs[i] = n.costs
        missing = np.isnan(costs).any(1)
        if missing.any():
            for k, process in enumerate(self._cost_processes):
                costs[missing, k] = process(x[missing])[0]
        y = np.full((len(nodes), len(self._rungs)), np.nan)
        for i, n in enumerate(nodes):
            y[i, : len(n.losses)] = n.losses
        mean, deviation = self._chain(self._features(x, costs), y)
        return mean, deviation, costs

    def _features(self, x: Floats, costs: Floats) -> Floats:
        return np.concatenate([x, (costs - self._middle) / self._spread], 1)

    def _learn(self) -> None:
        if self._fitted == self._learnt:
            return
        self._fitted = self._learnt
        rows = sorted((n for n in self._nodes.values() if n.costs), key=lambda n: n.number)
        x = self._encode([n.point for n in rows])
        self._cost_rows = costs = np.array([n.costs for n in rows])
        self._middle, self._spread = costs.mean(0), costs.std(0) + 1e-9
        if not hasattr(self, "_cost_processes"):
            self._cost_processes = [Process() for _ in self._costs]
            self._chain = Chain(len(self._rungs))
        for k, process in enumerate(self._cost_processes):
            process.fit(x[:200], costs[:200, k])
        y = np.full((len(rows), len(self._rungs)), np.nan)
        for i, n in enumerate(rows):
            y[i, : len(n.losses)] = n.losses
        self._chain.fit(self._features(x, costs), y)
        rng = random.Random(self._seed)
        anyone = [Node({n: drawn(p, rng) for n, p in self._space.items()}, 0) for _ in range(200)]
        self._worst = float(np.median(self._predicted(anyone)[0]))


MODE = "linear"


def make(algorithm, space, objectives, *, rungs, seed, first):
    """See `Maker.make`."""
    return Pareto(space, objectives, rungs=rungs, seed=seed, first=first)
