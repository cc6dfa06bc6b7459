"""A candidate on its targets, before any training: lowered, loaded, run, timed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from automed import registry
from automed.failure import exhausted, reason
from automed.sample import SampleSpec
from automed.task import Task, at_target

if TYPE_CHECKING:
    from torch import nn

    from automed.exporters import Runner
    from automed.exporters.deployed import Deployed

Memo = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class Lowered:
    """What is known of a candidate before it is trained.

    Attributes:
        graph: Digest of its graph on the first target; empty where that cannot run it.
        costs: See `trial.Outcome`.
        refusals: Target to the reason why it cannot run there.
    """

    graph: str = ""
    costs: Mapping[str, float] = field(default_factory=dict)
    refusals: Mapping[str, str] = field(default_factory=dict)


def deployed(network: "nn.Module", task: Task, sample: SampleSpec) -> "Deployed":
    """The network between its preprocessing and its final activation."""
    from automed.exporters.deployed import Deployed

    return Deployed(network, sample, registry.part("problem", task.problem).PROBLEM)


def lowered(
    network: "nn.Module",
    task: Task,
    sample: SampleSpec,
    targets: tuple[str, ...],
    *,
    name: str,
    slow: bool,
    before: Lowered | None,
    latencies: Memo,
) -> Lowered:
    """A candidate on every target: one that cannot be lowered, loaded or run there is refused.

    The first target gives the costs that limits and objectives are about; others add theirs, as in
    latency_ms@openvino. A target that lowers slowly and is not the first has its turn only where
    `slow` is set, which is before a training goes on.

    Args:
        network: The candidate, trained or not.
        task: What it is to answer.
        sample: What it is given.
        targets: Names of exporters.
        name: Of its trial, which `latencies` may know.
        slow: Whether targets that lower slowly have their turn too.
        before: What an earlier call found; only what is missing is done.
        latencies: Known timings by `memo_key`, used instead of measuring.
    """
    import torch

    from automed.measure.counts import num_macs, num_params

    known = before or Lowered()
    graph, costs, refusals = known.graph, dict(known.costs), dict(known.refusals)
    model = deployed(network, task, sample)
    for place, target in enumerate(targets):
        label = "" if place == 0 else target
        if target in refusals or at_target("latency_ms", label) in costs:
            continue
        exporter = registry.part("exporter", target)
        if place and exporter.SLOW and not slow:
            continue
        try:
            artefact = exporter.export(model, sample.inputs, {})
            runner = exporter.load(artefact)
            runner.rehearse()
        except Exception as error:  # converters and runtimes break in ways of their own
            if exhausted(error):
                raise
            refusals[target] = reason(error)
            continue
        digest = exporter.digest(artefact)
        keys = memo_key(digest, target, name), memo_key(digest, target)
        timed = next((latencies[key] for key in keys if key in latencies), None)
        for cost, value in (timed or _timed(target, runner)).items():
            costs[at_target(cost, label)] = value
        costs[at_target("size_bytes", label)] = len(artefact)
        graph = digest if place == 0 else graph
    network.eval()
    if "params" not in costs:
        costs["params"] = num_params(network)
        costs["macs"] = num_macs(network, *(torch.zeros(1, *s.shape) for s in sample.inputs))
    return Lowered(graph=graph, costs=costs, refusals=refusals)


def _timed(target: str, runner: "Runner") -> dict[str, float]:
    from automed.measure import latency

    it = latency.measure({"it": runner.rehearse}, _yardstick(target).rehearse)["it"]
    return {
        "latency_ms": it.median_ms,
        "latency_p95_ms": it.p95_ms,
        "latency_relative": it.relative,
    }


@cache
def _yardstick(target: str) -> "Runner":
    exporter = registry.part("exporter", target)
    loaded: Runner = exporter.load(exporter.reference())
    return loaded


def memo_key(graph: str, target: str, name: str = "") -> str:
    """What a latency belongs to: the graph, this machine's processor, the runtime.

    With the name of a trial it is that trial's own: trials that differ in dropout share a graph.
    """
    from automed.measure import latency

    key = f"{graph}|{target}|{latency.processor()}|{runtime(target)}"
    return f"{key}|{name}" if name else key


def runtime(target: str) -> str:
    """What a target's artefacts run in on this machine: "onnxruntime 1.32.0, 1 thread"."""
    package = registry.part("exporter", target).RUNTIME
    return f"{package} {version(package)}, 1 thread"
