"""What a PyTorch archive may hold if it is to compute and nothing else."""

import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch

ROOT = "archive/"
GRAPH = f"{ROOT}models/model.json"
_INPUTS = f"{ROOT}data/sample_inputs/model.pt"
_CONFIGS = (
    f"{ROOT}data/weights/model_weights_config.json",
    f"{ROOT}data/constants/model_constants_config.json",
)
_KNOWN = re.compile(
    rf"{ROOT}(archive_format|archive_version|byteorder|\.data/version|extra/\w+\.json"
    r"|models/model\.json|data/sample_inputs/model\.pt"
    r"|data/weights/(weight_\d+|model_weights_config\.json)"
    r"|data/constants/(tensor_\d+|model_constants_config\.json))"
)
_TENSOR = re.compile(r"(weight|tensor)_\d+")
_PLAIN = re.compile(r"[A-Za-z0-9_.+]*")
"""Names, numbers and versions: PyTorch makes source code of some of a graph's strings."""
_SPECS = ("in_spec", "out_spec")
_NO_NAMES = ("null", "[]", None)
"""What a container in a spec says of its keys; those of arguments by name would be compiled."""
_CONTAINERS = {"builtins.tuple", "builtins.list", "builtins.dict", None}
_EMPTY = (  # expressions that would be evaluated, code that would be compiled, objects
    "guards_code",
    "range_constraints",
    "treespec_namedtuple_fields",
    "sym_int_values",
    "sym_bool_values",
    "sym_float_values",
    "custom_obj_values",
)
ONE_MODULE = {"nn_module_stack": "L__self__,,torch.nn.Module"}
"""What is told of every step: that it belongs to the model, as `torch.export.unflatten` asks."""
_REFUSED = ("as_expr", "as_operator", "as_graph", "as_custom_obj", "as_opaque")


def require_harmless(parts: Mapping[str, bytes]) -> None:
    """Refuse an archive that could do more than compute with tensors.

    Args:
        parts: Of the archive, by name.

    Raises:
        ValueError: It holds a pickle, compiled code, an expression, or a call of anything but
            PyTorch's own operators on tensors.
    """
    for name in parts:
        if not _KNOWN.fullmatch(name):
            raise ValueError(f"it holds {name}")
    for config in _CONFIGS:
        for fact in json.loads(parts[config])["config"].values():
            if fact["use_pickle"] or not _TENSOR.fullmatch(fact["path_name"]):
                raise ValueError("a tensor of it is pickled")
    try:
        torch.load(io.BytesIO(parts[_INPUTS]), weights_only=True)
    except Exception as error:  # torch.export.load would try again without that restraint
        raise ValueError("its example inputs are not tensors alone") from error
    for key, value in _entries(json.loads(parts[GRAPH])):
        _require(key, value)


def _require(key: str, value: Any) -> None:
    if not _PLAIN.fullmatch(key):
        raise ValueError(f"it has {key}")
    if key in _EMPTY and value:
        raise ValueError(f"it has {key}")
    if key in _REFUSED or key.startswith("as_sym"):
        raise ValueError(f"it has {key}")
    if key == "metadata" and value not in ({}, ONE_MODULE):
        raise ValueError("it tells more of its steps than what they are")
    if key == "target" and not _is_operator(value):
        raise ValueError(f"it calls {value}")
    if key in _SPECS:
        for inner, told in _entries(json.loads(value)):
            if inner == "type" and told not in _CONTAINERS:
                raise ValueError(f"it takes a {told}")
            if inner == "context" and told not in _NO_NAMES:
                raise ValueError(f"it has a container of {told}")
    elif key not in ONE_MODULE:  # which is told word by word
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and not _PLAIN.fullmatch(text):
                raise ValueError(f"it says {text}")


def _is_operator(target: str) -> bool:
    if target == "_operator.getitem":
        return True
    found = re.fullmatch(r"torch\.ops\.aten\.([A-Za-z0-9_]+)\.([A-Za-z0-9_]+)", target)
    if not found or found[1] == "from_file":
        return False
    operators = getattr(torch.ops.aten, found[1], None)
    return isinstance(getattr(operators, found[2], None), torch._ops.OpOverload)


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key of nested JSON with its value."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, inner
            yield from _entries(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _entries(inner)
