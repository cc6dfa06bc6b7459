"""The front's models in int8, for each target that has it: kept where faster and as good."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from automed import registry
from automed.artefacts import FULL, Artefact, answers
from automed.data.dataset import Dataset
from automed.data.splits import Parts
from automed.evaluate import Job, architecture, schedule
from automed.exporters import Attempt
from automed.exporters.gate import Kept, Rejected, Verdict, accept
from automed.finalists import Finalist, trained_network
from automed.judge import Judge
from automed.lowering import deployed
from automed.report.results import File
from automed.report.text import metric_label
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
    train, inputs = parts.train, parts.train.sample.inputs
    rows = np.random.default_rng(job.seed).permutation(len(train))[:CALIBRATION]
    samples = [x.astype(np.float32) for x in train.rows(np.sort(rows)).given]
    score, facts = metric_label(job.task.score, inline=True), {**metadata, "name": f.name}
    network = trained_network(job, train.sample, trial, checkpoint)
    learnt = cache(lambda: _learnt(job, parts, trial, network))
    kept, rejected = list(f.files), []
    for file in f.files:
        if file.target not in registry.names("quantizer"):
            continue
        quantizer = registry.part("quantizer", file.target)
        beside = _Beside(f, file, Place(file.target, job.devices[0], ""), parts.val, judge)
        model = deployed(network, job.task, train.sample)
        tried = quantizer.attempts(model, inputs, facts, samples)
        result = accept(tried, judge=beside, score=score, max_drop=max_drop)
        if isinstance(result, Rejected) and result.quick and (tuned := learnt()) is not None:
            model = deployed(tuned, job.task, train.sample)
            tried = map(_told, quantizer.attempts(model, inputs, facts, samples))
            again = accept(tried, judge=beside, score=score, max_drop=max_drop)
            result = again if isinstance(again, Kept) else result.and_then(again)
        if isinstance(result, Kept):
            kept.append(beside.seen[result.attempt.how])
        else:
            rejected.append(File(target=file.target, precision=INT8, rejected=result.reason))
    return replace(f, files=tuple(kept)), tuple(rejected)


def _learnt(job: Job, parts: Parts, trial: Trial, network: "nn.Module") -> "nn.Module | None":
    """The network after quantisation-aware training; None if its family cannot be trained so."""
    from automed.training.quantisation import quantisation_aware
    from automed.training.tensors import tensors, training_device

    tuned = quantisation_aware(
        network,
        architecture(trial).recipe,
        tensors(parts.train, parts.val, training_device()),
        registry.part("problem", job.task.problem).PROBLEM,
        schedule(job),
    )
    return None if tuned is None else tuned.cpu()


def _told(attempt: Attempt) -> Attempt:
    return replace(attempt, how=f"{attempt.how}, after quantisation-aware training")


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
