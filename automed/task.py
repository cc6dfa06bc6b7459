"""The contract of a file in studies/: one clinical task, stated as data."""

import math
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from automed.errors import TaskError, UnknownNameError

Direction = Literal["maximize", "minimize"]
COSTS = {  # what a candidate costs; known before it is trained
    "latency_ms": "median latency of the exported model, ms",
    "latency_p95_ms": "95th percentile of its latency, ms",
    "size_bytes": "size of the exported file, bytes",
    "params": "parameters",
    "macs": "multiply-accumulate operations for one sample",
}


def at_place(cost: str, label: str) -> str:
    """A cost on a target or device that is not the first: latency_ms@openvino."""
    return f"{cost}@{label}" if label else cost


def is_cost(name: str) -> bool:
    """Whether an objective is a cost, on whatever target or device, and no score."""
    return name.partition("@")[0] in COSTS


AUGMENTATIONS = ("flip", "rotate90", "intensity")
"""What training/augment.py offers."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Budget(_Strict):
    """How long to search.

    Attributes:
        trials: Full trainings; one that is stopped early counts by the epochs it had.
        epochs: Of a full training.
        at_random: Share of the trainings that goes to random points, whose best the chosen model
            is compared with.
    """

    trials: int = Field(default=24, ge=1)
    epochs: int = Field(default=10, ge=1)
    at_random: float = Field(default=0.1, ge=0, le=1)

    @property
    def rungs(self) -> tuple[int, ...]:
        """Epochs that a training may be paused at, a ninth and a third of them, and all."""
        return tuple(sorted({max(1, round(self.epochs / part)) for part in (9, 3, 1)}))


class Training(_Strict):
    """How the gradient recipe trains.

    Attributes:
        batch: Samples a step.
        learning_rate: Peak of the cosine schedule.
        weight_decay: Of AdamW.
        warmup: Share of the steps over which the rate rises from zero.
        patience: Share of the epochs without a better validation score before an early stop.
        label_smoothing: Probability mass spread over the other classes.
        augment: Names out of AUGMENTATIONS.
    """

    batch: int = Field(default=32, ge=2)
    learning_rate: float = Field(default=3e-3, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    patience: float = Field(default=0.5, gt=0, le=1)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    augment: tuple[str, ...] = AUGMENTATIONS

    @field_validator("augment")
    @classmethod
    def _augmentations_are_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in AUGMENTATIONS:
                raise ValueError(str(UnknownNameError("augmentation", name, AUGMENTATIONS)))
        return names


class Task(_Strict):
    """What to search for: the data, what counts as good, which families may compete.

    Attributes:
        name: The file's name without its ending.
        title: One line for screens and reports.
        problem: Name of the problem: what outputs, losses and metrics mean.
        data: Source used when the user gives none.
        window: Hounsfield units mapped to 0 and 1, for images in that unit.
        families: Families that compete.
        objectives: Score or cost to its direction; the first score is the accuracy objective.
        limits: Cost to its upper bound; a candidate above one is never trained.
        budget: How long to search.
        training: How networks are trained.
        networks: Unsearched networks by name: a family and a config, free of its ranges.
        baselines: Which networks and classical methods every run is compared with.
    """

    name: str
    title: str
    problem: str
    data: str
    window: tuple[float, float] = (-1000.0, 400.0)
    families: tuple[str, ...] = Field(min_length=1)
    objectives: dict[str, Direction]
    limits: dict[str, float] = {}
    budget: Budget = Budget()
    training: Training = Training()
    networks: dict[str, dict[str, Any]] = {}
    baselines: tuple[str, ...] = ()

    @field_validator("limits")
    @classmethod
    def _limits_are_costs(cls, limits: dict[str, float]) -> dict[str, float]:
        for name, bound in limits.items():
            if not is_cost(name):
                raise ValueError(f"a limit on {name!r}; limits are on {', '.join(COSTS)}")
            if not 0 < bound < math.inf:
                raise ValueError(f"the limit on {name} must be a number above 0")
        return limits

    @field_validator("window")
    @classmethod
    def _window_ascends(cls, window: tuple[float, float]) -> tuple[float, float]:
        if not -math.inf < window[0] < window[1] < math.inf:
            raise ValueError("a window is two numbers, the lower one first")
        return window

    @field_validator("networks")
    @classmethod
    def _networks_name_a_family(
        cls, networks: dict[str, dict[str, Any]]
    ) -> dict[str, dict[str, Any]]:
        for name, network in networks.items():
            if not isinstance(network.get("family"), str):
                raise ValueError(f"network {name!r} names no family")
        return networks

    @property
    def score(self) -> str:
        """The accuracy objective: the first objective that is no cost."""
        return next(name for name in self.objectives if not is_cost(name))

    def changed(self, **fields: Any) -> "Task":
        """This task with some fields replaced and validated anew.

        Raises:
            TaskError: A new value does not make sense.
        """
        return _validated(self.model_dump() | fields, self.name)

    @classmethod
    def read(cls, path: Path) -> "Task":
        """The task in a YAML file.

        Raises:
            TaskError: The file is not YAML or does not describe a task.
        """
        try:
            raw = yaml.safe_load(path.read_text())
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise TaskError(f"{path.name} cannot be read as YAML: {error}") from error
        if not isinstance(raw, dict):
            raise TaskError(f"{path.name} holds no mapping of task fields")
        return _validated({"name": path.stem} | raw, path.name)


def _validated(raw: dict[str, Any], where: str) -> Task:
    try:
        task = Task.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "task"
        raise TaskError(f"{where}: {field}: {first['msg']} (given: {first['input']!r})") from error
    if all(is_cost(name) for name in task.objectives):
        raise TaskError(
            f"{where}: objectives name only costs; name a score too, such as auc or dice"
        )
    known = {*task.networks, *CLASSICAL}
    for name in task.baselines:
        if name not in known:
            raise TaskError(f"{where}: baselines: {UnknownNameError('baseline', name, known)}")
    return task


CLASSICAL = (
    "logistic-regression",
    "random-forest",
    "training-mean",
    "ridge",
    "threshold",
    "identity",
    "gaussian",
    "median",
    "mean-intensity",
    "pca",
    "blob-detector",
)
