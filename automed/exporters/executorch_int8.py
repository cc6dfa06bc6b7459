"""Integer ExecuTorch programs: quantised after training with ranges seen on training samples."""

import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from automed.errors import ExportError
from automed.exporters import Attempt
from automed.exporters.deployed import Deployed
from automed.exporters.executorch_file import captured, lowered, program
from automed.exporters.executorch_runtime import first_line, quiet
from automed.sample import InputSpec

with quiet():
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

ATEN = torch.ops.aten
WEIGHTED = (
    ATEN.conv1d.default,
    ATEN.conv2d.default,
    ATEN.conv_transpose1d.default,
    ATEN.conv_transpose2d.input,
    ATEN.linear.default,
)
"""Operations with weights: the layers, and what lies between them is the network."""
CALIBRATION, SENSITIVITY = 64, 8
"""Samples that ranges are taken from, and that layers are judged on."""
LEAST_SCALE = 2.0**-12
"""Between two neighbouring integers, as in XNNPACK's own quantiser."""
SHARES = (0.5, 0.75)
"""Of the harm that all layers do, what the layers left in fp32 do."""


def attempts(
    model: Deployed,
    inputs: Sequence[InputSpec],
    metadata: Mapping[str, str],
    samples: Sequence[NDArray[Any]],
) -> Iterator[Attempt]:
    """Int8 artefacts from the boldest to the gentlest, each made when it is asked for.

    Inputs, windowing, what follows the last layer and outputs stay float32.

    Args:
        model: The trained model.
        inputs: Of one sample.
        metadata: To go into the files.
        samples: Raw values (N, C, *size) of every input, of the training part.

    Raises:
        ExportError: ExecuTorch cannot quantise or lower the model, or does not load what it made:
            its XNNPACK refuses convolutions of volumes, see `volumes`, in integers.
    """
    graph = captured(model, inputs).module()
    assert isinstance(graph, fx.GraphModule)
    between = _network(graph)
    layers = [node.name for node in between if node.target in WEIGHTED]
    if not layers:
        raise ExportError("executorch cannot quantise this model: it has no layer with weights")
    given = list(_spread(samples, CALIBRATION))

    def made(how: str, per_channel: bool, spared: Collection[str] = ()) -> Attempt:
        names = {node.name for node in between} - set(spared)
        try:
            with quiet():
                integers = _quantised(graph, names, per_channel, given)
                lowerable = program(integers, inputs)
        except Exception as error:
            raise ExportError(
                f"executorch cannot quantise this model: {first_line(error)}"
            ) from error
        return Attempt(how, lowered(lowerable, inputs, model.output_names, metadata))

    yield made("int8 per tensor", per_channel=False)
    yield made("int8 per channel", per_channel=True)
    harm = _harm(graph, layers, list(_spread(samples, SENSITIVITY)))
    worst = sorted(layers, key=lambda name: -harm[name])
    known = set()
    for share in SHARES:
        sums = np.cumsum([harm[name] for name in worst])
        number = int(np.searchsorted(sums, share * sums[-1])) + 1
        if number < len(layers) and number not in known:
            known.add(number)
            yield made(
                f"int8 per channel, {number} of {len(layers)} layers in fp32",
                per_channel=True,
                spared=worst[:number],
            )


def _quantised(
    graph: fx.GraphModule,
    names: Collection[str],
    per_channel: bool,
    given: Sequence[tuple[Tensor, ...]],
) -> fx.GraphModule:
    """A graph whose nodes of these names compute in integers, where XNNPACK can."""
    quantizer = XNNPACKQuantizer()
    quantizer.set_global(get_symmetric_quantization_config(is_per_channel=per_channel))
    quantizer.set_filter_function(lambda node: node.op == "get_attr" or node.name in names)
    prepared = prepare_pt2e(copy.deepcopy(graph), quantizer)
    with torch.no_grad():
        for sample in given:
            prepared(*sample)
    integers: fx.GraphModule = convert_pt2e(prepared)
    return integers


def _network(graph: fx.GraphModule) -> list[fx.Node]:
    """The layers, their activations, and what takes from a layer and gives to another."""
    behind: set[fx.Node] = set()
    for node in graph.graph.nodes:
        if _is_layer(node) or behind.intersection(node.all_input_nodes):
            behind.add(node)
    before: set[fx.Node] = set()
    for node in reversed(graph.graph.nodes):
        if _is_layer(node) or before.intersection(node.users):
            before.add(node)
    return [
        node
        for node in graph.graph.nodes
        if node in behind and (node in before or node.target == ATEN.relu.default)
    ]


def _is_layer(node: fx.Node) -> bool:
    """Whether it has weights, those of interpolation and averages apart."""
    modules = node.meta.get("nn_module_stack", {}).values()
    fixed = any(str(kind).endswith("slices.Linear") for _, kind in modules)
    return node.target in WEIGHTED and not fixed


def _harm(
    graph: fx.GraphModule, layers: Sequence[str], given: Sequence[tuple[Tensor, ...]]
) -> dict[str, float]:
    """What each layer does to the outputs, in mean squares, if it alone computes in integers."""
    with torch.no_grad():
        wanted = [graph(*sample) for sample in given]
        return {
            layer: sum(
                float((one - other).square().mean())
                for sample, want in zip(given, wanted, strict=True)
                for one, other in zip(_Rounded(graph, layer).run(*sample), want, strict=True)
                if other.is_floating_point()
            )
            for layer in layers
        }


class _Rounded(fx.Interpreter):
    """A graph of which one layer is rounded to integers as XNNPACK would."""

    def __init__(self, graph: fx.GraphModule, layer: str) -> None:
        super().__init__(graph)
        self.layer = layer

    def run_node(self, n: fx.Node) -> Any:
        """The node's value; rounded, what a norm is folded into later has no output yet."""
        if n.name != self.layer:
            return super().run_node(n)
        (x, weight, *others), named = self.fetch_args_kwargs_from_env(n)
        axis = int("transpose" in str(n.target))
        operation: Any = n.target
        y = operation(_rounded(x), _rounded_weight(weight, axis), *others, **named)
        return y if any("norm" in user.name for user in n.users) else _rounded(y)


def _rounded(x: Tensor) -> Tensor:
    """Values on 256 levels between their extremes, of which 0 is one."""
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    scale = max((high - low) / 255, LEAST_SCALE)
    zero = round(-128 - low / scale)
    return torch.fake_quantize_per_tensor_affine(x, scale, zero, -128, 127)


def _rounded_weight(weight: Tensor, axis: int) -> Tensor:
    """Weights on 255 levels around 0, every output channel by itself."""
    others = [a for a in range(weight.ndim) if a != axis]
    scale = (weight.abs().amax(others) / 127).clamp(min=LEAST_SCALE)
    zeros = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zeros, axis, -127, 127)


def _spread(samples: Sequence[NDArray[Any]], most: int) -> Iterator[tuple[Tensor, ...]]:
    """At most so many samples, evenly spread over all, each as the inputs of a graph."""
    number = len(samples[0])
    for row in np.unique(np.linspace(0, number - 1, min(number, most)).astype(int)):
        yield tuple(torch.from_numpy(x[row : row + 1].astype(np.float32)) for x in samples)
