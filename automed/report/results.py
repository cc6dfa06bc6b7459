"""What a finished search knows, as the plain values of results.json; no torch, no Optuna."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import pandas as pd

from automed import files


@dataclass(frozen=True)
class Interval:
    """A score with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class File:
    """A model on one target in one precision, kept or rejected.

    Attributes:
        target: Name of the target, for example "openvino".
        precision: "fp32" or "int8".
        how: What was done to get there, in a few words; empty for fp32.
        path: Relative to the run folder; None if it was rejected.
        rejected: Why it was; else empty.
        costs: size_bytes, latency_ms, latency_p95_ms and latency_relative on its target; for int8
            speedup, how many times as fast as fp32 it is.
        max_difference: Of its outputs from the network's; None for int8.
        validation: Its score on the validation part.
        sealed: The same on the sealed part; None while that is sealed.
        change: Its validation score minus that of the fp32 file on this target, paired; None for
            fp32 itself.
        sealed_change: The same on the sealed part.
    """

    target: str
    precision: str
    how: str = ""
    path: str | None = None
    rejected: str = ""
    costs: Mapping[str, float] = field(default_factory=dict)
    max_difference: float | None = None
    validation: Interval | None = None
    sealed: Interval | None = None
    change: Interval | None = None
    sealed_change: Interval | None = None

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> "File":
        """From what JSON made of it."""
        names = ("validation", "sealed", "change", "sealed_change")
        return cls(**{**raw, **{n: Interval(**raw[n]) if raw[n] else None for n in names}})


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model of the front, or a baseline: everything a reader compares.

    Attributes:
        name: Unique in the run, for example "resnet-017" or "resnet18".
        origin: "search" for models of the front, "baseline" otherwise.
        trial: Number of its trial; None for a baseline.
        family: Its family; for a classical baseline the method's name.
        validation: Metric name to interval, on the validation part.
        sealed: Metric name to interval, on the sealed test part; empty while it is sealed.
        costs: latency_ms and latency_p95_ms of the final joint timing, size_bytes, params, macs; of
            targets but the first with their name, as in latency_ms@openvino.
        artefact: Path of its first file relative to the run folder; None for baselines.
        files: It on every target and in every precision that was tried; empty for baselines.
        verified: max_difference from the network and samples compared; empty for baselines.
        config: The architecture.
        note: A remark in words ("simulated data", "not re-timed: interrupted"); often empty.
    """

    name: str
    origin: str
    trial: int | None
    family: str
    validation: Mapping[str, Interval]
    sealed: Mapping[str, Interval]
    costs: Mapping[str, float]
    artefact: str | None = None
    files: tuple[File, ...] = ()
    verified: Mapping[str, float] | None = None
    config: Mapping[str, Any] | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A model of the front against a baseline on the sealed part.

    Attributes:
        model: Name of the model.
        baseline: Name of the baseline.
        difference: Score of the model minus that of the baseline, from the same bootstrap draws.
        speedup: The baseline's latency divided by the model's.
    """

    model: str
    baseline: str
    difference: Interval
    speedup: float


