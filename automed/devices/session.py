"""Devices whose Python runs the stand-alone runner, wherever that Python is."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automed.devices import REPEATS, WARM_UP, Artefact, Measured, runner
from automed.errors import DeviceError

RUNNER = "runner.py"
OUTPUTS = "outputs.npz"
Job = Mapping[str, Any]


@dataclass(frozen=True)
class Session:
    """What is to be done in one folder of the device.

    Attributes:
        starts: Arguments of the runner, each for a fresh process, in order.
        files: What lies in the folder beside it.
    """

    starts: Sequence[Sequence[str]]
    files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def content(self) -> dict[str, bytes]:
        """All files of the folder, the runner among them."""
        return {RUNNER: Path(runner.__file__).read_bytes(), **self.files}


@dataclass(frozen=True)
class Answers:
    """What the starts of a session printed, and the outputs they left, if any."""

    printed: Sequence[str]
    outputs: bytes = b""


@dataclass(frozen=True)
class Machine:
    """A device with a Python.

    Attributes:
        label: What stands before its processor, such as "host CPU".
        carry_out: Carries out a session there; DeviceError if it cannot.
    """

    label: str
    carry_out: Callable[[Session], Answers]

    def describe(self) -> Mapping[str, str]:
        """See `Device.describe`."""
        known = json.loads(self.carry_out(Session([[]])).printed[0])
        runtimes = (f"{name} {version}" for name, version in sorted(known["runtimes"].items()))
        device = f"{self.label}: {known['device']}"
        return {"device": device, "os": known["os"], "runtimes": ", ".join(runtimes) or "none"}

    def measure(
        self,
        models: Mapping[str, Artefact],
        reference: Artefact | None = None,
        *,
        threads: int = 1,
        warm_up: int = WARM_UP,
        repeats: int = REPEATS,
    ) -> Mapping[str, Measured]:
        """See `Device.measure`. Several models also run alone once, for their memory."""
        asked = [_asked(i, name, one) for i, (name, one) in enumerate(models.items())]
        files = {a["file"]: one.content for a, one in zip(asked, models.values(), strict=True)}
        yardstick = None
        if reference is not None:
            yardstick = f"reference{reference.suffix}"
            files[yardstick] = reference.content
        timed = _job(asked, reference=yardstick, threads=threads, warm_up=warm_up, repeats=repeats)
        alone = [_job([one], threads=threads) for one in asked] if len(asked) > 1 else []
        jobs = {f"job-{i}.json": json.dumps(job).encode() for i, job in enumerate([*alone, timed])}
        printed = self.carry_out(Session([[name] for name in jobs], files | jobs)).printed
        *each, together = map(json.loads, printed)
        facts: dict[str, dict[str, Any]] = together["models"]
        for answer in each:
            for name, known in answer["models"].items():
                facts[name]["peak_memory_bytes"] = known["peak_memory_bytes"]
        where = {"device": f"{self.label}: {together['device']}", "os": together["os"]}
        return {name: Measured(**known, **where) for name, known in facts.items()}

    def run(self, model: Artefact, inputs: Sequence[NDArray[Any]]) -> Sequence[NDArray[Any]]:
        """See `Device.run`."""
        asked, buffer = _asked(0, OUTPUTS.removesuffix(".npz"), model), io.BytesIO()
        np.savez(buffer, *inputs)
        job = _job([asked], inputs="inputs.npz", outputs=".")
        files = {"job.json": json.dumps(job).encode(), "inputs.npz": buffer.getvalue()}
        answers = self.carry_out(Session([["job.json"]], {**files, asked["file"]: model.content}))
        with np.load(io.BytesIO(answers.outputs)) as arrays:
            return [arrays[name] for name in arrays.files]


def blame(where: str, stderr: str, code: int) -> DeviceError:
    """The error of a runner that ended with an exit code other than 0."""
    said = stderr.strip().splitlines()
    if code < 0 or code > 128 or not said:
        return DeviceError(f"{where}: the runtime crashed with exit code {code}")
    return DeviceError(f"{where}: {said[-1]}")


def _asked(number: int, name: str, artefact: Artefact) -> dict[str, str]:
    return {"name": name, "file": f"model-{number}{artefact.suffix}"}


def _job(
    models: Sequence[Job],
    *,
    reference: str | None = None,
    inputs: str | None = None,
    outputs: str | None = None,
    threads: int = 1,
    warm_up: int = 0,
    repeats: int = 0,
) -> Job:
    return {
        "models": models,
        "reference": reference,
        "inputs": inputs,
        "outputs": outputs,
        "threads": threads,
        "warm_up": warm_up,
        "repeats": repeats,
    }
