"""One question a strategy asks, and the answer it is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from automed.space import Point

BASELINE = "baseline"
SEARCH = "search"


@dataclass(frozen=True)
class Trial:
    """An architecture to evaluate, and how far.

    Attributes:
        number: Counts the questions of one search from 0.
        family: Name of the family.
        point: A value for every parameter of the joint space; those of other families are ignored.
        epochs: The fidelity: 0 is built, lowered and timed; otherwise trained up to that epoch.
        origin: "search", or "baseline" for a network that no strategy chose.
        name: How people call it; the baseline's name, or family and number.
        previous: The outcome at a lower fidelity, if there was one; its checkpoint continues.
    """

    number: int
    family: str
    point: Point
    epochs: int
    origin: str = SEARCH
    name: str = ""
    previous: "Outcome | None" = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What evaluating a trial gave. It may hold costs without scores, never the reverse.

    Attributes:
        scores: Metrics on the validation part, at the epoch whose weights are kept.
        costs: latency_ms, latency_p95_ms, latency_relative (to the reference artefact timed in the
            same session), size_bytes, params, macs; of targets and devices but the first with their
            name, as in latency_ms@openvino.
        violations: Limit name to value / limit - 1; positive where the limit is broken, or for a
            target that refuses the architecture.
        refusals: Target, or another device, to the reason why the architecture cannot run there.
        failure: Why there are no scores, if evaluation broke.
        unreachable: Whether what broke is a device that others need too: the search cannot go on.
        epochs: The fidelity that was reached.
        finished: Nothing is left to train: full fidelity or an early stop.
        curve: One mapping an epoch: loss and validation metrics.
        graph: Digest of the lowered graph without its weights.
        device: Where it was trained.
        seconds: Wall time of lower, time and train.
        checkpoint: Training state to continue from, or the kept weights when finished.
    """

    scores: Mapping[str, float] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)
    violations: Mapping[str, float] = field(default_factory=dict)
    refusals: Mapping[str, str] = field(default_factory=dict)
    failure: str | None = None
    unreachable: bool = field(default=False, compare=False)
    epochs: int = 0
    finished: bool = False
    curve: tuple[Mapping[str, float], ...] = ()
    graph: str = ""
    device: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    checkpoint: bytes | None = field(default=None, repr=False, compare=False)

    @property
    def feasible(self) -> bool:
        """No limit is broken and no target refuses it."""
        return all(v <= 0 for v in self.violations.values())

    @property
    def settled(self) -> bool:
        """No higher fidelity can follow: complete, infeasible or failed."""
        return self.finished or self.failure is not None or not self.feasible

    @property
    def state(self) -> str:
        """One word for tables: complete, infeasible, failed, paused or lowered."""
        if self.failure is not None:
            return "failed"
        if not self.feasible:
            return "infeasible"
        if self.finished:
            return "complete"
        return "paused" if self.epochs else "lowered"

    def trainings(self, full_epochs: int) -> float:
        """How many full trainings it took: a part if it was paused, 1 if it ended early or broke.

        An architecture that was turned away before its training took none.
        """
        if self.finished or self.failure is not None:
            return 1.0
        return self.epochs / full_epochs

    def value(self, name: str) -> float:
        """The score or cost of that name; KeyError if the outcome does not hold it."""
        return float({**self.costs, **self.scores}[name])

    def facts(self) -> dict[str, Any]:
        """Everything but the checkpoint, as plain JSON types."""
        return {
            "scores": dict(self.scores),
            "costs": dict(self.costs),
            "violations": dict(self.violations),
            "refusals": dict(self.refusals),
            "failure": self.failure,
            "epochs": self.epochs,
            "finished": self.finished,
            "curve": [dict(c) for c in self.curve],
            "graph": self.graph,
            "device": self.device,
            "seconds": dict(self.seconds),
        }
