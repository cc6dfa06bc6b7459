"""The front's models in int8, for each target that has it: kept where faster and as good."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automed import registry
from automed.artefacts import FULL, Artefact, answers
from automed.data.dataset import Dataset
from automed.data.splits import Parts
from automed.errors import DeviceError, ExportError
from automed.evaluate import Job, architecture, schedule
from automed.exporters import Attempt
from automed.exporters.gate import Kept, Rejected, Verdict, accept
from automed.failure import exhausted, no_room, reason
from automed.finalists import Finalist, trained_network
from automed.judge import Judge
from automed.lowering import deployed
from automed.report.results import File
from automed.report.text import metric_label
from automed.sample import SampleSpec
from automed.timing import Loaded, Place, timed
from automed.trial import Trial

if TYPE_CHECKING:
    from torch import nn

INT8 = "int8"
CALIBRATION = 100
"""Samples of the training part, at most, on which the ranges of values are measured."""


def in_int8(
    job: Job,
    parts: Parts,
    f: Finalist,
    trial: Trial,
    checkpoint: bytes,
    judge: Judge,
    metadata: Mapping[str, str],
    max_drop: float,
) -> tuple[Finalist, tuple[File, ...]]:
    """A finalist with the int8 files that are worth taking beside its own, and what was rejected.

    An int8 file is kept if it is faster than the fp32 file of its target, timed in turns with it on
    the first device, and loses no more than `max_drop` of the validation score. Where all that is
    fast enough loses more, quantisation-aware training has its turn.

    Args:
        job: What the search was about.
        parts: Its data; calibration samples come from the training part.
        f: The finalist.
        trial: Its trial.
        checkpoint: Its trained weights.
        judge: Scores files.
        metadata: What the files say of themselves.
        max_drop: By how much the validation score may be worse.
    """
    rows = np.random.default_rng(job.seed).permutation(len(parts.train))[:CALIBRATION]
    calibration = parts.train.rows(np.sort(rows))
    samples = [x.astype(np.float32) for x in calibration.given]
    network = trained_network(job, calibration.sample, trial, checkpoint)
    learnt = cache(lambda: _learnt(job, parts, trial, network))
    gate = _Gate(job, calibration.sample, samples, {**metadata, "name": f.name}, max_drop)
    kept, rejected = list(f.files), []
    for file in f.files:
        if file.target not in registry.names("quantizer"):
            continue
        beside = _Beside(f, file, Place(file.target, job.devices[0], ""), parts.val, judge)
        result = gate.passed(network, beside)
        if isinstance(result, Rejected) and result.quick and (tuned := learnt()) is not None:
            again = gate.passed(tuned, beside, told=", after quantisation-aware training")
            result = again if isinstance(again, Kept) else result.and_then(again)
        if isinstance(result, Kept):
            kept.append(beside.seen[result.attempt.how])
        else:
            rejected.append(File(target=file.target, precision=INT8, rejected=result.reason))
    return replace(f, files=tuple(kept)), tuple(rejected)


def _learnt(job: Job, parts: Parts, trial: Trial, network: "nn.Module") -> "nn.Module | None":
    """The network after quantisation-aware training; None if it cannot be trained so."""
    from automed.training.quantisation import quantisation_aware
    from automed.training.recipes import TrainingFailure
    from automed.training.tensors import tensors, training_device

    try:
        tuned = quantisation_aware(
            network,
            architecture(trial).recipe,
            tensors(parts.train, parts.val, training_device()),
            registry.part("problem", job.task.problem).PROBLEM,
            schedule(job),
        )
    except Exception as error:
        if isinstance(error, TrainingFailure) or exhausted(error):
            return None
        raise
    return None if tuned is None else tuned.cpu()


@dataclass(frozen=True)
class _Gate:
    """Has networks made int8 and lets the first file pass that is worth it."""

    job: Job
    sample: SampleSpec
    samples: Sequence[NDArray[Any]]
    metadata: Mapping[str, str]
    max_drop: float

    def passed(self, network: "nn.Module", beside: "_Beside", told: str = "") -> Kept | Rejected:
        """What is in front of the gate in the end; attempts say what was told of them."""
        from automed.exporters import norms

        file = beside.file
        model = deployed(network, self.job.task, self.sample)
        if file.how == norms.HOW:  # else int8 would seem as much faster as those norms are slower
            model = norms.staged(model) or model
        attempts = registry.part("quantizer", file.target).attempts(
            model, self.sample.inputs, self.metadata, self.samples
        )
        return accept(
            (replace(attempt, how=attempt.how + told) for attempt in _safe(attempts)),
            judge=beside,
            score=metric_label(self.job.task.score, inline=True),
            max_drop=self.max_drop,
        )


def _safe(attempts: Iterator[Attempt]) -> Iterator[Attempt]:
    """Attempts of which the first that breaks is the last."""
    while True:
        with _as_export_error():
            attempt = next(attempts, None)
        if attempt is None:
            return
        yield attempt


@contextmanager
def _as_export_error() -> Iterator[None]:
    """Quantizers and runtimes break in ways of their own, which costs int8, never the run."""
    try:
        yield
    except (ExportError, DeviceError):
        raise
    except Exception as error:
        if no_room(error):
            raise
        raise ExportError(reason(error)) from error


@dataclass
class _Beside:
    """Judges int8 files beside the fp32 file of their target."""

    f: Finalist
    file: Artefact
    place: Place
    val: Dataset
    judge: Judge
    seen: dict[str, Artefact] = field(default_factory=dict)

    def __call__(self, attempt: Attempt) -> Verdict:
        """One that is not faster is not run over the validation part."""
        with _as_export_error():
            return self._judged(attempt)

    def _judged(self, attempt: Attempt) -> Verdict:
        runner = registry.part("exporter", self.file.target).load(attempt.artefact)
        both = timed(self.place, {INT8: Loaded(attempt.artefact, runner), FULL: self.file}).costs
        told = Verdict(
            worse=0.0, latency_ms=both[INT8]["latency_ms"], fp32_ms=both[FULL]["latency_ms"]
        )
        if not told.quick:
            return told
        self.seen[attempt.how] = Artefact(
            target=self.file.target,
            content=attempt.artefact,
            runner=runner,
            validation=answers(self.file.target, attempt.artefact, self.val),
            precision=INT8,
            how=attempt.how.removeprefix("int8 "),
            pace=told.latency_ms / told.fp32_ms,
        )
        return replace(told, worse=self.judge.lost(self.f, self.seen[attempt.how]))
