"""ORT format: ONNX Runtime's own file, which its small builds for phones read without ONNX."""

import functools
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import onnxruntime as ort

from automed.errors import ExportError
from automed.exporters import archive, onnx_file
from automed.exporters.onnx_runtime import Model
from automed.sample import InputSpec

if TYPE_CHECKING:
    from automed.exporters.deployed import Deployed

SUFFIX = ".ort"
RUNTIME = "onnxruntime"
SLOW = False
_MARK = b"ORTM"
_GRAPH = "graph"
"""Where in the metadata the digest of the ONNX graph is kept: this format cannot be taken apart."""


def export(model: "Deployed", inputs: Sequence[InputSpec], metadata: Mapping[str, str]) -> bytes:
    """The model, optimised for any processor, as a file that holds weights and metadata.

    Its bytes are in another order each time: ONNX Runtime writes tensors as its hash tables give
    them.
    """
    return lowered(onnx_file.export(model, inputs, metadata))


def load(artefact: bytes | Path) -> Model:
    """The artefact in onnxruntime, on one CPU thread.

    Raises:
        ExportError: The file is not in ORT format, or onnxruntime cannot run it.
    """
    name, content = archive.name_and_content(artefact)
    if content[4:8] != _MARK:
        raise ExportError(f"{name} is not in ORT format; give a file that ends in {SUFFIX}")
    return Model(content)


def digest(artefact: bytes) -> str:
    """Sixteen hex digits of a graph's operations and shapes; weights and names do not count."""
    return load(artefact).metadata[_GRAPH]


@functools.cache
def reference() -> bytes:
    """A small fixed convolutional model, the yardstick that timings are divided by."""
    return lowered(onnx_file.reference())


def lowered(content: bytes) -> bytes:
    """An ONNX model in ORT format.

    Optimised as onnxruntime's own converter does by default: for speed, yet without the layouts
    that Intel processors alone understand.
    """
    proto = onnx.load_from_string(content)
    proto.metadata_props.add(key=_GRAPH, value=onnx_file.digest(content))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / f"model{SUFFIX}"
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.optimized_model_filepath = str(place)
        options.add_session_config_entry("session.save_model_format", "ORT")
        ort.InferenceSession(
            proto.SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=["NchwcTransformer"],
        )
        return place.read_bytes()
