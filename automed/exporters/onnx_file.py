"""ONNX: one self-contained file that onnxruntime runs on phones, boards and servers."""

import functools
import hashlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from automed.exporters.onnx_runtime import Model
from automed.sample import InputSpec

if TYPE_CHECKING:
    from automed.exporters.deployed import Deployed

SUFFIX = ".onnx"
RUNTIME = "onnxruntime"
SLOW = False
OPSET = 20


def export(model: "Deployed", inputs: Sequence[InputSpec], metadata: Mapping[str, str]) -> bytes:
    """The model as an ONNX file for float32 inputs of one sample, each (1, C, *size).

    Weights are inside, and neither stack traces nor local paths: the file tells nothing of the
    machine it was made on.
    """
    import torch

    buffer: Any = io.BytesIO()
    with quiet():
        # a number taken out of a tensor would be another for another sample
        warnings.filterwarnings("error", ".* to a Python (number|float|integer) might cause")
        torch.onnx.export(
            model.cpu().eval(),
            tuple(torch.zeros(1, *spec.shape) for spec in inputs),
            buffer,
            input_names=[spec.name for spec in inputs],
            output_names=list(model.output_names),
            opset_version=OPSET,
            dynamo=False,  # traced: far faster, see studies/benchmarks/lowering.py
        )
    proto = onnx.load_from_string(buffer.getvalue())
    del proto.graph.input[:]  # tracing leaves out an input that has no say
    proto.graph.input.extend(graph_inputs(inputs))
    _anonymise(proto)
    proto.producer_name = "automed"
    proto.producer_version = metadata.get("automed", "")
    onnx.helper.set_model_props(proto, dict(metadata))
    onnx.checker.check_model(proto)
    return bytes(proto.SerializeToString())


def load(artefact: bytes | Path) -> Model:
    """The artefact in onnxruntime, on one CPU thread."""
    return Model(artefact)


def digest(artefact: bytes) -> str:
    """Sixteen hex digits of a graph's operations and shapes; weights and names do not count."""
    graph = onnx.load_from_string(artefact).graph
    numbers: dict[str, int] = {}

    def number(name: str) -> int:
        return numbers.setdefault(name, len(numbers))

    seen = hashlib.sha256()
    for value in graph.input:
        seen.update(f"{number(value.name)}{value.type.tensor_type.shape}".encode())
    for weight in graph.initializer:
        seen.update(f"{number(weight.name)}{weight.dims}{weight.data_type}".encode())
        if weight.data_type == onnx.TensorProto.INT64:  # shapes and axes, not learnt
            seen.update(onnx.numpy_helper.to_array(weight).tobytes())
    for node in graph.node:
        attributes = sorted(a.SerializeToString(deterministic=True) for a in node.attribute)
        wires = [number(name) for name in (*node.input, *node.output)]
        seen.update(f"{node.op_type}{wires}".encode() + b"".join(attributes))
    return seen.hexdigest()[:16]


def graph_inputs(inputs: Sequence[InputSpec]) -> list[onnx.ValueInfoProto]:
    """Float32 inputs of one sample, as a graph that is made by hand declares them."""
    info = onnx.helper.make_tensor_value_info
    return [info(spec.name, onnx.TensorProto.FLOAT, (1, *spec.shape)) for spec in inputs]


@functools.cache
def reference() -> bytes:
    """A small fixed convolutional model, the yardstick that timings are divided by."""
    rng = np.random.default_rng(0)
    shapes = {"first": (16, 1, 3, 3), "second": (32, 16, 3, 3), "third": (32, 32, 3, 3)}
    steps, last = [], "image"
    for name in shapes:
        conv, relu = f"{name}_conv", f"{name}_relu"
        steps.append(onnx.helper.make_node("Conv", [last, name], [conv], pads=[1, 1, 1, 1]))
        steps.append(onnx.helper.make_node("Relu", [conv], [relu]))
        last = relu
    graph = onnx.helper.make_graph(
        steps,
        "reference",
        graph_inputs([InputSpec(size=(48, 48))]),
        [onnx.helper.make_tensor_value_info(last, onnx.TensorProto.FLOAT, (1, 32, 48, 48))],
        [
            onnx.numpy_helper.from_array(rng.normal(0, 0.1, shape).astype(np.float32), name)
            for name, shape in shapes.items()
        ],
    )
    opset = [onnx.helper.make_opsetid("", OPSET)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=10)
    return bytes(model.SerializeToString())


def _anonymise(proto: onnx.ModelProto) -> None:
    """Drop what the exporter writes for debugging: stack traces, doc strings, Python names."""
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        del value.metadata_props[:]
        value.doc_string = ""
    for weight in proto.graph.initializer:
        del weight.metadata_props[:]
        weight.doc_string = ""
    del proto.graph.metadata_props[:]
    proto.graph.doc_string = proto.doc_string = ""
    proto.graph.name = "automed"


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the progress and the warnings of exporters and quantizers off the user's screen."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
        ):
            yield
    finally:
        logging.disable(level)
