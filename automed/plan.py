"""One search as plain values: what the record keeps, and what a resumed search needs."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from automed.errors import RunError
from automed.executors import num_cores
from automed.space import Point
from automed.task import Task

DEFAULT_STRATEGY = "pareto"
DEFAULT_MAX_DROP = 0.01
DEFAULT_TARGETS = ("onnx",)
DEFAULT_DEVICES = ("host",)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One search, as plain values: what the record keeps and a resumed search needs.

    Attributes:
        task: The task with the user's changes.
        data: Source of the images.
        keys: Which arrays or columns of the source play which role.
        window: Raw values mapped to 0 and 1, if the user gave them.
        strategy: Name of the strategy.
        stopping: Name of the rule that stops trainings early.
        executor: Name of the executor.
        targets: Names of the targets, the one that latency is about first.
        devices: Names of the devices that models are timed on, the one they are for first.
        seed: Of split, strategy and weights.
        workers: Trials at once; None for one per core or GPU.
        cpus: Cores a trial takes on a cluster.
        gpus: GPUs a trial takes on a cluster.
        address: Of a Ray cluster to join.
        hours: Wall time to search, or None.
        starts: Points tried after the families' defaults: the front of an earlier search.
        earlier: What it trained to its end, and what that lost there, smaller better.
        latencies: Run folder whose timings are used again, or None.
        own_limits: Names of the limits that the user gave; the others are the task's.
        max_drop: By how much the validation score of an int8 file may be worse than that in fp32;
            None for no int8.
        examples: Whether the report shows pictures of validation samples.
    """

    task: Task
    data: str
    keys: Mapping[str, str] = field(default_factory=dict)
    window: tuple[float, float] | None = None
    strategy: str = DEFAULT_STRATEGY
    stopping: str = "none"
    executor: str = "local"
    targets: tuple[str, ...] = DEFAULT_TARGETS
    devices: tuple[str, ...] = DEFAULT_DEVICES
    seed: int = 0
    workers: int | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    address: str | None = None
    hours: float | None = None
    starts: tuple[Point, ...] = ()
    earlier: tuple[tuple[Point, float], ...] = ()
    latencies: str | None = None
    own_limits: tuple[str, ...] = ()
    max_drop: float | None = DEFAULT_MAX_DROP
    examples: bool = True

    def settings(self) -> dict[str, Any]:
        """Plain JSON values; `from_settings` is the inverse."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        plain = {
            "keys": dict(self.keys),
            "starts": [dict(point) for point in self.starts],
            "earlier": [[dict(point), loss] for point, loss in self.earlier],
        }
        return values | {"task": self.task.model_dump(), **plain}

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "Plan":
        """The plan behind a record.

        Raises:
            RunError: Another version of automed began the search.
        """
        try:
            window = settings["window"]
            return cls(
                **dict(settings)
                | {
                    "task": Task.model_validate(settings["task"]),
                    "window": None if window is None else (window[0], window[1]),
                    "targets": tuple(settings["targets"]),
                    "devices": tuple(settings["devices"]),
                    "own_limits": tuple(settings["own_limits"]),
                    "starts": tuple(settings["starts"]),
                    "earlier": tuple((p, loss) for p, loss in settings["earlier"]),
                }
            )
        except (KeyError, TypeError, ValidationError) as error:
            raise RunError(
                "the search was begun by another version of automed; resume it with that one, or "
                "start a new one with --warm-start of its folder"
            ) from error

    @property
    def num_workers(self) -> int:
        """Trials at once."""
        return self.workers or num_cores()
