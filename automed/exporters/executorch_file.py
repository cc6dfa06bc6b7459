"""ExecuTorch: one self-contained program for PyTorch's runtime on phones and boards."""

import copy
import functools
import hashlib
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram

from automed.errors import ExportError
from automed.exporters.deployed import Deployed
from automed.exporters.executorch_runtime import (
    Model,
    facts,
    first_line,
    missing_kernels,
    packed,
    quiet,
)
from automed.exporters.volumes import sliced
from automed.sample import InputSpec

with quiet():
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

SUFFIX = ".pte"
RUNTIME = "executorch"
SLOW = True
"""Lowering a default network takes 2 to 12 seconds of a processor; a few of volumes take 43."""
SCALES = ("quantize_per_tensor", "quantize_per_channel")
"""Operations whose numbers are scales, and those are learnt."""


def export(model: Deployed, inputs: Sequence[InputSpec], metadata: Mapping[str, str]) -> bytes:
    """The model as an ExecuTorch file for float32 inputs of one sample, each (1, C, *size).

    XNNPACK runs what it has kernels for; volumes are computed slice by slice, see `volumes`.

    Raises:
        ExportError: ExecuTorch cannot lower the model, or cannot run what it made of it.
    """
    return lowered(captured(model, inputs), inputs, model.output_names, metadata)


def load(artefact: bytes | Path) -> Model:
    """The artefact in ExecuTorch's runtime, on one CPU thread."""
    return Model(artefact)


def digest(artefact: bytes) -> str:
    """Sixteen hex digits of a program's operations and shapes, taken when it was lowered."""
    return str(facts(artefact)["digest"])


@functools.cache
def reference() -> bytes:
    """A small fixed convolutional model, the yardstick that timings are divided by."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        channels = (1, 16, 32, 32)
        layers = (
            layer
            for i, o in itertools.pairwise(channels)
            for layer in (nn.Conv2d(i, o, 3, padding=1, bias=False), nn.ReLU())
        )
        network = nn.Sequential(*layers).eval()
    inputs = [InputSpec(size=(48, 48))]
    return lowered(program(network, inputs), inputs, ("features",), {})


def captured(model: Deployed, inputs: Sequence[InputSpec]) -> ExportedProgram:
    """The model as one graph of torch's operations, without 3D kernels.

    Raises:
        ExportError: It does not become one graph.
    """
    whole = _plain(model.cpu().eval())
    try:
        with quiet():
            if any(len(spec.size) == 3 for spec in inputs):
                whole = sliced(whole, _zeros(inputs))
            return program(whole, inputs)
    except Exception as error:
        raise ExportError(f"executorch cannot capture this model: {first_line(error)}") from error


def lowered(
    graph: ExportedProgram,
    inputs: Sequence[InputSpec],
    outputs: Sequence[str],
    metadata: Mapping[str, str],
) -> bytes:
    """A graph as an artefact that has been run once.

    Raises:
        ExportError: ExecuTorch cannot lower it, or cannot run what it made of it.
    """
    try:
        with quiet():
            edge = to_edge_transform_and_lower(graph, partitioner=[XnnpackPartitioner()])
            executable = edge.to_executorch()
    except Exception as error:
        raise ExportError(f"executorch cannot lower this model: {first_line(error)}") from error
    (plan,) = executable.executorch_program.execution_plan
    names = [f"{o.name}.{o.overload}" if o.overload else o.name for o in plan.operators]
    if missing := missing_kernels(names):
        raise ExportError(f"executorch has no kernel for {', '.join(missing)} of this model")
    artefact = packed(
        executable.buffer,
        metadata,
        inputs={spec.name: [1, *spec.shape] for spec in inputs},
        outputs=list(outputs),
        digest=_digest(graph.graph),
    )
    try:
        with quiet():
            Model(artefact).rehearse()
    except RuntimeError as error:
        raise ExportError(f"executorch cannot run this model: {first_line(error)}") from error
    return artefact


def _plain(model: nn.Module) -> nn.Module:
    """A copy without layers that do nothing at inference, and with all weights of its norms.

    XNNPACK's lowering of batch norms fails where there is nothing to scale by, and some of its
    passes fail on weights that training has laid out with their channels last.
    """
    plain = copy.deepcopy(model)
    for weight in plain.parameters():
        # a copy: contiguous() leaves the strides of what has one channel as they are
        weight.data = weight.data.clone(memory_format=torch.contiguous_format)
    for module in plain.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and not module.affine:
            module.weight = nn.Parameter(torch.ones(module.num_features))
            module.bias = nn.Parameter(torch.zeros(module.num_features))
        for name, child in module.named_children():
            if isinstance(child, nn.modules.dropout._DropoutNd):
                setattr(module, name, nn.Identity())
    return plain


def program(network: nn.Module, inputs: Sequence[InputSpec]) -> ExportedProgram:
    """A network as one graph for one sample."""
    with torch.no_grad():
        return torch.export.export(network, _zeros(inputs), strict=False)


def _zeros(inputs: Sequence[InputSpec]) -> tuple[Tensor, ...]:
    return tuple(torch.zeros(1, *spec.shape) for spec in inputs)


def _digest(graph: fx.Graph) -> str:
    """Sixteen hex digits of operations and shapes; weights, scales and names do not count."""
    numbers: dict[fx.Node, int] = {}
    seen = hashlib.sha256()
    for node in graph.nodes:
        numbers[node] = len(numbers)
        args: Any = (node.args, node.kwargs)
        if any(name in str(node.target) for name in SCALES):
            args = node.args[0]
        operation = node.target if node.op == "call_function" else ""
        wires = fx.map_arg(args, lambda source: numbers[source])
        value = node.meta.get("val")
        shape = (list(value.shape), value.dtype) if isinstance(value, Tensor) else ()
        seen.update(f"{node.op} {operation} {wires} {shape};".encode())
    return seen.hexdigest()[:16]
