"""Where files are timed: a target's files on a device, each pair of them told by a label."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Protocol

from automed import devices, registry
from automed.errors import UnreachableError
from automed.exporters import Runner
from automed.measure import latency

HOST = "host"
Measurements = Mapping[str, devices.Measured]
PATIENCE_S = (2.0, 10.0, 60.0)
"""Pauses after which a device that cannot be reached is asked once more."""


class File(Protocol):
    """What is timed: content for a device, and a runner for this process."""

    @property
    def content(self) -> bytes:
        """Of the file."""

    @property
    def runner(self) -> Runner:
        """It, loaded."""


@dataclass(frozen=True)
class Loaded:
    """A file that is loaded."""

    content: bytes
    runner: Runner


@dataclass(frozen=True)
class Place:
    """A target's files on a device.

    Attributes:
        target: Name of an exporter.
        device: Name of a device.
        label: What its costs are told by; empty for the place that latency is about.
    """

    target: str
    device: str
    label: str

    @property
    def text(self) -> str:
        """The same for people."""
        if self.device != HOST:
            return f"{self.target} on {devices.called(self.device)}, batch 1"
        return f"host CPU, {self.target} in {runtime(self.target)}, batch 1"


@dataclass(frozen=True)
class Timings:
    """Files of one place, timed in one session.

    Attributes:
        costs: Name to its latency_ms; latency_p95_ms, latency_relative (to the reference artefact)
            and latency_error (the share by which predictions err) where the device tells them.
        reference_ms: Latency of the reference artefact; None where the device does not tell.
    """

    costs: Mapping[str, Mapping[str, float]]
    reference_ms: float | None


def places(targets: Sequence[str], names: Sequence[str]) -> list[Place]:
    """Every target on the first device, then the first target on every other device."""
    first = [
        Place(target, names[0], target if number else "") for number, target in enumerate(targets)
    ]
    return [*first, *(Place(targets[0], device, devices.called(device)) for device in names[1:])]


def timed(place: Place, files: Mapping[str, File]) -> Timings:
    """Latencies from one session, in which the files and the target's reference take turns.

    Raises:
        DeviceError: The device cannot be reached in PATIENCE_S, or cannot run one of them.
    """
    if place.device == HOST:
        calls = {name: file.runner.rehearse for name, file in files.items()}
        known = latency.measure(calls, _yardstick(place.target).rehearse)
        some = next(iter(known.values()))
        told = {
            name: {
                "latency_ms": it.median_ms,
                "latency_p95_ms": it.p95_ms,
                "latency_relative": it.relative,
            }
            for name, it in known.items()
        }
        return Timings(told, some.median_ms / some.relative)
    exporter = registry.part("exporter", place.target)
    artefacts = {n: devices.Artefact(f.content, exporter.SUFFIX) for n, f in files.items()}
    reference = devices.Artefact(exporter.reference(), exporter.SUFFIX)

    def alone() -> Measurements:
        with latency.exclusive():
            return _device(place.device).measure(artefacts, reference)

    measured = patiently(alone)
    costs = {name: _costs(it) for name, it in measured.items()}
    first = next(iter(measured.values()))
    return Timings(costs, first.p50_ms / first.relative if first.relative else None)


def patiently(measure: Callable[[], Measurements]) -> Measurements:
    """Ask again while a device cannot be reached: networks of boards come and go."""
    for pause in PATIENCE_S:
        try:
            return measure()
        except UnreachableError:
            time.sleep(pause)
    return measure()


def runtime(target: str) -> str:
    """What a target's artefacts run in on this machine: "onnxruntime 1.32.0, 1 thread"."""
    return f"{library(target)}, 1 thread"


def library(target: str) -> str:
    """The package here that runs a target's artefacts, with its version."""
    package = registry.part("exporter", target).RUNTIME
    return f"{package} {version(package)}"


def _costs(it: devices.Measured) -> dict[str, float]:
    told = {
        "latency_ms": it.p50_ms,
        "latency_relative": it.relative,
        "latency_error": it.error,
    }
    return {name: value for name, value in told.items() if value is not None}


@cache
def _device(name: str) -> devices.Device:
    """Known again: one that predicts has learnt from its file."""
    return devices.device(name)


@cache
def _yardstick(target: str) -> Runner:
    exporter = registry.part("exporter", target)
    loaded: Runner = exporter.load(exporter.reference())
    return loaded
