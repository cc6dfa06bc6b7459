"""Machines that models run and are timed on. A device answers measure and run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from numpy.typing import NDArray

from automed import registry
from automed.devices import runner
from automed.errors import DeviceError

TARGETS = {".pte": "executorch", ".openvino.zip": "openvino"}
"""Exporter whose reference artefact is the yardstick of files with this suffix; else onnx's is."""
SUFFIXES = tuple(ending for endings in runner.LOADERS for ending in endings)
UNPICKLED = ".pt2"
"""Files that PyTorch would let run code: they are looked at before any process loads them."""
WARM_UP = 10
REPEATS = 75


@dataclass(frozen=True)
class Artefact:
    """A model's file.

    Attributes:
        content: Its bytes.
        suffix: The end of its name, which tells what runs it, such as ".onnx".
    """

    content: bytes
    suffix: str

    @classmethod
    def read(cls, path: Path) -> Self:
        """The model in a file.

        Raises:
            DeviceError: It cannot be read, or its name ends in no known suffix.
            ExportError: It is a program of PyTorch that could do more than compute.
        """
        ending = suffix(path.name)
        if not ending:
            raise DeviceError(
                f"{path.name} is no model that can be run; these are: {', '.join(SUFFIXES)}"
            )
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DeviceError(f"{path} cannot be read: {error.strerror}") from error
        if ending == UNPICKLED:  # what runs is what was looked at, whoever reads the zip
            content = registry.part("exporter", "torch-export").harmless(content, path.name)
        return cls(content, ending)


def suffix(name: str) -> str:
    """The end of a file's name by which a model is known, such as ".onnx"; "" if there is none."""
    return next((ending for ending in SUFFIXES if name.endswith(ending)), "")


def reference(suffix: str) -> Artefact:
    """The small fixed model that timings of files with this suffix are divided by."""
    exporter = registry.part("exporter", TARGETS.get(suffix, "onnx"))
    return Artefact(exporter.reference(), exporter.SUFFIX)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a model costs on a device, at batch 1.

    Attributes:
        p50_ms: Median of one inference.
        p90_ms: 90th percentile; None where the device cannot tell.
        p99_ms: 99th percentile; None where the device cannot tell.
        relative: p50 divided by that of the reference artefact of the same session.
        repeats: Inferences that were timed.
        warm_up: Inferences before them, of this model.
        peak_memory_bytes: What loading it and one inference add to a fresh process at their peak.
        size_bytes: Of its file.
        device: What the machine is, in a few words.
        os: Its operating system.
        runtime: What ran it, with the version.
        threads: CPU threads of the runtime.
        error: For a value that is predicted, the share of it by which nine of ten held-out
            architectures differed from it at most; None for one that is measured.
    """

    p50_ms: float
    p90_ms: float | None
    p99_ms: float | None
    relative: float | None
    repeats: int
    warm_up: int
    peak_memory_bytes: int | None
    size_bytes: int
    device: str
    os: str
    runtime: str
    threads: int
    error: float | None = None


class Device(Protocol):
    """A machine at an address."""

    def describe(self) -> Mapping[str, str]:
        """What is there, by kind of fact: device, os, runtimes.

        Raises:
            DeviceError: It cannot be reached.
        """

    def measure(
        self,
        models: Mapping[str, Artefact],
        reference: Artefact | None = None,
        *,
        threads: int = 1,
        warm_up: int = WARM_UP,
        repeats: int = REPEATS,
    ) -> Mapping[str, Measured]:
        """Time models in one session, in turns, the reference among them.

        Raises:
            DeviceError: It cannot be reached, or cannot run one of them.
        """

    def run(self, model: Artefact, inputs: Sequence[NDArray[Any]]) -> Sequence[NDArray[Any]]:
        """What a model returns there, in order, for inputs (N, C, *size), one sample at a time.

        Raises:
            DeviceError: It cannot be reached, or cannot run it.
        """


class Maker(Protocol):
    """What a module of devices offers."""

    ADDRESS: str
    """What follows its name and a colon, in capitals where a user fills it in; "" for nothing."""

    def make(self, address: str) -> Device:
        """The device at an address; nothing is reached yet.

        Raises:
            DeviceError: No such address can be.
        """

    def called(self, address: str) -> str:
        """What results call that device: they travel, and no account, network or folder with them.

        Two devices of one search must not be called the same.
        """

    def found(self) -> Sequence[str]:
        """Addresses of those that can be seen without being named."""


def called(name: str) -> str:
    """What results call a device.

    Raises:
        UnknownNameError: No such kind of device.
    """
    kind, _, address = name.partition(":")
    maker: Maker = registry.part("device", name)
    return f"{kind}:{maker.called(address)}" if address else kind


def device(name: str) -> Device:
    """The device of a name such as host or ssh:user@board.

    Raises:
        UnknownNameError: No such kind of device.
        DeviceError: No such address can be.
    """
    maker: Maker = registry.part("device", name)
    kind, colon, address = name.partition(":")
    if colon and not address and not maker.ADDRESS:  # it would be another name of the same device
        raise DeviceError(f"device {kind} takes no address, given {name!r}; name it {kind}")
    return maker.make(address)
