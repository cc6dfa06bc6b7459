"""How far each layer of an ONNX graph, alone in int8, moves what the model answers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from automed.exporters import outputs
from automed.exporters.onnx_runtime import Model

SWITCHES = "switches"


def harm(
    proto: onnx.ModelProto,
    layers: Sequence[str],
    ranges: Mapping[str, tuple[float, float]],
    samples: Sequence[NDArray[Any]],
) -> dict[str, float]:
    """Mean squared change of the first output for each layer, rounded per output channel.

    All layers are asked one after another of one graph in which each can be switched to int8:
    loading a graph for each would take longer than all the rest.

    Args:
        proto: The model in fp32.
        layers: Names of convolutions and products of it.
        ranges: Least and largest value of each layer's input by that input's name.
        samples: Raw values (N, C, *size) of each input.
    """
    model = Model(_switchable(proto, layers, ranges).SerializeToString())

    def answers(switches: NDArray[np.float32]) -> NDArray[np.float32]:
        return outputs(model, [*samples, np.broadcast_to(switches, (len(samples[0]), len(layers)))])

    wanted = answers(np.zeros((1, len(layers)), np.float32))
    alone = np.eye(len(layers), dtype=np.float32)
    return {
        name: float(np.square(answers(row[None]) - wanted).mean())
        for name, row in zip(layers, alone, strict=True)
    }


def _switchable(
    proto: onnx.ModelProto, layers: Sequence[str], ranges: Mapping[str, tuple[float, float]]
) -> onnx.ModelProto:
    """The model with one more input (1, layers): by how much of its rounding each is rounded."""
    changed = onnx.ModelProto()
    changed.CopyFrom(proto)
    graph = changed.graph
    weights = {w.name: numpy_helper.to_array(w) for w in graph.initializer}
    shape = (1, len(layers))
    graph.input.append(helper.make_tensor_value_info(SWITCHES, onnx.TensorProto.FLOAT, shape))
    nodes = []

    def constant(name: str, value: Any) -> str:
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(kind: str, *inputs: str, name: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    for layer in graph.node:
        if layer.name in layers:
            x, w = layer.input[:2]
            n = layer.name
            number = constant(f"{n}/number", np.int64(layers.index(n)))
            switch = node("Gather", SWITCHES, number, name=f"{n}/switch", axis=1)
            scale, zero = _affine(*ranges[x])
            pair = constant(f"{n}/scale", scale), constant(f"{n}/zero", zero)
            whole = node("QuantizeLinear", x, *pair, name=f"{n}/whole")
            rounded = node("DequantizeLinear", whole, *pair, name=f"{n}/rounded")
            moved = node("Sub", rounded, x, name=f"{n}/moved")
            shift = constant(f"{n}/shift", _rounded(weights[w], layer) - weights[w])
            for place, (value, change) in enumerate([(x, moved), (w, shift)]):
                part = node("Mul", change, switch, name=f"{n}/part{place}")
                layer.input[place] = node("Add", value, part, name=f"{n}/input{place}")
        nodes.append(layer)
    content = [each.SerializeToString() for each in nodes]  # they are about to leave the graph
    del graph.node[:]
    graph.node.extend(onnx.NodeProto.FromString(each) for each in content)
    return changed


def _affine(low: float, high: float) -> tuple[np.float32, np.uint8]:
    """Scale and zero point of values in 8 bits without a sign; 0 stays 0."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / 255 or 1.0
    return np.float32(scale), np.uint8(round(-low / scale))


def _rounded(weight: NDArray[np.float32], layer: onnx.NodeProto) -> NDArray[np.float32]:
    """A weight with 127 steps to either side of 0 for each output channel."""
    transposed = any(a.name == "transB" and a.i for a in layer.attribute)
    output = 0 if layer.op_type == "Conv" or transposed else weight.ndim - 1
    rest = tuple(axis for axis in range(weight.ndim) if axis != output)
    steps = np.abs(weight).max(rest, keepdims=True) / 127
    steps[steps == 0] = 1
    rounded: NDArray[np.float32] = np.round(weight / steps) * steps
    return rounded