@dataclass(frozen=True, kw_only=True)
class Example:
    """A picture of a validation sample, and what the chosen model said of it.

    Attributes:
        title: Why it is shown.
        caption: What is true and what the model says.
        png: The picture, a PNG in base 64.
        outlined: Whether truth and answer are drawn into it.
        panels: Images side by side in it.
    """

    title: str
    caption: str
    png: str
    outlined: bool = False
    panels: int = 1


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What suits the problem better than a number, of the validation part.

    Attributes:
        title: What it shows.
        x: What lies along the horizontal axis.
        y: What lies along the vertical axis.
        joined: Whether it is a line a model, or a cloud of samples.
        logarithmic: Whether the horizontal axis is.
        diagonal: Whether both axes mean one thing.
        traces: Name of a model to its places along x and along y; the chosen one first.
    """

    title: str
    x: str
    y: str
    joined: bool
    logarithmic: bool
    diagonal: bool
    traces: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]]

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> "Drawn":
        """From what JSON made of it."""
        traces = {name: (tuple(xs), tuple(ys)) for name, (xs, ys) in raw["traces"].items()}
        return cls(**{**raw, "traces": traces})


@dataclass(frozen=True, kw_only=True)
class Results:
    """One search, told to its reader.

    Attributes:
        task: Name of the task.
        title: The task in one line.
        simulated: A sentence that says so when the samples are simulated, else None.
        score: Name of the accuracy objective, for example "auc".
        objectives: Objective name to "maximize" or "minimize", in order.
        limits: Limit name to its bound, for example {"latency_ms": 2.0}.
        models: The front from fastest to most accurate, then the baselines.
        trials: One mapping a trial: number, name, origin, family, config, state, scores, costs,
            violations, failure, epochs, curve, seconds (as Outcome.facts gives them).
        chosen: Name of the model to take; None when there is none.
        contenders: Models of the front that are not significantly worse than its most accurate on
            the validation part, paired; the choice is among them.
        reason: Why that one, in one sentence.
        data: (label, text) facts on the data and its split.
        run: (label, text) facts on the run: versions, seed, devices, times.
        complete: Whether the search spent its budget; False after an interruption.
        comparisons: Every model of the front against every baseline; empty while the test part is
            sealed.
        resampled_by: What the intervals draw: "patient", "cohort" where patients are paired, or
            "sample" where none are known, or a part holds one alone.
        metrics: Metric name to what it is, in words.
        errors: Metrics of which less is better.
        units: Metric name to its unit, for those that have one.
        examples: Pictures of validation samples; empty where they were not asked for.
        drawn: The problem's own figure; None where no model was chosen.
        timed_on: What latencies are of: processor, target and runtime.
        metadata: What every file says of itself: inputs, target, outputs, digest of the data.
    """

    task: str
    title: str
    simulated: str | None
    score: str
    objectives: Mapping[str, str]
    limits: Mapping[str, float]
    models: tuple[Model, ...]
    trials: tuple[Mapping[str, Any], ...]
    chosen: str | None
    reason: str
    data: tuple[tuple[str, str], ...]
    run: tuple[tuple[str, str], ...]
    complete: bool = True
    contenders: tuple[str, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    resampled_by: str = "patient"
    metrics: Mapping[str, str] = field(default_factory=dict)
    errors: tuple[str, ...] = ()
    units: Mapping[str, str] = field(default_factory=dict)
    examples: tuple[Example, ...] = ()
    drawn: Drawn | None = None
    timed_on: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def sign(self) -> int:
        """1 where more of the score is better, -1 where less is."""
        return -1 if self.score in self.errors else 1

    @property
    def front(self) -> tuple[Model, ...]:
        """The models of the front, from fastest to most accurate."""
        return tuple(m for m in self.models if m.origin == "search")

    @property
    def baselines(self) -> tuple[Model, ...]:
        """The models no strategy chose."""
        return tuple(m for m in self.models if m.origin != "search")

    def table(self) -> pd.DataFrame:
        """One row a model: name, origin, family, scores with intervals, costs, artefact."""
        rows = []
        for m in self.models:
            row: dict[str, Any] = {"name": m.name, "origin": m.origin, "family": m.family}
            row["chosen"] = m.name == self.chosen
            for part, scores in (("val", m.validation), ("test", m.sealed)):
                for metric, interval in scores.items():
                    row[f"{part}_{metric}"] = interval.value
                    row[f"{part}_{metric}_low"] = interval.low
                    row[f"{part}_{metric}_high"] = interval.high
            rows.append(row | dict(m.costs) | {"artefact": m.artefact or ""})
        return pd.DataFrame(rows)

    def trial_table(self) -> pd.DataFrame:
        """One row a trial: number, name, family, state, scores, costs, config, reason."""
        plain = ("number", "name", "family", "state", "epochs")
        rows = [
            {name: t[name] for name in plain}
            | dict(t["scores"])
            | dict(t["costs"])
            | {f"config_{name}": value for name, value in t["config"].items()}
            | {"failure": t["failure"] or ""}
            for t in self.trials
        ]
        return pd.DataFrame(rows)

    def save(self, path: Path) -> None:
        """Write JSON, a line a field."""
        told = {f.name: getattr(self, f.name) for f in fields(self)}
        lines = (
            f"{json.dumps(name)}: {json.dumps(value, default=asdict, allow_nan=False)}"
            for name, value in told.items()
        )
        files.replace(path, "{\n" + ",\n".join(lines) + "\n}\n")

    @classmethod
    def load(cls, path: Path) -> "Results":
        """The inverse of save."""
        raw = json.loads(path.read_text())
        models = tuple(
            Model(
                **m
                | {
                    part: {k: Interval(**v) for k, v in m[part].items()}
                    for part in ("validation", "sealed")
                }
                | {"files": tuple(File.of(raw) for raw in m["files"])}
            )
            for m in raw.pop("models")
        )
        comparisons = tuple(
            Comparison(**c | {"difference": Interval(**c["difference"])})
            for c in raw.pop("comparisons")
        )
        drawn = raw.pop("drawn", None)
        data, run = (tuple((a, b) for a, b in raw.pop(k)) for k in ("data", "run"))
        return cls(
            models=models,
            trials=tuple(raw.pop("trials")),
            data=data,
            run=run,
            comparisons=comparisons,
            contenders=tuple(raw.pop("contenders")),
            errors=tuple(raw.pop("errors")),
            examples=tuple(Example(**e) for e in raw.pop("examples")),
            drawn=None if drawn is None else Drawn.of(drawn),
            **raw,
        )
