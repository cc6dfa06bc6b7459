"""OpenVINO: one zip of its graph, weights and facts, run on Intel processors in 2D and 3D."""

import functools
import hashlib
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from automed.errors import ExportError
from automed.exporters import archive, onnx_file
from automed.sample import InputSpec

if TYPE_CHECKING:
    from automed.exporters.deployed import Deployed


@contextmanager
def without_telemetry() -> Iterator[None]:
    """Keep libraries of OpenVINO that are imported here from reporting it to their makers.

    They send what they find in `openvino_telemetry`, and nothing if that cannot be imported.
    """
    known: Any = sys.modules
    name = "openvino_telemetry"
    before = {name: known[name]} if name in known else {}
    known[name] = None
    try:
        yield
    finally:
        del known[name]
        known.update(before)


try:
    with without_telemetry():
        import openvino as ov
        from openvino.passes import ConstantFolding, Manager
except ImportError as missing:
    raise ExportError(
        "target openvino needs openvino; install it with: pip install 'automed[openvino]'"
    ) from missing

SUFFIX = ".openvino.zip"
RUNTIME = "openvino"
SLOW = False
_GRAPH, _WEIGHTS, _METADATA = "model.xml", "model.bin", "metadata.json"
_ONE_THREAD = {
    "INFERENCE_NUM_THREADS": 1,
    "NUM_STREAMS": 1,
    "PERFORMANCE_HINT": "LATENCY",
    "INFERENCE_PRECISION_HINT": "f32",
}


class Model:
    """A loaded artefact on one CPU thread."""

    def __init__(self, artefact: bytes | Path) -> None:
        """Load it.

        Raises:
            ExportError: The file is not a model that OpenVINO can run.
        """
        name, content = archive.name_and_content(artefact)
        try:
            parts = archive.unpack(content)
            self.metadata: dict[str, str] = json.loads(parts[_METADATA])
            graph = ov.Core().read_model(parts[_GRAPH], parts[_WEIGHTS])
            compiled = compiled_model(graph)
        except Exception as error:
            raise ExportError(f"{name} is no OpenVINO model that automed exported") from error
        self._names = [output.any_name for output in graph.outputs]  # compiled, some have others
        self._shapes = [tuple(given.shape) for given in compiled.inputs]
        self._request = compiled.create_infer_request()

    def __call__(self, *raw: NDArray[Any]) -> NDArray[np.float32]:
        """The graph's first output for one sample, each input (1, C, *size)."""
        return np.array(self._infer(raw)[0], dtype=np.float32)

    def outputs(self, *raw: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """All that the graph returns for one sample, by name."""
        given = self._infer(raw)
        return {name: np.array(given[i]) for i, name in enumerate(self._names)}

    def rehearse(self) -> None:
        """One inference on a made-up input; nothing but the runtime's own work, to be timed."""
        self._request.infer(self._rehearsal, share_inputs=True, share_outputs=True)

    @functools.cached_property
    def _rehearsal(self) -> list[NDArray[np.float32]]:
        rng = np.random.default_rng(0)
        return [rng.normal(0, 1, shape).astype(np.float32) for shape in self._shapes]

    def _infer(self, raw: Sequence[NDArray[Any]]) -> Any:
        given = [x.astype(np.float32) for x in raw]
        return self._request.infer(given, share_inputs=True, share_outputs=True)


def export(model: "Deployed", inputs: Sequence[InputSpec], metadata: Mapping[str, str]) -> bytes:
    """The model as a zip of OpenVINO's graph and weights and the metadata.

    Raises:
        ExportError: OpenVINO lacks an operation of the model.
    """
    return packed(converted(traced(model, inputs)), metadata)


def load(artefact: bytes | Path) -> Model:
    """The artefact in OpenVINO, on one CPU thread in single precision."""
    return Model(artefact)


def digest(artefact: bytes) -> str:
    """Sixteen hex digits of a graph's operations and shapes; weights and names do not count."""
    parts = archive.unpack(artefact)
    net = ElementTree.fromstring(parts[_GRAPH])
    seen = hashlib.sha256()
    for layer in net.iter("layer"):
        data = layer.find("data")
        attributes = {} if data is None else dict(data.attrib)
        start, size = int(attributes.pop("offset", 0)), int(attributes.get("size", 0))
        if attributes.get("element_type") in ("i64", "i32"):  # shapes and axes, not learnt
            seen.update(parts[_WEIGHTS][start : start + size])
        ports = [(p.get("precision"), [d.text for d in p.iter("dim")]) for p in layer.iter("port")]
        seen.update(f"{layer.get('type')}{sorted(attributes.items())}{ports}".encode())
    for edge in net.iter("edge"):
        seen.update(f"{sorted(edge.items())}".encode())
    return seen.hexdigest()[:16]


@functools.cache
def reference() -> bytes:
    """A small fixed convolutional model, the yardstick that timings are divided by."""
    return packed(converted(onnx_file.reference()), {})


def traced(model: "Deployed", inputs: Sequence[InputSpec]) -> bytes:
    """The model in ONNX, of operations that OpenVINO has."""
    from automed.exporters.volumes import ReadByIndex

    with ReadByIndex():
        return onnx_file.export(model, inputs, {})


def converted(content: bytes) -> ov.Model:
    """An ONNX model in OpenVINO, with what is known of its shapes folded into constants.

    Raises:
        ExportError: OpenVINO lacks one of its operations.
    """
    try:
        graph = ov.Core().read_model(content)
    except RuntimeError as error:
        lacking = ", ".join(re.findall(r"Conversion is failed for: (.+)", str(error)))
        raise ExportError(
            f"OpenVINO cannot run this model ({lacking or 'it is not valid'}); export it to onnx"
        ) from error
    folding = Manager()
    folding.register_pass(ConstantFolding())
    folding.run_passes(graph)
    return graph


def compiled_model(graph: ov.Model) -> ov.CompiledModel:
    """A graph that is ready to run on one CPU thread, in single precision unless it says else."""
    return ov.Core().compile_model(graph, "CPU", _ONE_THREAD)


def packed(graph: ov.Model, metadata: Mapping[str, str]) -> bytes:
    """A graph and its metadata in one file."""
    for number, step in enumerate(graph.get_ordered_ops()):  # names count on from model to model
        step.set_friendly_name(f"{step.get_type_name()}_{number}")
    with tempfile.TemporaryDirectory() as folder:
        places = Path(folder) / _GRAPH, Path(folder) / _WEIGHTS
        ov.serialize(graph, *places)
        content = {place.name: place.read_bytes() for place in places}
    return archive.pack({**content, _METADATA: json.dumps(dict(metadata), indent=1).encode()})
