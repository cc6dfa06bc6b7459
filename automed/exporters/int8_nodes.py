"""Which nodes of an ONNX graph gain by int8, and what keeps the others out of it."""

import math
from collections.abc import Collection, Sequence

import onnx

LAYERS = ("Conv", "Gemm", "MatMul")
"""Operations with weights of which onnxruntime has an int8 kernel on a CPU; transposed convolutions
and recurrent cells have none."""
PRODUCTS = ("Gemm", "MatMul")
"""Layers whose kernel also gives float32: their values, a score say, need not be rounded."""
FUSED = ("Relu", "Clip")
"""What a layer's own kernel does for nothing, by the range of its int8 output."""
CARRIED = (
    *("Add", "Mul", "Sigmoid", "Concat", "MaxPool", "AveragePool", "GlobalAveragePool", "Resize"),
    *("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Slice", "Split", "Pad"),
)
"""What runs on int8 values between layers, so that they need not become float32 and int8 again."""
LEAST_CHANNELS, LEAST_PRODUCTS = 4, 32
"""A convolution that sees fewer channels is slower in int8, unless it adds up that many products
within a plane: there is too little to multiply at a time. It is mostly the one that sees the
image."""


def is_quick(node: onnx.NodeProto, weight: tuple[int, ...]) -> bool:
    """Whether int8 makes a layer faster, if it has to do with int8 alone."""
    if node.op_type != "Conv":
        return True
    groups = next((a.i for a in node.attribute if a.name == "group"), 1)
    within_plane = len(weight) < 5 and math.prod(weight[1:]) >= LEAST_PRODUCTS
    return weight[1] * groups >= LEAST_CHANNELS or within_plane


def int8_nodes(nodes: Sequence[onnx.NodeProto], layers: Collection[str]) -> list[str]:
    """Names of layers, of what they fuse with, and of what carries their values to other layers."""
    read, chosen = set[str](), []
    for node in reversed(nodes):
        if node.name in layers or not read.isdisjoint(node.output):
            read.update(node.input)
    fresh, int8 = set[str](), set[str]()  # values out of a layer's kernel, and all in int8
    for node in nodes:
        kernel = node.name in layers or (node.op_type in FUSED and node.input[0] in fresh)
        carried = node.op_type in (*FUSED, *CARRIED) and not (
            int8.isdisjoint(node.input) or read.isdisjoint(node.output)
        )
        if kernel:
            fresh.update(node.output)
        if kernel or carried:
            int8.update(node.output)
            chosen.append(node.name)
    return chosen


def values_behind(nodes: Sequence[onnx.NodeProto], layers: Collection[str]) -> set[str]:
    """Names of the values that layers give, and of all that follows from them."""
    behind = set[str]()
    for node in nodes:
        if node.name in layers or not behind.isdisjoint(node.input):
            behind.update(node.output)
    return behind


def read_exact(graph: onnx.GraphProto, int8: Collection[str]) -> None:
    """Let float32 nodes read what other float32 nodes gave, and not what int8 made of it."""
    rounded = {output for node in graph.node if node.name in int8 for output in node.output}
    exact = {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type == "QuantizeLinear" and node.input[0] not in rounded
    }
    exact |= {
        node.output[0]: exact[node.input[0]]
        for node in graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in exact
    }
    for node in graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear") and node.name not in int8:
            node.input[:] = [exact.get(name, name) for name in node.input]


def hide_fp32(graph: onnx.GraphProto, layers: Collection[str], int8: Collection[str]) -> None:
    """Put a leaky rectifier of slope 1, which does nothing, behind layers among int8 nodes.

    onnxruntime turns a layer that takes and gives int8 values into int8 by itself when it loads the
    file, unless something comes between; this fuses into the layer when it runs.
    """
    made = {output for node in graph.node if node.name in int8 for output in node.output}
    for number, node in reversed(list(enumerate(graph.node))):
        if node.name in layers and node.input[0] in made:
            value = node.output[0]
            node.output[0] = f"{value}_fp32"
            again = onnx.helper.make_node(
                "LeakyRelu", list(node.output), [value], f"{node.name}_fp32", alpha=1.0
            )
            graph.node.insert(number + 1, again)


def shorten(graph: onnx.GraphProto) -> None:
    """Give values numbers for names: what a quantizer calls them takes as much as small weights."""
    kept = {value.name for value in (*graph.input, *graph.output)} | {""}
    numbers: dict[str, str] = {}

    def short(name: str) -> str:
        return name if name in kept else numbers.setdefault(name, f"v{len(numbers)}")

    for node in graph.node:
        node.name = ""
        node.input[:] = [short(name) for name in node.input]
        node.output[:] = [short(name) for name in node.output]
    for weight in graph.initializer:
        weight.name = short(weight.name)
