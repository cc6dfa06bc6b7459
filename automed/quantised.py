"""The front's models in int8, for each target that has it: kept where faster and as good."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from automed import registry
from automed.artefacts import FULL, Artefact, answers
from automed.data.dataset import Dataset
from automed.exporters import Attempt
from automed.exporters.gate import Kept, Verdict, accept
from automed.finalists import Finalist
from automed.judge import Judge
from automed.report.results import File
from automed.timing import Loaded, Place, timed

if TYPE_CHECKING:
    from automed.exporters.deployed import Deployed

INT8 = "int8"
CALIBRATION = 100
"""Samples of the training part, at most, on which the ranges of values are measured."""


def in_int8(
    f: Finalist,
    model: "Deployed",
    train: Dataset,
    val: Dataset,
    judge: Judge,
    metadata: Mapping[str, str],
    *,
    device: str,
    score: str,
    max_drop: float,
    seed: int,
) -> tuple[Finalist, tuple[File, ...]]:
    """A finalist with the int8 files that are worth taking beside its own, and what was rejected.

    An int8 file is kept if it is faster than the fp32 file of its target, timed in turns with it,
    and loses no more than `max_drop` of the validation score.

    Args:
        f: The finalist.
        model: Its trained network between its preprocessing and its final activation.
        train: Where calibration samples come from; no other part is seen.
        val: Where the score may drop.
        judge: Scores files.
        metadata: What the files say of themselves.
        device: Where it has to be faster.
        score: What the score is called in a sentence.
        max_drop: By how much the validation score may be worse.
        seed: Of the choice of calibration samples.
    """
    rows = np.random.default_rng(seed).permutation(len(train))[:CALIBRATION]
    samples = [x.astype(np.float32) for x in train.rows(np.sort(rows)).given]
    facts = {**metadata, "name": f.name}
    kept, rejected = list(f.files), []
    for file in f.files:
        if file.target in registry.names("quantizer"):
            attempts = registry.part("quantizer", file.target).attempts
            beside = _Beside(f, file, Place(file.target, device, ""), val, judge)
            result = accept(
                attempts(model, val.sample.inputs, facts, samples),
                judge=beside,
                score=score,
                max_drop=max_drop,
            )
            if isinstance(result, Kept):
                kept.append(beside.seen[result.attempt.how])
            else:
                rejected.append(File(target=file.target, precision=INT8, rejected=result.reason))
    return replace(f, files=tuple(kept)), tuple(rejected)


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
