"""A candidate on its targets, before any training: lowered, loaded, run, timed."""

import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from automed import registry
from automed.errors import DeviceError, UnreachableError
from automed.failure import exhausted, reason
from automed.sample import SampleSpec
from automed.task import Task, at_place
from automed.timing import HOST, Loaded, Place, runtime, timed

if TYPE_CHECKING:
    from torch import nn

    from automed.exporters.deployed import Deployed

LIMIT_S = 120.0
"""Within which a target must have lowered, loaded and run a candidate."""
Memo = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class Lowered:
    """What is known of a candidate before it is trained.

    Attributes:
        graph: Digest of its graph on the first target; empty where that cannot run it.
        costs: See `trial.Outcome`.
        refusals: Target, or label of another device, to the reason why it cannot run there.
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
    places: Sequence[Place],
    *,
    name: str,
    slow: bool,
    before: Lowered | None,
    latencies: Memo,
) -> Lowered:
    """A candidate in every place: a target that cannot lower, load or run it in time refuses it.

    The first place gives the costs that limits and objectives are about; others add theirs, as in
    latency_ms@openvino. A target that lowers slowly and is not the first has its turn only where
    `slow` is set, which is before a training goes on.

    Args:
        network: The candidate, trained or not.
        task: What it is to answer.
        sample: What it is given.
        places: Targets and devices, see `timing.places`.
        name: Of its trial, which `latencies` may know.
        slow: Whether targets that lower slowly have their turn too.
        before: What an earlier call found; only what is missing is done.
        latencies: Known timings by `memo_key`, used instead of measuring.
    """
    import torch

    from automed.measure.counts import num_macs, num_params

    known = before or Lowered()
    graph, costs, refusals = known.graph, dict(known.costs), dict(known.refusals)
    model, files = deployed(network, task, sample), dict[str, Loaded]()
    for place in places:
        target = place.target
        if {target, place.label} & refusals.keys() or at_place("latency_ms", place.label) in costs:
            continue
        exporter = registry.part("exporter", target)
        if exporter.SLOW and target != places[0].target and not slow:
            continue
        if target not in files:
            try:
                with limited(LIMIT_S, f"lowering to {target}"):
                    content = exporter.export(model, sample.inputs, {})
                    files[target] = Loaded(content, exporter.load(content))
                    files[target].runner.rehearse()
            except Exception as error:  # converters and runtimes break in ways of their own
                if exhausted(error):
                    raise
                refusals[target] = reason(error)
                continue
        file = files[target]
        digest = exporter.digest(file.content)
        keys = memo_key(digest, place, name), memo_key(digest, place)
        told = next((latencies[key] for key in keys if key in latencies), None)
        try:
            told = told or timed(place, {"it": file}).costs["it"]
        except UnreachableError:
            raise
        except DeviceError as error:  # it is there, and cannot run this
            refusals[place.label or target] = reason(error)
            continue
        for cost, value in told.items():
            costs[at_place(cost, place.label)] = value
        costs[at_place("size_bytes", place.label)] = len(file.content)
        graph = graph if place.label else digest
    network.eval()
    if "params" not in costs:
        costs["params"] = num_params(network)
        costs["macs"] = num_macs(network, *(torch.zeros(1, *s.shape) for s in sample.inputs))
    return Lowered(graph=graph, costs=costs, refusals=refusals)


def memo_key(graph: str, place: Place, name: str = "") -> str:
    """What a latency belongs to: the graph, the target, the device and, on this one, the runtime.

    With the name of a trial it is that trial's own: trials that differ in dropout share a graph.
    """
    from automed.measure import latency

    here = f"{latency.processor()}|{runtime(place.target)}"
    key = f"{graph}|{place.target}|{here if place.device == HOST else place.device}"
    return f"{key}|{name}" if name else key


@contextmanager
def limited(seconds: float, what: str) -> Iterator[None]:
    """Raise TimeoutError in what takes longer, in the main thread of a process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(number: int, frame: object) -> None:
        raise TimeoutError(f"{what} took more than {seconds:g} s")

    usual, begun = signal.signal(signal.SIGALRM, late), time.monotonic()
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, usual)  # and whoever waits for that alarm still gets it
        again = max(left - (time.monotonic() - begun), 0.001) if left else 0.0
        signal.setitimer(signal.ITIMER_REAL, again)
