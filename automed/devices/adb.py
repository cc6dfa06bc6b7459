"""Android phones through adb: a binary of the user's is pushed with the models, its log parsed."""

import os
import re
import secrets
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from numpy.typing import NDArray

from automed.devices import REPEATS, WARM_UP, Artefact, Measured
from automed.errors import DeviceError, UnreachableError

ADDRESS = "SERIAL"
VARIABLE = "AUTOMED_ADB_RUNNER"
"""Environment variable that names the binary, built for Android."""
ROUNDS = 5
"""Turns of each model, each a process of its own; the repeats are shared among them."""


@dataclass(frozen=True)
class Reading:
    """What the log of one process tells; None where it does not."""

    p50_ms: float
    p90_ms: float | None = None
    p99_ms: float | None = None
    peak_memory_bytes: int | None = None


@dataclass(frozen=True)
class Binary:
    """One that times models.

    Attributes:
        suffixes: Of the files it takes.
        arguments: Of a file, threads and repeats.
        read: Its log's reading.
        warm_up: Inferences it does not count.
    """

    suffixes: tuple[str, ...]
    arguments: str
    read: Callable[[str], Reading]
    warm_up: int


def read_executor_runner(log: str) -> Reading:
    """The mean of its executions, all that it tells.

    Source: examples/portable/executor_runner/executor_runner.cpp of ExecuTorch.
    """
    times, total_ms = _found(r"Model executed successfully (\d+) time\(s\) in ([\d.]+) ms", log)
    return Reading(float(total_ms) / int(times))


def read_perf_test(log: str) -> Reading:
    """Percentiles, told in seconds, and memory.

    Source: onnxruntime/test/perftest of onnxruntime.
    """
    p50, p90, p99 = (1e3 * float(_found(rf"P{n} Latency: (\S+) s", log)[0]) for n in (50, 90, 99))
    return Reading(p50, p90, p99, int(_found(r"Peak working set size: (\d+) bytes", log)[0]))


BINARIES = {
    "executor_runner": Binary(
        (".pte",),
        "--model_path={file} --cpu_threads={threads} --num_executions={repeats}",
        read_executor_runner,
        warm_up=0,
    ),
    "onnxruntime_perf_test": Binary(
        (".onnx", ".ort"),
        "-e cpu -I -s -m times -r {repeats} -x {threads} {file}",
        read_perf_test,
        warm_up=1,
    ),
}


def make(address: str) -> "Phone":
    """See `Maker.make`."""
    if not re.fullmatch(r"[\w.:-]+", address) or address.startswith("-"):
        raise DeviceError(f"no serial number: {address!r}; name it adb:{ADDRESS}, see adb devices")
    return Phone(address)


def called(address: str) -> str:
    """See `Maker.called`."""
    return address


def found() -> Sequence[str]:
    """Serial numbers of the phones that adb may use."""
    try:
        rows = [line.split() for line in _adb("devices").splitlines()[1:]]
    except DeviceError:
        return []
    return [row[0] for row in rows if row[1:2] == ["device"]]


