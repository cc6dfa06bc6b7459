"""Latency of exported models: one timing at a time on a machine, interleaved, warmed up."""

import hashlib
import os
import platform
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from filelock import FileLock
from numpy.typing import NDArray

ROUNDS = 15
CALLS_PER_ROUND = 5
WARM_UP_S = 0.02
REFERENCE = "reference"


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
def place() -> str:
    """What a latency belongs to: processor, runtime and threads, in one line."""
    return f"{_processor()}, onnxruntime {ort.__version__}, 1 thread"


def session(model: bytes | Path) -> ort.InferenceSession:
    """An onnxruntime session on one CPU thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    source = str(model) if isinstance(model, Path) else model
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def measure(models: Mapping[str, bytes | Path], rounds: int = ROUNDS) -> dict[str, Latency]:
    """Time models against each other in one session, under the machine-wide lock.

    Every round calls each model a few times in turn, so that a change of the machine's speed
    meets all of them alike. A reference artefact is timed among them.

    Args:
        models: Name to exported ONNX model, in memory or on disk; fixed input shapes.
        rounds: How often each model gets its turn.

    Returns:
        Name to latency, in the order given.
    """
    runs = {name: _Run(session(model)) for name, model in models.items()}
    runs[REFERENCE] = _Run(session(reference_artefact()))
    with exclusive():
        for run in runs.values():
            run.warm_up()
        for _ in range(rounds):
            for run in runs.values():
                run.time(CALLS_PER_ROUND)
    reference_ms = float(np.median(runs[REFERENCE].times_ms))
    return {
        name: Latency(
            median_ms=float(np.median(runs[name].times_ms)),
            p95_ms=float(np.percentile(runs[name].times_ms, 95)),
            relative=float(np.median(runs[name].times_ms)) / reference_ms,
            num_calls=len(runs[name].times_ms),
        )
        for name in models
    }


@contextmanager
def exclusive() -> Iterator[None]:
    """Hold the machine-wide lock: whoever times a model on this machine waits here."""
    path = Path(tempfile.gettempdir()) / f"automed-latency-{os.getuid()}.lock"
    with FileLock(path):
        yield


@cache
def reference_artefact() -> bytes:
    """A small fixed convolutional graph, the yardstick that timings are divided by."""
    rng = np.random.default_rng(0)
    shapes = {"w1": (16, 1, 3, 3), "w2": (32, 16, 3, 3), "w3": (32, 32, 3, 3)}
    weights = [
        onnx.numpy_helper.from_array(rng.normal(0, 0.1, shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    steps, last = [], "image"
    for name in shapes:
        steps += [
            onnx.helper.make_node("Conv", [last, name], [f"{name}_c"], pads=[1, 1, 1, 1]),
            onnx.helper.make_node("Relu", [f"{name}_c"], [f"{name}_r"]),
        ]
        last = f"{name}_r"
    graph = onnx.helper.make_graph(
        steps,
        "reference",
        [onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, (1, 1, 48, 48))],
        [onnx.helper.make_tensor_value_info(last, onnx.TensorProto.FLOAT, (1, 32, 48, 48))],
        weights,
    )
    opset = [onnx.helper.make_opsetid("", 18)]
    return onnx.helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString()


def graph_digest(model: onnx.ModelProto) -> str:
    """Sixteen hex digits of a graph's operations and shapes; weights and names do not count."""
    numbers: dict[str, int] = {}

    def number(name: str) -> int:
        return numbers.setdefault(name, len(numbers))

    digest = hashlib.sha256()
    for value in model.graph.input:
        digest.update(f"{number(value.name)}{value.type.tensor_type.shape}".encode())
    for weight in model.graph.initializer:
        small = weight.SerializeToString() if weight.data_type == onnx.TensorProto.INT64 else b""
        digest.update(f"{number(weight.name)}{weight.dims}{weight.data_type}".encode())
        digest.update(b"" if not small else onnx.numpy_helper.to_array(weight).tobytes())
    for node in model.graph.node:
        attributes = sorted(a.SerializeToString(deterministic=True) for a in node.attribute)
        wires = [number(n) for n in (*node.input, *node.output)]
        digest.update(f"{node.op_type}{wires}".encode() + b"".join(attributes))
    return digest.hexdigest()[:16]


class _Run:
    """One session with an input to feed it."""

    def __init__(self, model: ort.InferenceSession) -> None:
        self._session = model
        rng = np.random.default_rng(0)
        self._feed: dict[str, NDArray[np.float32]] = {
            i.name: rng.normal(0, 1, [d if isinstance(d, int) else 1 for d in i.shape]).astype(
                np.float32
            )
            for i in model.get_inputs()
        }
        self.times_ms: list[float] = []

    def warm_up(self) -> None:
        end = time.perf_counter() + WARM_UP_S
        self._session.run(None, self._feed)
        while time.perf_counter() < end:
            self._session.run(None, self._feed)

    def time(self, calls: int) -> None:
        self._session.run(None, self._feed)  # the model before left its own data in the caches
        for _ in range(calls):
            start = time.perf_counter_ns()
            self._session.run(None, self._feed)
            self.times_ms.append((time.perf_counter_ns() - start) / 1e6)


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
