"""Random architectures timed on a device: the file from which latencies there are predicted."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from automed import data, devices, evaluate, files, registry
from automed.devices import REPEATS, Artefact
from automed.devices.operators import operators
from automed.devices.predicted import FORMAT
from automed.errors import DeviceError
from automed.lowering import deployed
from automed.timing import patiently
from automed.trial import Trial

PASSES = 2
"""Times that every architecture is timed, long after each other: what they differ by is noise."""
TARGET = "onnx"
"""Whose graphs can be read operator by operator."""
Watch = Callable[[str, int, int], None]


def profile(
    device: str,
    task: str,
    out: Path,
    *,
    architectures: int = 240,
    seed: int = 0,
    threads: int = 1,
    repeats: int = REPEATS,
    watch: Watch = lambda step, done, total: None,
) -> None:
    """Draw architectures of a task's space, time them on a device and write the file.

    Args:
        device: Its name, such as ssh:user@board.
        task: A task's name or file; its own data tell how large a sample is.
        out: The file, JSON; replaced if it is there.
        architectures: How many, each with a graph of its own.
        seed: Of the architectures and their weights.
        threads: CPU threads of the runtime.
        repeats: Timed inferences of each architecture in each pass.
        watch: Told what is being done, and how much of it.

    Raises:
        DeviceError: The device cannot be reached or cannot run one, or the file has no folder.
    """
    folder = out.absolute().parent
    for fault, told in (
        (not folder.is_dir(), "there is no such folder"),
        (out.is_dir(), "it is a folder; name a file in it"),
        (not os.access(folder, os.W_OK), "its folder cannot be written to"),
    ):
        if fault:  # before hours of timing, not after them
            raise DeviceError(f"cannot write {out}: {told}")
    machine = devices.device(device)
    yardstick = devices.reference(registry.part("exporter", TARGET).SUFFIX)
    machine.measure({"reference": yardstick}, repeats=1)
    drawn = _drawn(task, architectures, seed, watch)
    rows: list[dict[str, Any]] = [
        {"name": name, "p50_ms": [], "relative": [], "operators": [*map(asdict, operators(graph))]}
        for name, graph in drawn.items()
    ]
    timed = partial(machine.measure, threads=threads, repeats=repeats)
    for number in range(PASSES * len(rows)):
        watch("timing", number, PASSES * len(rows))
        row = rows[number % len(rows)]
        graph = Artefact(drawn[row["name"]], yardstick.suffix)
        known = patiently(partial(timed, {"it": graph}, yardstick))["it"]
        row["p50_ms"].append(known.p50_ms)
        row["relative"].append(known.relative)
    watch("timing", PASSES * len(rows), PASSES * len(rows))
    facts = {"format": FORMAT, "device": known.device, "os": known.os, "runtime": known.runtime}
    facts |= {"threads": threads, "task": task, "seed": seed, "repeats": repeats}
    try:
        files.replace(out, json.dumps({**facts, "rows": rows}))
    except OSError as error:
        raise DeviceError(f"cannot write {out}: {error.strerror}") from error


def _drawn(task_name: str, count: int, seed: int, watch: Watch) -> dict[str, bytes]:
    """Names and files of random architectures, no two with the same graph."""
    task, exporter = registry.task(task_name), registry.part("exporter", TARGET)
    sample = data.open_parts(evaluate.source(evaluate.Job(task=task, data=task.data))).train.sample
    space = registry.space(task.families, task.problem, sample.dims)
    strategy = registry.part("strategy", "random").make(
        "", space, task.objectives, rungs=(1,), seed=seed, first=0
    )
    found: dict[str, tuple[str, bytes]] = {}
    for _ in range(10 * count):
        watch("lowering", len(found), count)
        trial: Trial = strategy.ask()
        network = evaluate.network_of(trial, sample, seed)
        graph = exporter.export(deployed(network, task, sample), sample.inputs, {})
        found.setdefault(exporter.digest(graph), (f"{trial.family}-{trial.number}", graph))
        if len(found) == count:
            break
    return dict(found.values())