@dataclass(frozen=True)
class Phone:
    """An Android device that adb reaches."""

    serial: str

    def describe(self) -> Mapping[str, str]:
        """See `Device.describe`."""
        names = ("ro.product.manufacturer", "ro.product.model", "ro.build.version.release")
        maker, model, version = (self._shell(f"getprop {name}").strip() for name in names)
        return {
            "device": f"{maker} {model}",
            "os": f"Android {version}",
            "runtimes": os.environ.get(VARIABLE, f"none; name one in {VARIABLE}"),
        }

    def measure(
        self,
        models: Mapping[str, Artefact],
        reference: Artefact | None = None,
        *,
        threads: int = 1,
        warm_up: int = WARM_UP,
        repeats: int = REPEATS,
    ) -> Mapping[str, Measured]:
        """See `Device.measure`. Each process counts from its binary's own warm-up on."""
        path, binary = _binary()
        for name, artefact in models.items():
            if artefact.suffix not in binary.suffixes:
                raise DeviceError(f"{path.name} runs {', '.join(binary.suffixes)}, not {name}")
        every = [*models.values(), *([reference] if reference else [])]
        calls = max(1, round(repeats / ROUNDS))
        machine = self.describe()
        readings = self._readings(path, binary, every, threads, calls)
        yardstick = statistics.median(r.p50_ms for r in readings[-1]) if reference else None
        told = {}
        for (name, artefact), known in zip(models.items(), readings, strict=False):
            p50 = statistics.median(r.p50_ms for r in known)
            told[name] = Measured(
                p50_ms=p50,
                p90_ms=_median([r.p90_ms for r in known]),
                p99_ms=_median([r.p99_ms for r in known]),
                relative=p50 / yardstick if yardstick else None,
                repeats=calls * ROUNDS,
                warm_up=binary.warm_up,
                peak_memory_bytes=max(r.peak_memory_bytes or 0 for r in known) or None,
                size_bytes=len(artefact.content),
                device=machine["device"],
                os=machine["os"],
                runtime=f"parsed from {path.name}'s log",
                threads=threads,
            )
        return told

    def run(self, model: Artefact, inputs: Sequence[NDArray[Any]]) -> Sequence[NDArray[Any]]:
        """No binary gives outputs back.

        Raises:
            DeviceError: Always.
        """
        raise DeviceError(
            f"adb:{self.serial} times models but brings no outputs back; compare them on host"
        )

    def _readings(
        self, binary: Path, how: Binary, models: Sequence[Artefact], threads: int, calls: int
    ) -> list[list[Reading]]:
        folder = f"/data/local/tmp/automed-{secrets.token_hex(8)}"
        files = [f"model-{i}{model.suffix}" for i, model in enumerate(models)]
        readings: list[list[Reading]] = [[] for _ in models]
        try:
            self._shell(f"mkdir {folder}")
            with TemporaryDirectory() as here:
                for file, model in zip(files, models, strict=True):
                    (Path(here) / file).write_bytes(model.content)
                    _adb("-s", self.serial, "push", f"{here}/{file}", f"{folder}/{file}")
            _adb("-s", self.serial, "push", str(binary), f"{folder}/runner")
            self._shell(f"chmod 700 {folder}/runner")
            for _ in range(ROUNDS):
                for file, known in zip(files, readings, strict=True):
                    arguments = how.arguments.format(file=file, threads=threads, repeats=calls)
                    log = self._shell(f"cd {folder} && ./runner {arguments} 2>&1")
                    known.append(how.read(log))
        finally:
            self._shell(f"rm -rf {folder}", check=False)
        return readings

    def _shell(self, command: str, check: bool = True) -> str:
        return _adb("-s", self.serial, "shell", command, check=check)


def _adb(*arguments: str, check: bool = True) -> str:
    try:
        done = subprocess.run(["adb", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise DeviceError(
            "there is no adb here; install Android's platform-tools and put adb on the PATH"
        ) from None
    if done.returncode and check:
        said = [*done.stderr.splitlines(), *done.stdout.splitlines()] or ["no answer"]
        lost = re.search(r"not found|offline|no devices|unauthorized", said[-1])
        kind = UnreachableError if lost else DeviceError
        raise kind(f"adb {' '.join(arguments[:3])} failed: {said[-1]}")
    return done.stdout


def _binary() -> tuple[Path, Binary]:
    path = Path(os.environ.get(VARIABLE, ""))
    how = next((how for name, how in BINARIES.items() if name in path.name), None)
    if how is None or not path.is_file():
        raise DeviceError(
            f"set {VARIABLE} to the file of {' or '.join(BINARIES)}, built for Android; "
            f"given {str(path) if path.name else 'nothing'!r}"
        )
    return path, how


def _found(pattern: str, log: str) -> tuple[str, ...]:
    match = re.search(pattern, log)
    if match is None:
        last = (log.strip().splitlines() or ["an empty log"])[-1]
        raise DeviceError(f"the binary's log tells no time, it ends with: {last}")
    return match.groups()


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
