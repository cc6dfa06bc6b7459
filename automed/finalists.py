"""The models worth shipping: exported, verified, scored from the artefact, timed together."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automed import registry
from automed.artefacts import FULL, Artefact, ported
from automed.baselines import fit
from automed.data.dataset import Dataset
from automed.evaluate import Job, architecture, network_of
from automed.exporters import Runner, outputs
from automed.failure import no_room, reason
from automed.front import front, num_beating, oriented
from automed.lowering import deployed
from automed.sample import SampleSpec
from automed.task import CLASSICAL
from automed.timing import Place, Timings
from automed.timing import timed as session
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
        files: It on every target; the first is the one it is judged and timed by.
        costs: params and macs where they are known.
    """

    name: str
    origin: str
    trial: int | None
    family: str
    config: Mapping[str, Any] | None
    files: tuple[Artefact, ...]
    costs: Mapping[str, float]

    def at(self, place: Place) -> Artefact | None:
        """Its file for the target of a place, or the only one it has."""
        by_target = {file.target: file for file in self.files if file.precision == FULL}
        alone = self.files[0] if self.config is None and not place.label else None
        return by_target.get(place.target, alone)

    @property
    def runner(self) -> Runner:
        """Its first file, loaded."""
        return self.files[0].runner

    @property
    def validation(self) -> NDArray[np.float32]:
        """What its first file returns for the validation part."""
        return self.files[0].validation


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

    The artefact of a network is loaded by its own runtime in a process of its own, runs over the
    whole validation part and must agree with its network there: one of the search on every target,
    a baseline on the first. A classical baseline has no network to agree with, and runs in this
    process. Exporters and converters break in ways of their own; whatever
    they raise costs their model, never the run.
    """
    finalists, failures = [], []

    def attempt(name: str, make: Callable[[], Finalist]) -> None:
        try:
            finalists.append(make())
        except Exception as error:
            if no_room(error):
                raise
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


def timed(job: Job, finalists: Sequence[Finalist]) -> dict[str, Timings]:
    """By a place's label, the costs by name of all finalists that have a file for its target.

    All of a place are interleaved in one session. A graph is timed once: finalists that differ in
    weights alone have one latency. A classical baseline has one file, which stands in the first
    place whatever that is for.
    """
    known = {}
    for place in job.places:
        files = {f.name: file for f in finalists if (file := f.at(place)) is not None}
        names: dict[Place, dict[str, dict[str, Artefact]]] = {}
        for name, file in files.items():
            graph = registry.part("exporter", file.target).digest(file.content)
            own = replace(place, target=file.target)
            names.setdefault(own, {}).setdefault(graph, {})[name] = file
        costs, reference_ms = dict[str, Mapping[str, float]](), None
        for own, graphs in names.items():
            given = session(own, {g: next(iter(same.values())) for g, same in graphs.items()})
            costs |= {name: given.costs[g] for g, same in graphs.items() for name in same}
            reference_ms = given.reference_ms if own == place else reference_ms
        known[place.label] = Timings(costs, reference_ms)
    return known


def trained_network(job: Job, sample: SampleSpec, trial: Trial, checkpoint: bytes) -> "nn.Module":
    """The trained network of a trial, on the CPU and ready to infer."""
    from automed.training.recipes import kept_weights

    network = network_of(trial, sample, job.seed)
    network.load_state_dict(kept_weights(checkpoint))
    return network.eval()


def final_front(
    finalists: Iterable[Finalist],
    values: Mapping[str, Mapping[str, float]],
    objectives: Mapping[str, str],
) -> list[Finalist]:
    """The searched finalists that nothing beats, from fastest to most accurate.

    Args:
        finalists: Searched ones and baselines.
        values: Name to every score and cost that is an objective, and its latency_ms.
        objectives: Objective name to "maximize" or "minimize".
    """
    searched = [f for f in finalists if f.origin == SEARCH]
    if not searched:
        return []
    table = [[values[f.name][name] for name in objectives] for f in searched]
    kept = [searched[i] for i in front(table, [*objectives.values()])]
    return sorted(kept, key=lambda f: values[f.name]["latency_ms"])


def _network(
    job: Job,
    sample: SampleSpec,
    val: Dataset,
    trial: Trial,
    outcome: Outcome,
    weights: Callable[[Trial], bytes],
    metadata: Mapping[str, str],
) -> Finalist:
    model = deployed(trained_network(job, sample, trial, weights(trial)), job.task, sample)
    targets = job.targets if trial.origin == SEARCH else job.targets[:1]
    return Finalist(
        name=trial.name,
        origin=trial.origin,
        trial=trial.number if trial.origin == SEARCH else None,
        family=trial.family,
        config=architecture(trial).config(),
        files=tuple(ported(trial.name, model, target, val, metadata) for target in targets),
        costs={"params": outcome.costs["params"], "macs": outcome.costs["macs"]},
    )


def _classical(job: Job, name: str, train: Dataset, val: Dataset) -> Finalist:
    content = fit(name, train, job.seed)
    runner = registry.part("exporter", "onnx").load(content)
    given = outputs(runner, val.given)
    return Finalist(
        name=name,
        origin=BASELINE,
        trial=None,
        family=name,
        config=None,
        files=(Artefact(target="onnx", content=content, runner=runner, validation=given),),
        costs={},
    )
