"""ONNX: one self-contained file that onnxruntime runs on phones, boards and servers."""

import functools
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import onnx
import torch

from automed.exporters import Runner
from automed.exporters.deployed import Deployed

SUFFIX = ".onnx"
OPSET = 20


def export(model: Deployed, shape: tuple[int, ...], metadata: Mapping[str, str]) -> bytes:
    """The model as an ONNX file for float32 inputs of this fixed shape (1, C, *size).

    Weights are inside, and neither stack traces nor local paths: the file tells nothing of the
    machine it was made on.
    """
    _reuse_operator_table()
    model = model.cpu().eval()
    with _quiet():
        program: Any = torch.onnx.export(
            model,
            (torch.zeros(shape),),
            input_names=["image"],
            output_names=["output"],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    proto: onnx.ModelProto = program.model_proto
    _anonymise(proto)
    proto.producer_name = "automed"
    proto.producer_version = metadata.get("automed", "")
    onnx.helper.set_model_props(proto, dict(metadata))
    onnx.checker.check_model(proto)
    return bytes(proto.SerializeToString())


def load(artefact: bytes | Path) -> Runner:
    """The artefact in onnxruntime, on one CPU thread."""
    from automed.exporters.onnx_runtime import Model

    return Model(artefact)


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


@functools.cache
def _reuse_operator_table() -> None:
    """Build PyTorch's table of ONNX operators once a process: it takes over half of an export.

    The exporter parses some 500 function sources anew at each call. Where a release renames the
    private constructor, exports are slower and nothing else changes.
    """
    from torch.onnx._internal.exporter import _registration

    table = getattr(_registration, "ONNXRegistry", None)
    build = getattr(getattr(table, "from_torchlib", None), "__func__", None)
    if table is not None and build is not None:
        table.from_torchlib = classmethod(functools.cache(build))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress and warnings off the user's screen."""
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
