"""OpenVINO's models in 8-bit integers, made by NNCF from samples of the training part."""

import copy
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.fusion import fuse_linear_bn_eval

from automed.errors import ExportError
from automed.exporters import Attempt, onnx_file
from automed.exporters.openvino_file import (
    compiled_model,
    converted,
    packed,
    traced,
    without_telemetry,
)
from automed.sample import InputSpec

if TYPE_CHECKING:
    from automed.exporters.deployed import Deployed

try:
    with without_telemetry(), onnx_file.quiet():
        import nncf
        import openvino as ov
        from nncf.openvino.quantization.backend_parameters import BackendParameters
        from nncf.quantization.advanced_parameters import (
            AdvancedQuantizationParameters,
            QuantizationParameters,
        )
except ImportError as missing:
    raise ExportError(
        "quantizer openvino needs nncf; install it with: pip install 'automed[openvino]'"
    ) from missing

SHARES = (1 / 8, 1 / 4, 1 / 2)
"""Of the layers, how many the gentler attempts leave in fp32."""
_OUTSIDE = "(?!/network/)"
"""Windowing and the final activation: whatever `Deployed` does not ask of its network."""
_LAYERS = (
    "Convolution",
    "GroupConvolution",
    "ConvolutionBackpropData",
    "GroupConvolutionBackpropData",
    "GRUSequence",
    "LSTMSequence",
    "MatMul",
)
_READING = ("Floor", "GridSample")
"""Steps that take places, which no other step of a network does: in volumes and in images."""
_JUDGED = 8
"""Samples on which layers are compared."""


def attempts(
    model: "Deployed",
    inputs: Sequence[InputSpec],
    metadata: Mapping[str, str],
    samples: Sequence[NDArray[Any]],
) -> Iterator[Attempt]:
    """Artefacts in 8-bit integers, from the boldest to the gentlest, each made when asked for.

    Args:
        model: What is to be shipped.
        inputs: Of one sample.
        metadata: Kept in every artefact.
        samples: Raw values (N, C, *size) of each input, of which the ranges are taken.
    """
    content = traced(with_folded_norms(model), inputs)
    rows = [[x[i : i + 1].astype(np.float32) for x in samples] for i in range(len(samples[0]))]

    def attempt(how: str, ignored: Sequence[str] = (), **choices: Any) -> Attempt:
        return Attempt(how, packed(quantized(converted(content), rows, ignored, choices), metadata))

    tensor = QuantizationParameters(per_channel=False)
    yield attempt(
        "int8 per tensor",
        weights_quantization_params=tensor,
        activations_quantization_params=tensor,
        disable_bias_correction=True,
    )
    yield attempt("int8 per channel", disable_bias_correction=True)
    yield attempt("int8 per channel, biases corrected")
    layers = by_harm(content, rows)
    for number in sorted({math.ceil(share * len(layers)) for share in SHARES} - {len(layers)}):
        how = f"int8 per channel, {number} of {len(layers)} layers in fp32"
        yield attempt(how, layers[:number])


def with_folded_norms(model: "Deployed") -> "Deployed":
    """A copy in which batch norms that follow a linear layer are part of it.

    OpenVINO 2026.4 computes wrong values where an 8-bit product of matrices is scaled by channel
    and rounded again; after convolutions such norms are folded when ONNX is made.
    """
    model = copy.deepcopy(model).cpu().eval()
    for block in [m for m in model.modules() if isinstance(m, nn.Sequential)]:
        for i, (layer, norm) in enumerate(itertools.pairwise(list(block))):
            if isinstance(layer, nn.Linear) and isinstance(norm, nn.BatchNorm1d):
                block[i], block[i + 1] = fuse_linear_bn_eval(layer, norm), nn.Identity()
    return model


def quantized(
    graph: ov.Model,
    rows: Sequence[Sequence[NDArray[np.float32]]],
    ignored: Sequence[str],
    choices: Mapping[str, Any],
) -> ov.Model:
    """A graph whose layers compute in 8-bit integers, save those ignored by name.

    What is done to raw values before they reach a layer stays in fp32 too: a table is normalised
    there, and its columns have no common scale. So does what is done to displacements.

    Args:
        graph: In fp32; it may be changed.
        rows: Inputs (1, C, *size) of samples.
        ignored: Names of layers.
        choices: Of NNCF's `AdvancedQuantizationParameters`.
    """
    with onnx_file.quiet():
        rounded = nncf.quantize(
            graph,
            nncf.Dataset(rows),
            subset_size=len(rows),
            fast_bias_correction=False,  # the fast one made networks worse
            ignored_scope=nncf.IgnoredScope(
                names=[*ignored, *_precise(graph)], patterns=[f"{_OUTSIDE}.*"], validate=False
            ),
            advanced_parameters=AdvancedQuantizationParameters(**choices),
        )
    del rounded.rt_info["nncf"]  # names of steps, which count on from model to model
    return rounded


def by_harm(content: bytes, rows: Sequence[Sequence[NDArray[np.float32]]]) -> list[str]:
    """Names of a model's layers, first the one that hurts most as 8-bit integers.

    The harm of a layer is what the first output gains, on a few samples, if it alone computes in
    fp32: then its operands are taken from before they are rounded.

    Args:
        content: The model as ONNX.
        rows: Inputs (1, C, *size) of samples.
    """
    choices = {
        "disable_bias_correction": True,
        "backend_params": {
            BackendParameters.COMPRESS_WEIGHTS: False
        },  # else nothing is left of them
    }
    graph = quantized(converted(content), rows, (), choices)
    few = rows[:_JUDGED]
    wanted = _first_outputs(converted(content), few)
    error = {}
    for layer in graph.get_ordered_ops():
        given = [operand.get_source_output() for operand in layer.inputs()]
        free = [_unrounded(source) for source in given]
        if layer.get_type_name() not in _LAYERS or free == given:
            continue
        for operand, source in zip(layer.inputs(), free, strict=True):
            operand.replace_source_output(source)
        error[layer.get_friendly_name()] = np.abs(_first_outputs(graph, few) - wanted).mean()
        for operand, source in zip(layer.inputs(), given, strict=True):
            operand.replace_source_output(source)
    return sorted(error, key=error.__getitem__)


def _precise(graph: ov.Model) -> list[str]:
    """Names of what is reached from an input, or a layer that gives places, before a layer."""
    places = [
        step
        for step in graph.get_ordered_ops()
        if step.get_type_name() in _LAYERS
        and any(met.get_type_name() in _READING for met in _until_layers([step]))
    ]
    return [step.get_friendly_name() for step in _until_layers([*graph.get_parameters(), *places])]


def _until_layers(steps: Sequence[Any]) -> list[Any]:
    """What steps reach without passing through a layer."""
    reached: dict[str, Any] = {}
    waiting = _consumers(steps)
    while waiting:
        step = waiting.pop()
        name = step.get_friendly_name()
        if step.get_type_name() not in _LAYERS and name not in reached:
            reached[name] = step
            waiting += _consumers([step])
    return list(reached.values())


def _consumers(steps: Sequence[Any]) -> list[Any]:
    return [to.get_node() for s in steps for y in s.outputs() for to in y.get_target_inputs()]


def _unrounded(source: Any) -> Any:
    step = source.get_node()
    return step.input_value(0) if step.get_type_name() == "FakeQuantize" else source


def _first_outputs(graph: ov.Model, rows: Sequence[Sequence[Any]]) -> NDArray[np.float32]:
    request = compiled_model(graph).create_infer_request()
    return np.concatenate([request.infer(list(row))[0] for row in rows])
