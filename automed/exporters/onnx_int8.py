"""ONNX in int8: convolutions and products in 8 bits between scales that training samples gave."""

import copy
import math
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    QDQQuantizer,
    QuantType,
    create_calibrator,
)

from automed.exporters import Attempt, onnx_file
from automed.exporters.deployed import Deployed
from automed.exporters.int8_harm import harm
from automed.exporters.int8_nodes import (
    CARRIED,
    FUSED,
    LAYERS,
    PRODUCTS,
    hide_fp32,
    int8_nodes,
    is_quick,
    read_exact,
    shorten,
    values_behind,
)
from automed.sample import InputSpec

SHARES = (0.0, 0.125, 0.25, 0.5)
"""Of the layers, those left in float32, for one attempt after another; the first is one layer."""
PROBES = 8
"""Samples at most on which layers are compared by the harm they do alone."""


def attempts(
    model: Deployed,
    inputs: Sequence[InputSpec],
    metadata: Mapping[str, str],
    samples: Sequence[NDArray[Any]],
) -> Iterator[Attempt]:
    """The model in int8: with one scale a weight, one an output channel, then less and less of it.

    Windowing, what follows the last layer, and layers that int8 makes slower stay in float32.

    Args:
        model: What is exported.
        inputs: Its inputs.
        metadata: Goes into every file, as it does into the one in float32.
        samples: Raw values (N, C, *size) of each input, on which ranges are measured.
    """
    graph = _Calibrated(onnx_file.export(model, inputs, metadata), inputs, samples)
    if not graph.quick:
        return
    yield graph.attempt("per tensor", graph.quick)
    yield graph.attempt("per channel", graph.quick)
    if len(graph.quick) == 1:
        return
    worst_first = graph.worst_first()
    numbers = {max(1, math.ceil(share * len(worst_first))) for share in SHARES}
    for number in sorted(numbers - {len(worst_first)}):
        yield graph.attempt("per channel", worst_first[number:])


class _Calibrated:
    """A graph in float32, and the range of every value in it over some samples.

    Attributes:
        layers: Names of all layers with weights.
        quick: Those of them that int8 makes faster.
    """

    def __init__(
        self, artefact: bytes, inputs: Sequence[InputSpec], samples: Sequence[NDArray[Any]]
    ) -> None:
        self._proto = onnx.shape_inference.infer_shapes(onnx.load_from_string(artefact))
        for number, node in enumerate(self._proto.graph.node):
            node.name = f"{node.op_type}_{number}"
        self._samples = samples
        weights = {w.name: tuple(w.dims) for w in self._proto.graph.initializer}
        every = self._proto.graph.node
        layers = [n for n in every if n.op_type in LAYERS and n.input[1] in weights]
        readers = Counter(name for node in every for name in node.input)
        # a weight that several nodes read, some of them transposed, has no scale for each channel
        able = [n for n in layers if readers[n.input[1]] == 1]
        quick = {n.name for n in able if is_quick(n, weights[n.input[1]])}
        later = values_behind(every, quick)
        self.layers = [n.name for n in layers]
        self.quick = [n.name for n in able if n.name in quick or n.input[0] in later]
        self._ranges = self._measured([spec.name for spec in inputs])

    def attempt(self, scales: str, layers: Collection[str]) -> Attempt:
        """The graph with these layers in int8."""
        rest = len(self.layers) - len(layers)
        told = f", {rest} of {len(self.layers)} layers in fp32" if rest else ""
        artefact = self._quantised(layers, per_channel=scales == "per channel")
        return Attempt(how=f"int8 {scales}{told}", artefact=artefact)

    def worst_first(self) -> list[str]:
        """The quick layers by how far each one, alone in int8, moves the output on the samples."""
        ranges = {
            name: (float(known.lowest.min()), float(known.highest.max()))
            for name, known in self._ranges.items()
        }
        moved = harm(self._proto, self.quick, ranges, [x[:PROBES] for x in self._samples])
        return sorted(moved, key=moved.__getitem__, reverse=True)

    def _measured(self, names: Sequence[str]) -> Any:
        with tempfile.TemporaryDirectory() as folder, onnx_file.quiet():
            path = Path(folder) / "fp32.onnx"
            onnx.save(self._proto, path)
            calibrator = create_calibrator(path, augmented_model_path=f"{folder}/augmented.onnx")
            calibrator.collect_data(_Reader(names, self._samples))
            return calibrator.compute_data()

    def _quantised(self, layers: Collection[str], *, per_channel: bool) -> bytes:
        proto = copy.deepcopy(self._proto)
        nodes = int8_nodes(proto.graph.node, layers)
        with onnx_file.quiet():
            hide_fp32(proto.graph, set(self.layers) - set(layers), nodes)
            quantizer = QDQQuantizer(
                proto,
                per_channel,
                False,  # whole range of weights: processors of today add up without overflow
                QuantType.QInt8,
                QuantType.QUInt8,  # int8 activations have no fast kernel on x86
                self._ranges,
                nodes,
                [],
                [*LAYERS, *FUSED, *CARRIED],
                {
                    "OpTypesToExcludeOutputQuantization": list(PRODUCTS),
                    "ForceQuantizeNoInputCheck": True,
                },
            )
            quantizer.quantize_model()
        quantizer.model.topological_sort()
        quantised = quantizer.model.model
        read_exact(quantised.graph, nodes)
        shorten(quantised.graph)
        quantised.producer_name, quantised.producer_version = (
            self._proto.producer_name,
            self._proto.producer_version,
        )
        del quantised.graph.value_info[:], quantised.metadata_props[:]
        quantised.metadata_props.extend(self._proto.metadata_props)
        return bytes(quantised.SerializeToString())


class _Reader(CalibrationDataReader):  # type: ignore[misc] # onnxruntime is not typed
    """The samples one at a time, as the calibrator asks for them."""

    def __init__(self, names: Sequence[str], samples: Sequence[NDArray[Any]]) -> None:
        self._rows = zip(*samples, strict=True)
        self._names = names

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The inputs of the next sample by name; nothing after the last."""
        row = next(self._rows, None)
        if row is None:
            return None
        return {n: x[None].astype(np.float32) for n, x in zip(self._names, row, strict=True)}
