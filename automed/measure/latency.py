"""Latency of exported models: one timing at a time on a machine, interleaved, warmed up."""

import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from filelock import FileLock

ROUNDS = 15
CALLS_PER_ROUND = 5
WARM_UP_S = 0.02


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Milliseconds of one inference at batch 1 on one thread.

    Attributes:
        median_ms: Median over all calls.
        p95_ms: 95th percentile over all calls.
        relative: Median divided by that of the reference artefact in the same session.
        num_calls: Calls that were counted.
    """

    median_ms: float
    p95_ms: float
    relative: float
    num_calls: int


@cache
def processor() -> str:
    """The processor that timings of this machine belong to, in one line."""
    return _processor()


def measure(
    calls: Mapping[str, Callable[[], object]],
    reference: Callable[[], object],
    rounds: int = ROUNDS,
) -> dict[str, Latency]:
    """Time models against each other in one session, under the machine-wide lock.

    Every round calls each model a few times in turn, so that a change of the machine's speed
    meets all of them alike.

    Args:
        calls: Name to one inference of that model (a runner's `rehearse`).
        reference: One inference of the target's reference artefact, timed among them.
        rounds: How often each model gets its turn.

    Returns:
        Name to latency, in the order given.
    """
    every = [*calls.values(), reference]
    times_ms: list[list[float]] = [[] for _ in every]
    with exclusive():
        for call in every:
            _warm_up(call)
        for _ in range(rounds):
            for call, times in zip(every, times_ms, strict=True):
                call()  # the model before left its own data in the caches
                for _ in range(CALLS_PER_ROUND):
                    start = time.perf_counter_ns()
                    call()
                    times.append((time.perf_counter_ns() - start) / 1e6)
    medians = [float(np.median(times)) for times in times_ms]
    return {
        name: Latency(
            median_ms=median,
            p95_ms=float(np.percentile(times, 95)),
            relative=median / medians[-1],
            num_calls=len(times),
        )
        for name, times, median in zip(calls, times_ms, medians, strict=False)
    }


@contextmanager
def exclusive() -> Iterator[None]:
    """Hold this user's lock on the machine: whoever times a model waits here."""
    path = Path(tempfile.gettempdir()) / f"automed-latency-{os.getuid()}.lock"
    with FileLock(path):
        yield


def _warm_up(call: Callable[[], object]) -> None:
    call()
    end = time.perf_counter() + WARM_UP_S
    while time.perf_counter() < end:
        call()


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
