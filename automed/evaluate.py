"""From a trial to its outcome: built, lowered, timed, held against the limits, trained."""

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from automed import registry
from automed.errors import AutomedError
from automed.family import Family
from automed.sample import SampleSpec
from automed.space import gather
from automed.task import Task
from automed.trial import BASELINE, Outcome, Trial

if TYPE_CHECKING:
    from torch import nn

    from automed.data import Source
    from automed.exporters.deployed import Deployed
    from automed.training.tensors import Tensors

Memo = Mapping[str, Mapping[str, float]]
_PART = r"[^\s/\\'\":,;()]"
_FOLDERS = re.compile(rf"(?<![\w.])(?:[A-Za-z]:)?(?:[/\\]{_PART}+)*[/\\](?={_PART})")


@dataclass(frozen=True, kw_only=True)
class Job:
    """What every trial of a search shares; names and plain values, so any worker can take it.

    Attributes:
        task: The task, with the user's changes.
        data: Source of the images.
        keys: Which arrays or columns of the source play which role.
        window: Raw values mapped to 0 and 1, if the user gave them.
        seed: Of the split, the weights and the order of samples.
        exporter: Name of the target that candidates are lowered to.
        threads: CPU threads a worker may train with.
        latencies: Known latencies by `memo_key`, used instead of timing.
    """

    task: Task
    data: str
    keys: Mapping[str, str] = field(default_factory=dict)
    window: tuple[float, float] | None = None
    seed: int = 0
    exporter: str = "onnx"
    threads: int = 1
    latencies: Memo = field(default_factory=dict, repr=False, hash=False, compare=False)


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
            return Outcome(failure=reason(error))

    def warm(self, worker: int) -> None:
        """Load what every trial needs; workers spread over the GPUs of their machine."""
        import torch

        if torch.cuda.device_count() > 1:
            torch.cuda.set_device(worker % torch.cuda.device_count())
        torch.set_num_threads(self.job.threads)
        _tensors(_shared(self.job))


def reason(error: Exception) -> str:
    """One line on what broke, its local paths cut to their last part: records travel."""
    import torch

    from automed.training.recipes import TrainingFailure

    if isinstance(error, TrainingFailure | AutomedError):
        return _FOLDERS.sub("", str(error))
    in_words = "can't allocate memory" in str(error)  # torch's on a CPU
    if in_words or isinstance(error, MemoryError | torch.OutOfMemoryError):
        return "out of memory"
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {_FOLDERS.sub('', first)[:300]}"


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


def deployed(network: "nn.Module", task: Task, sample: SampleSpec) -> "Deployed":
    """The network between its preprocessing and its final activation."""
    from automed.exporters.deployed import Deployed

    return Deployed(network, sample, registry.part("problem", task.problem).PROBLEM)


def memo_key(graph: str, exporter: str, name: str = "") -> str:
    """What a latency belongs to: the graph, this machine's processor, the runtime.

    With the name of a trial it is that trial's own: trials that differ in dropout share a graph.
    """
    from automed.exporters import onnx_runtime
    from automed.measure import latency

    key = f"{graph}|{exporter}|{latency.processor()}|{onnx_runtime.RUNTIME}"
    return f"{key}|{name}" if name else key


def _evaluate(job: Job, trial: Trial) -> Outcome:
    shared = _shared(job)
    start = time.perf_counter()
    network = network_of(trial, shared.sample, job.seed)
    if trial.previous is None:
        graph, costs = _costs(job, trial.name, network, shared.sample)
    else:
        graph, costs = trial.previous.graph, trial.previous.costs
    violations = {n: costs[n] / bound - 1 for n, bound in job.task.limits.items()}
    lowered = Outcome(
        costs=costs,
        violations={} if trial.origin == BASELINE else violations,
        graph=graph,
        seconds={"lower": time.perf_counter() - start},
    )
    if trial.epochs == 0 or not lowered.feasible:
        return lowered
    return _trained(job, trial, network, lowered)


def _costs(
    job: Job, name: str, network: "nn.Module", sample: SampleSpec
) -> tuple[str, Mapping[str, float]]:
    import torch

    from automed.measure import latency
    from automed.measure.counts import num_macs, num_params

    exporter = registry.part("exporter", job.exporter)
    artefact = exporter.export(deployed(network, job.task, sample), sample.inputs, {})
    graph = exporter.digest(artefact)
    keys = memo_key(graph, job.exporter, name), memo_key(graph, job.exporter)
    known = next((job.latencies[key] for key in keys if key in job.latencies), None)
    if known is None:
        runs = exporter.load(artefact).rehearse
        timed = latency.measure({"it": runs}, exporter.load(exporter.reference()).rehearse)["it"]
        known = {
            "latency_ms": timed.median_ms,
            "latency_p95_ms": timed.p95_ms,
            "latency_relative": timed.relative,
        }
    network.eval()
    return graph, {
        **known,
        "size_bytes": len(artefact),
        "params": num_params(network),
        "macs": num_macs(network, *(torch.zeros(1, *spec.shape) for spec in sample.inputs)),
    }


def _trained(job: Job, trial: Trial, network: "nn.Module", lowered: Outcome) -> Outcome:
    from automed.training.recipes import Schedule, TrainingFailure
    from automed.training.tensors import device_name

    problem = registry.part("problem", job.task.problem).PROBLEM
    recipe = registry.part("recipe", architecture(trial).recipe)
    shared = _shared(job)
    start = time.perf_counter()
    fit = recipe.train(
        network,
        _tensors(shared),
        problem,
        Schedule(
            settings=job.task.training,
            score=job.task.score,
            full_epochs=job.task.budget.epochs,
            seed=job.seed,
        ),
        epochs=trial.epochs,
        checkpoint=trial.previous.checkpoint if trial.previous else None,
    )
    if not math.isfinite(fit.scores[job.task.score]):
        raise TrainingFailure(
            f"{job.task.score} is undefined on the validation part: does it hold every class?"
        )
    before = trial.previous.seconds.get("train", 0.0) if trial.previous else 0.0
    return Outcome(
        scores={name: value for name, value in fit.scores.items() if math.isfinite(value)},
        costs=lowered.costs,
        violations=lowered.violations,
        epochs=fit.epochs,
        finished=fit.finished,
        curve=fit.curve,
        graph=lowered.graph,
        device=device_name(),
        seconds={**lowered.seconds, "train": before + time.perf_counter() - start},
        checkpoint=fit.checkpoint,
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
