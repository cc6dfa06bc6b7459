"""The models worth shipping: exported, verified, scored from the artefact, timed together."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automed import registry
from automed.baselines import fit
from automed.data.dataset import Dataset
from automed.evaluate import Job, architecture, deployed, network_of, reason
from automed.exporters import Runner, outputs, verify
from automed.front import front, num_beating, oriented
from automed.measure import latency
from automed.sample import SampleSpec
from automed.task import CLASSICAL
from automed.trial import BASELINE, SEARCH, Outcome, Trial

if TYPE_CHECKING:
    from torch import nn

NEAR = 0.8
"""Timings while searching are noisy: a model that would be on the front with its latency times
this factor is timed again with the front."""
MOST = 16
"""Models of a front that are exported; a longer one is thinned evenly."""


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """An exported and verified model.

    Attributes:
        name: Unique in the run.
        origin: "search" or "baseline".
        trial: Number of its trial, if a search asked for it.
        family: Its family, or the method of a classical baseline.
        config: Its architecture.
        artefact: Content of the exported file.
        runner: The artefact, loaded.
        validation: What the artefact returns for the validation part.
        max_difference: Between artefact and network on those; None where there is no network.
        costs: size_bytes, params and macs where they are known.
    """

    name: str
    origin: str
    trial: int | None
    family: str
    config: Mapping[str, Any] | None
    artefact: bytes
    runner: Runner
    validation: NDArray[np.float32]
    max_difference: float | None
    costs: Mapping[str, float]


def near_front(
    rows: Iterable[tuple[Trial, Outcome]], objectives: Mapping[str, str]
) -> list[tuple[Trial, Outcome]]:
    """Complete trials on the front, or so near that another timing may put them there."""
    done = [(t, o) for t, o in rows if o.state == "complete"]
    if not done:
        return []
    losses = oriented([[o.value(n) for n in objectives] for _, o in done], [*objectives.values()])
    hopeful = losses.copy()
    for column, name in enumerate(objectives):
        if name.startswith("latency"):
            hopeful[:, column] *= NEAR
    near = [int(i) for i in np.flatnonzero(num_beating(hopeful, losses) == 0)]
    if len(near) > MOST:
        from_best = sorted(near, key=lambda i: losses[i, 0])
        near = [from_best[round(k)] for k in np.linspace(0, len(near) - 1, MOST)]
    return [done[i] for i in near]


def exported(
    job: Job,
    train: Dataset,
    val: Dataset,
    trials: Iterable[tuple[Trial, Outcome]],
    weights: Callable[[Trial], bytes],
    metadata: Mapping[str, str],
    step: Callable[[str], None],
) -> tuple[list[Finalist], list[str]]:
    """Trained trials and the classical baselines as finalists, and what failed on the way.

    Every artefact is loaded by its own runtime, runs over the whole validation part and must
    agree with its network there. Exporters and converters break in ways of their own; whatever
    they raise costs their model, never the run.
    """
    finalists, failures = [], []

    def attempt(name: str, make: Callable[[], Finalist]) -> None:
        try:
            finalists.append(make())
        except Exception as error:
            told = reason(error)
            failures.append(told if name in told else f"{name}: {told}")

    for trial, outcome in trials:
        step(f"exporting and verifying {trial.name}")
        attempt(
            trial.name,
            partial(_network, job, train.sample, val, trial, outcome, weights, metadata),
        )
    for name in job.task.baselines:
        if name in CLASSICAL:
            step(f"fitting {name}")
            attempt(name, partial(_classical, job, name, train, val))
    return finalists, failures


def timed(job: Job, finalists: Sequence[Finalist]) -> tuple[dict[str, latency.Latency], float]:
    """Latencies of all finalists from one interleaved session, and the reference's, in ms.

    A graph is timed once: finalists that differ in weights alone have one latency.
    """
    exporter = registry.part("exporter", job.exporter)
    graphs = {f.name: exporter.digest(f.artefact) for f in finalists}
    runners = {graphs[f.name]: f.runner.rehearse for f in finalists}
    given = latency.measure(runners, exporter.load(exporter.reference()).rehearse)
    some = next(iter(given.values()))
    return {name: given[graph] for name, graph in graphs.items()}, some.median_ms / some.relative


def trained_network(job: Job, sample: SampleSpec, trial: Trial, checkpoint: bytes) -> "nn.Module":
    """The trained network of a trial, on the CPU and ready to infer."""
    from automed.training.recipes import kept_weights

    network = network_of(trial, sample, job.seed)
    network.load_state_dict(kept_weights(checkpoint))
    return network.eval()


def final_front(
    finalists: Iterable[Finalist],
    scores: Mapping[str, float],
    latencies: Mapping[str, float],
    objectives: Mapping[str, str],
    score: str,
) -> list[Finalist]:
    """The searched finalists that nothing beats, from fastest to most accurate."""
    searched = [f for f in finalists if f.origin == SEARCH]
    values = []
    for f in searched:
        known = {**f.costs, score: scores[f.name], "latency_ms": latencies[f.name]}
        values.append([known.get(name, 0.0) for name in objectives])
    if not searched:
        return []
    kept = front(values, [*objectives.values()])
    return sorted((searched[i] for i in kept), key=lambda f: latencies[f.name])


def _network(
    job: Job,
    sample: SampleSpec,
    val: Dataset,
    trial: Trial,
    outcome: Outcome,
    weights: Callable[[Trial], bytes],
    metadata: Mapping[str, str],
) -> Finalist:
    exporter = registry.part("exporter", job.exporter)
    model = deployed(trained_network(job, sample, trial, weights(trial)), job.task, sample)
    artefact = exporter.export(model, sample.inputs, {**metadata, "name": trial.name})
    runner = exporter.load(artefact)
    given = outputs(runner, val.given)
    return Finalist(
        name=trial.name,
        origin=trial.origin,
        trial=trial.number if trial.origin == SEARCH else None,
        family=trial.family,
        config=architecture(trial).config(),
        artefact=artefact,
        runner=runner,
        validation=given,
        max_difference=verify(trial.name, given, model.outputs(val.given), sample.target.scale),
        costs={
            "size_bytes": len(artefact),
            "params": outcome.costs["params"],
            "macs": outcome.costs["macs"],
        },
    )


def _classical(job: Job, name: str, train: Dataset, val: Dataset) -> Finalist:
    exporter = registry.part("exporter", "onnx")
    artefact = fit(name, train, job.seed)
    runner = exporter.load(artefact)
    return Finalist(
        name=name,
        origin=BASELINE,
        trial=None,
        family=name,
        config=None,
        artefact=artefact,
        runner=runner,
        validation=outputs(runner, val.given),
        max_difference=None,
        costs={"size_bytes": len(artefact)},
    )
