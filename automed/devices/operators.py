"""What an ONNX graph has to compute, operator by operator, as latencies are predicted from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

import onnx
import onnxruntime as ort

from automed.errors import DeviceError

Shape = tuple[int, ...]
_BLOCKED = "_nchwc"
"""Behind a tensor's name it is the operator that gives it with channels in blocks."""


@dataclass(frozen=True, kw_only=True)
class Operator:
    """One node of a graph as onnxruntime runs it, at batch 1.

    Attributes:
        kind: Its type, a convolution's with how it is grouped, and "blocked" if it keeps channels
            in blocks.
        manner: Kernel's size, or how tensors of different shapes meet, or what is reduced.
        work: Multiply-accumulate operations of convolutions and products, values that pools look
            at, 0 for others.
        moved_bytes: Of the tensors it takes and gives, as if in single precision.
        weight_bytes: Of the constants it takes, likewise.
        channels_in: Of the first tensor it takes, 1 where that has no such axis.
        channels_out: Of the first it gives.
        pixels: Of the first it gives, in one channel.
    """

    kind: str
    manner: str
    work: int
    moved_bytes: int
    weight_bytes: int
    channels_in: int
    channels_out: int
    pixels: int


def operators(content: bytes) -> list[Operator]:
    """The operators of an ONNX file whose shapes follow from its inputs'.

    Raises:
        DeviceError: It is no ONNX file that onnxruntime can optimise.
    """
    levels = ort.GraphOptimizationLevel
    try:
        plain = _optimised(content, levels.ORT_ENABLE_BASIC)
        shapes = _shapes(onnx.shape_inference.infer_shapes(plain, data_prop=True).graph)
        graph = _optimised(content, levels.ORT_ENABLE_ALL).graph
    except Exception as error:
        raise DeviceError(
            "a latency can only be predicted of an ONNX file that onnxruntime can load"
        ) from error
    constants = {w.name: tuple(w.dims) for w in graph.initializer}
    nodes = [node for node in graph.node if node.op_type != "Constant"]
    for node in nodes:  # in the order they run: tensors that fusing made have no shape yet
        taken = next((shapes[name] for name in node.input if name in shapes), ())
        known = shapes.get(node.name.removesuffix(_BLOCKED), taken)
        for name in node.output:
            shapes.setdefault(name, known)
    return [_operator(node, shapes, constants) for node in nodes]


def _operator(
    node: onnx.NodeProto, shapes: Mapping[str, Shape], constants: Mapping[str, Shape]
) -> Operator:
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    data = [name for name in node.input if name in shapes and name not in constants]
    given, made = shapes[data[0]] if data else (), shapes[node.output[0]]
    second = node.input[1] if len(node.input) > 1 else ""
    weight = constants.get(second, shapes.get(second, ()))
    kind, work, manner = node.op_type.removeprefix("Fused"), 0, ""
    if kind in ("Conv", "ConvTranspose") and given:
        groups, kernel = int(attributes.get("group", 1)), weight[2:]
        many, few = (made, given) if kind == "Conv" else (given, made)
        work = math.prod(many) * math.prod(kernel) * few[1] // groups
        if groups > 1:
            kind += " depthwise" if groups == given[1] else " grouped"
        elif math.prod(kernel) == 1:
            kind += " pointwise"
        manner = "x".join(map(str, kernel))
    elif kind in ("MatMul", "Gemm") and given:
        work = math.prod(made) * given[-2 if attributes.get("transA") else -1]
    elif kind in ("LSTM", "GRU") and given:
        gates = sum(math.prod(constants.get(name, ())) for name in node.input[1:3])
        work = math.prod(given[:2]) * gates
    elif kind.endswith("Pool") and given:
        window = attributes.get("kernel_shape", given[2:])
        work, manner = math.prod(made) * math.prod(window), "x".join(map(str, window))
    elif kind.startswith("Reduce"):
        manner = "across channels" if made[1:2] < given[1:2] else ""
    elif len({shapes[name] for name in data}) > 1:
        manner = "stretched"
    if node.domain.endswith("nchwc"):
        kind = f"blocked {kind}"
    return Operator(
        kind=kind,
        manner=manner,
        work=work,
        moved_bytes=4 * sum(math.prod(shapes[name]) for name in (*data, *node.output)),
        weight_bytes=4 * sum(math.prod(constants[n]) for n in node.input if n in constants),
        channels_in=given[1] if len(given) > 1 else 1,
        channels_out=made[1] if len(made) > 1 else 1,
        pixels=math.prod(made[2:]),
    )


def _shapes(graph: onnx.GraphProto) -> dict[str, Shape]:
    values = (*graph.input, *graph.value_info, *graph.output)
    tensors: list[tuple[str, Any]] = [(v.name, v.type.tensor_type) for v in values]
    return {name: tuple(d.dim_value or 1 for d in tensor.shape.dim) for name, tensor in tensors}


def _optimised(content: bytes, level: ort.GraphOptimizationLevel) -> onnx.ModelProto:
    """The graph without what a runtime computes once, fused as far as `level` says."""
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 4
    with TemporaryDirectory() as folder:
        options.optimized_model_filepath = f"{folder}/model.onnx"
        ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return onnx.load(options.optimized_model_filepath)
