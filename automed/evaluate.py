"""From a trial to its outcome: built, lowered, timed, held against the limits, trained."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from automed import registry
from automed.errors import ExportError, UnreachableError
from automed.failure import reason
from automed.family import Family
from automed.lowering import Lowered, Memo, lowered
from automed.sample import SampleSpec
from automed.space import gather
from automed.task import Task
from automed.timing import HOST, Place, places
from automed.trial import BASELINE, Outcome, Trial

if TYPE_CHECKING:
    from torch import nn

    from automed.data import Source
    from automed.training.recipes import Schedule
    from automed.training.tensors import Tensors

CANNOT_RUN = 1.0
"""By how much a target that refuses an architecture is said to be violated."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What every trial of a search shares; names and plain values, so any worker can take it.

    Attributes:
        task: The task, with the user's changes.
        data: Source of the images.
        keys: Which arrays or columns of the source play which role.
        window: Raw values mapped to 0 and 1, if the user gave them.
        seed: Of the split, the weights and the order of samples.
        targets: Names of the targets that candidates are lowered to, the one they are for first.
        devices: Names of the devices that they are timed on, the one they are for first.
        threads: CPU threads a worker may train with.
        latencies: Known latencies by `memo_key`, used instead of timing.
    """

    task: Task
    data: str
    keys: Mapping[str, str] = field(default_factory=dict)
    window: tuple[float, float] | None = None
    seed: int = 0
    targets: tuple[str, ...] = ("onnx",)
    devices: tuple[str, ...] = (HOST,)
    threads: int = 1
    latencies: Memo = field(default_factory=dict, repr=False, hash=False, compare=False)

    @property
    def places(self) -> list[Place]:
        """Where candidates are timed, the place they are for first."""
        return places(self.targets, self.devices)


@dataclass(frozen=True)
class Evaluate:
    """Answers one trial; picklable, and remembers what its process has loaded."""

    job: Job

    def __call__(self, trial: Trial) -> Outcome:
        """The outcome of a trial; what breaks is its reason, never an exception."""
        import torch

        try:
            return _evaluate(self.job, trial)
        except Exception as error:
            if isinstance(error, torch.OutOfMemoryError):
                torch.cuda.empty_cache()
            lost = isinstance(error, UnreachableError)
            return Outcome(failure=reason(error), unreachable=lost)

    def warm(self, worker: int) -> None:
        """Load what every trial needs; workers spread over the GPUs of their machine."""
        import torch

        if torch.cuda.device_count() > 1:
            torch.cuda.set_device(worker % torch.cuda.device_count())
        torch.set_num_threads(self.job.threads)
        _tensors(_shared(self.job))


def architecture(trial: Trial) -> Family:
    """The architecture a trial asks for; a baseline is free of its family's ranges."""
    family = registry.family(trial.family)
    if trial.origin == BASELINE:
        return family(**gather(trial.point))
    return family.within(trial.point)


def network_of(trial: Trial, sample: SampleSpec, seed: int) -> "nn.Module":
    """The untrained network of a trial; equal seeds give equal weights."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return architecture(trial).build(sample)


def _evaluate(job: Job, trial: Trial) -> Outcome:
    shared = _shared(job)
    start = time.perf_counter()
    network = network_of(trial, shared.sample, job.seed)
    known = lowered(
        network,
        job.task,
        shared.sample,
        job.places,
        name=trial.name,
        slow=trial.previous is not None or trial.epochs >= job.task.budget.epochs,
        before=_known(trial.previous),
        latencies=job.latencies,
    )
    seconds = {"lower": time.perf_counter() - start}
    if trial.origin == BASELINE:  # it need not run wherever the search's models have to
        if job.targets[0] in known.refusals:
            raise ExportError(known.refusals[job.targets[0]])
        before = Outcome(costs=known.costs, graph=known.graph, seconds=seconds)
    else:
        limits = job.task.limits.items()
        over = {n: known.costs[n] / bound - 1 for n, bound in limits if n in known.costs}
        refused = {f"runs on {target}": CANNOT_RUN for target in known.refusals}
        before = Outcome(
            costs=known.costs,
            violations=over | refused,
            refusals=known.refusals,
            graph=known.graph,
            seconds=seconds,
        )
    if trial.epochs == 0 or not before.feasible:
        return before
    return _trained(job, trial, network, before)


def _known(previous: Outcome | None) -> Lowered | None:
    """What an earlier call for the same trial found."""
    if previous is None:
        return None
    return Lowered(graph=previous.graph, costs=previous.costs, refusals=previous.refusals)


def _trained(job: Job, trial: Trial, network: "nn.Module", before: Outcome) -> Outcome:
    from automed.training.recipes import TrainingFailure
    from automed.training.tensors import device_name

    problem = registry.part("problem", job.task.problem).PROBLEM
    recipe = registry.part("recipe", architecture(trial).recipe)
    shared = _shared(job)
    start = time.perf_counter()
    fit = recipe.train(
        network,
        _tensors(shared),
        problem,
        schedule(job),
        epochs=trial.epochs,
        checkpoint=trial.previous.checkpoint if trial.previous else None,
    )
    if not math.isfinite(fit.scores[job.task.score]):
        raise TrainingFailure(
            f"{job.task.score} is undefined on the validation part: does it hold every class?"
        )
    earlier = trial.previous.seconds.get("train", 0.0) if trial.previous else 0.0
    return replace(
        before,
        scores={name: value for name, value in fit.scores.items() if math.isfinite(value)},
        epochs=fit.epochs,
        finished=fit.finished,
        curve=fit.curve,
        device=device_name(),
        seconds={**before.seconds, "train": earlier + time.perf_counter() - start},
        checkpoint=fit.checkpoint,
    )


def schedule(job: Job) -> "Schedule":
    """How networks of a job are trained."""
    from automed.training.recipes import Schedule

    return Schedule(
        settings=job.task.training,
        score=job.task.score,
        full_epochs=job.task.budget.epochs,
        seed=job.seed,
    )


def source(job: Job) -> "Source":
    """Where the samples of a job come from."""
    from automed.data import Source

    problem = registry.part("problem", job.task.problem).PROBLEM
    return Source(
        place=job.data,
        keys=tuple(sorted(job.keys.items())),
        seed=job.seed,
        window=job.window,
        hu_window=job.task.window,
        target=problem.target,
        one_class=problem.one_class,
    )


@dataclass(frozen=True, eq=False)
class _Shared:
    """The parts a worker may see: the sealed one is dropped where the data is opened."""

    sample: SampleSpec
    train: Any
    val: Any


def _shared(job: Job) -> _Shared:
    return _opened(source(job))


@cache
def _opened(source: "Source") -> _Shared:
    from automed import data

    parts = data.open_parts(source)
    return _Shared(parts.train.sample, parts.train, parts.val)


@cache
def _tensors(shared: _Shared) -> "Tensors":
    from automed.training.tensors import tensors, training_device

    return tensors(shared.train, shared.val, training_device())
