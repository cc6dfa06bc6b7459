"""torch.export: the model as PyTorch's own exported program, for whoever goes on from there."""

import functools
import hashlib
import io
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from automed.errors import ExportError
from automed.exporters import archive, onnx_file, torch_archive
from automed.sample import InputSpec

if TYPE_CHECKING:
    from automed.exporters.deployed import Deployed

SUFFIX = ".pt2"
RUNTIME = "torch"
SLOW = True
_METADATA, _OUTPUTS = "metadata.json", "outputs.json"


class Model:
    """A loaded artefact on one CPU thread."""

    def __init__(self, artefact: bytes | Path) -> None:
        """Load it, if nothing in it can run code of its own.

        `torch.export.load` unpickles what a file tells it to, calls any function of torch that a
        graph names and evaluates expressions, so a file is held against what automed writes first.

        Raises:
            ExportError: The file is not an exported program, or could do more than compute.
        """
        name, content = archive.name_and_content(artefact)
        content = harmless(content, name)
        extra = {_METADATA: "", _OUTPUTS: ""}
        try:
            with onnx_file.quiet():
                program = torch.export.load(io.BytesIO(content), extra_files=extra)
                self._module = program.module()
            self.metadata: dict[str, str] = json.loads(extra[_METADATA])
            self._names: list[str] = json.loads(extra[_OUTPUTS])
        except Exception as error:
            raise ExportError(f"{name} is no exported program of automed ({error})") from error
        self._shapes = [tuple(x.shape) for x in program.example_inputs[0]]

    def __call__(self, *raw: NDArray[Any]) -> NDArray[np.float32]:
        """The graph's first output for one sample, each input (1, C, *size)."""
        return np.asarray(self._infer(raw)[0], dtype=np.float32)

    def outputs(self, *raw: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """All that the graph returns for one sample, by name."""
        given = (y.numpy() for y in self._infer(raw))
        return dict(zip(self._names, given, strict=True))

    def rehearse(self) -> None:
        """One inference on a made-up input; nothing but the runtime's own work, to be timed."""
        with torch.inference_mode(), one_thread():
            self._module(*self._rehearsal)

    @functools.cached_property
    def _rehearsal(self) -> list[torch.Tensor]:
        rng = np.random.default_rng(0)
        return [torch.from_numpy(rng.normal(0, 1, s).astype(np.float32)) for s in self._shapes]

    def _infer(self, raw: Sequence[NDArray[Any]]) -> tuple[torch.Tensor, ...]:
        with torch.inference_mode(), one_thread():
            return tuple(self._module(*(torch.from_numpy(x.astype(np.float32)) for x in raw)))


def export(model: "Deployed", inputs: Sequence[InputSpec], metadata: Mapping[str, str]) -> bytes:
    """The model as an exported program for float32 inputs of one sample, each (1, C, *size).

    Weights and metadata are inside, and neither stack traces nor local paths.
    """
    return packed(exported(model, inputs), model.output_names, metadata)


def load(artefact: bytes | Path) -> Model:
    """The artefact in PyTorch, on one CPU thread."""
    return Model(artefact)


def harmless(artefact: bytes, name: str) -> bytes:
    """The artefact packed anew from the parts that were looked at: zip readers may disagree.

    Args:
        artefact: Content of a file.
        name: What it is called in errors.

    Raises:
        ExportError: It is not an exported program, or could do more than compute.
    """
    try:
        parts = archive.unpack(artefact)
        torch_archive.require_harmless(parts)
    except Exception as error:
        raise ExportError(f"{name} is no exported program of automed ({error})") from error
    return archive.pack(parts)


def digest(artefact: bytes) -> str:
    """Sixteen hex digits of a graph's operations and shapes; weights and names do not count."""
    graph = json.loads(archive.unpack(artefact)[torch_archive.GRAPH])["graph_module"]["graph"]
    numbers: dict[str, int] = {}

    def numbered(value: Any, key: str = "") -> Any:
        if key == "name" and isinstance(value, str):
            return numbers.setdefault(value, len(numbers))
        if isinstance(value, dict):
            return {k: numbered(v, k) for k, v in value.items()}
        return [numbered(v) for v in value] if isinstance(value, list) else value

    steps = [{k: node[k] for k in ("target", "inputs", "outputs")} for node in graph["nodes"]]
    wires = numbered([graph["inputs"], steps, graph["outputs"]])
    shapes = {
        numbers[name]: meta for name, meta in graph["tensor_values"].items() if name in numbers
    }
    seen = json.dumps([wires, sorted(shapes.items())], sort_keys=True)
    return hashlib.sha256(seen.encode()).hexdigest()[:16]


@functools.cache
def reference() -> bytes:
    """A small fixed convolutional model, the yardstick that timings are divided by."""
    rng = np.random.default_rng(0)
    channels = (1, 16, 32, 32)
    steps: list[torch.nn.Module] = []
    for width, wider in itertools.pairwise(channels):
        conv = torch.nn.Conv2d(width, wider, 3, padding=1, bias=False)
        weights = rng.normal(0, 0.1, conv.weight.shape).astype(np.float32)
        conv.load_state_dict({"weight": torch.from_numpy(weights)})
        steps += [conv, torch.nn.ReLU()]
    program = exported(torch.nn.Sequential(*steps), [InputSpec(size=(48, 48))])
    return packed(program, ("features",), {})


def exported(model: torch.nn.Module, inputs: Sequence[InputSpec]) -> torch.export.ExportedProgram:
    """A module as a program for one sample, without what does nothing once it is trained."""
    given = tuple(torch.zeros(1, *spec.shape) for spec in inputs)
    with onnx_file.quiet():
        program = torch.export.export(model.cpu().eval(), given)
    graph = program.graph_module.graph
    for node in list(graph.nodes):
        if node.target is torch.ops.aten.dropout.default:
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
    program.graph_module.recompile()
    return program


def packed(
    program: torch.export.ExportedProgram, outputs: Sequence[str], metadata: Mapping[str, str]
) -> bytes:
    """A program in PyTorch's archive, less what tells of the machine it was made on.

    Args:
        program: What the artefact computes.
        outputs: Names of what it returns.
        metadata: Kept beside it.
    """
    buffer = io.BytesIO()
    extra = {_METADATA: json.dumps(dict(metadata)), _OUTPUTS: json.dumps(list(outputs))}
    torch.export.save(program, buffer, extra_files=extra)
    parts = archive.unpack(buffer.getvalue())
    del parts[f"{torch_archive.ROOT}.data/serialization_id"]
    model = json.loads(parts[torch_archive.GRAPH])
    for node in model["graph_module"]["graph"]["nodes"]:
        node["metadata"] = torch_archive.ONE_MODULE  # and no stack traces, modules, addresses
    return archive.pack({**parts, torch_archive.GRAPH: json.dumps(model).encode()})


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch on one CPU thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
