"""MONAI bundle: a zip that MONAI's own tools read, with the model as ONNX and as a program."""

import copy
import functools
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from automed.errors import ExportError
from automed.exporters import archive, onnx_file, torch_export
from automed.exporters.onnx_runtime import Model
from automed.sample import InputSpec

if TYPE_CHECKING:
    from automed.exporters.deployed import Deployed

try:
    import safetensors.torch
except ImportError as missing:
    raise ExportError(
        "target monai-bundle needs safetensors; install it with: "
        "pip install 'automed[monai-bundle]'"
    ) from missing

SUFFIX = ".bundle.zip"
RUNTIME = "onnxruntime"
SLOW = True
_ONNX = "models/model.onnx"
_SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/"
    "meta_schema_20240725.json"
)
_FORMATS = {  # of what problems return first, as MONAI's specification of bundles calls them
    "classification": ("probabilities", "classes"),
    "multilabel": ("probabilities", "classes"),
    "regression": ("tuples", "raw"),
    "segmentation": ("image", "classes"),
    "detection": ("tuples", "points"),
    "reconstruction": ("image", "magnitude"),
    "anomaly": ("tuples", "raw"),
    "registration": ("image", "raw"),
}
_NETWORK = {
    "imports": ["$import numpy", "$import torch"],
    "bundle_root": ".",
    "device": "$torch.device('cpu')",
    "network_def": (
        "$torch.export.unflatten(torch.export.load(@bundle_root + '/models/model.pt2'))"
    ),
    "network": "$@network_def.to(@device)",
}
_ORIENTATION = {"_target_": "Orientation", "axcodes": "RAS"}
_INFERENCE = {
    **_NETWORK,
    "images": [],
    "output_file": "$@bundle_root + '/predictions.npy'",
    "preprocessing": {  # pictures and volumes as automed reads them: rows first, right-anterior-up
        "_target_": "Compose",
        "transforms": [
            {
                "_target_": "LoadImage",
                "image_only": True,
                "reader": {"_target_": "PILReader", "reverse_indexing": False},
            },
            {"_target_": "EnsureChannelFirst"},
            {"_target_": "EnsureType", "dtype": "$torch.float32"},
        ],
    },
    "dataset": {"_target_": "Dataset", "data": "@images", "transform": "@preprocessing"},
    "inferer": {"_target_": "SimpleInferer"},
    "predictions": "$[@inferer(x[None].to(@device), @network)[0].detach() for x in @dataset]",
    "run": ["$numpy.save(@output_file, torch.stack([*@predictions]).numpy())"],
}
_USE = """With MONAI and PyTorch, in Python, from this folder; the output is in `predictions.npy`:

    from monai.bundle import run
    run(config_file="configs/inference.json", images=["scan.nii.gz"])

"""
_LICENSE = "No licence has been chosen for this model yet: ask whoever gave it to you.\n"


class First(torch.nn.Module):
    """The first output alone, as MONAI's inferers expect it."""

    def __init__(self, model: "Deployed") -> None:
        """A model that may return more."""
        super().__init__()
        self.model = model

    def forward(self, *raw: torch.Tensor) -> torch.Tensor:
        """The first output (1, C, *size) for the inputs in order; a score is one channel."""
        first: torch.Tensor = self.model(*raw)[0]
        return first if first.ndim > 1 else first[:, None]


def export(model: "Deployed", inputs: Sequence[InputSpec], metadata: Mapping[str, str]) -> bytes:
    """The model as a bundle: configs, ONNX, an exported program, weights and a page on it.

    Windowing and the final activation are in both graphs, so no transform of a bundle does them.
    The state dictionary is kept as safetensors, not in MONAI's model.pt, which is a pickle.
    """
    program = torch_export.exported(First(model), inputs)
    answer = program.module()(*(torch.zeros(1, *spec.shape) for spec in inputs))
    parts = {
        "configs/metadata.json": _json(described(inputs, tuple(answer.shape[1:]), metadata)),
        "configs/inference.json": _json(_inference(inputs)),
        _ONNX: onnx_file.export(model, inputs, metadata),
        "models/model.pt2": torch_export.packed(program, model.output_names[:1], metadata),
        "models/model.safetensors": safetensors.torch.save(
            {  # each of its own, also where two layers share one
                name: x.clone(memory_format=torch.contiguous_format)
                for name, x in model.state_dict().items()
            }
        ),
        "docs/README.md": _page(inputs, metadata).encode(),
        "LICENSE": _LICENSE.encode(),
    }
    folder = _folder(metadata)
    return archive.pack({f"{folder}/{name}": content for name, content in parts.items()})


def load(artefact: bytes | Path) -> Model:
    """The bundle's ONNX model in onnxruntime, on one CPU thread.

    Raises:
        ExportError: The file is no bundle, or its model cannot be run.
    """
    name, content = archive.name_and_content(artefact)
    try:
        return Model(_onnx(content))
    except (ValueError, ExportError) as error:
        raise ExportError(f"{name} is no MONAI bundle with a model in ONNX ({error})") from error


def digest(artefact: bytes) -> str:
    """Sixteen hex digits of a graph's operations and shapes; weights and names do not count."""
    return onnx_file.digest(_onnx(artefact))


@functools.cache
def reference() -> bytes:
    """A small fixed convolutional model, the yardstick that timings are divided by."""
    return archive.pack({f"{_folder({'name': 'reference'})}/{_ONNX}": onnx_file.reference()})


def described(
    inputs: Sequence[InputSpec], answer: tuple[int, ...], metadata: Mapping[str, str]
) -> dict[str, Any]:
    """The bundle's metadata.json.

    Args:
        inputs: Of one sample.
        answer: Shape (C, *size) of the first output.
        metadata: As every artefact carries it; it is kept whole under "automed".

    Source: docs.monai.io/en/stable/mb_specification.html
    """
    problem = metadata.get("problem", "")
    kind, form = _FORMATS.get(problem, ("image", "raw"))
    classes = json.loads(metadata.get("target", "{}")).get("classes", ())
    names = classes if len(classes) == answer[0] else [f"value {i}" for i in range(answer[0])]
    return {
        "schema": _SCHEMA,
        "version": "0.1.0",
        "changelog": {"0.1.0": "exported by automed"},
        "monai_version": version("monai"),
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {"nibabel": version("nibabel")},
        "name": metadata.get("name", "model"),
        "task": f"{problem or 'inference'}: {metadata.get('task', 'unnamed')}",
        "description": f"A network for {problem or 'images'}, found and trained by automed.",
        "authors": "unknown",
        "copyright": "unknown",
        "intended_use": metadata.get("notice", ""),
        "network_data_format": {
            "inputs": {spec.name: _input(spec) for spec in inputs},
            "outputs": {"pred": _tensor(kind, form, answer, (), names)},
        },
        "automed": dict(metadata),
    }


def _inference(inputs: Sequence[InputSpec]) -> dict[str, Any]:
    """How MONAI runs the model on image files; of several inputs it gets the network alone."""
    if not _is_one_image(inputs):
        return _NETWORK
    config: dict[str, Any] = copy.deepcopy(_INFERENCE)
    if len(inputs[0].size) == 3:
        config["preprocessing"]["transforms"].insert(2, _ORIENTATION)
    return config


def _is_one_image(inputs: Sequence[InputSpec]) -> bool:
    return len(inputs) == 1 and inputs[0].kind == "image"


def _input(spec: InputSpec) -> dict[str, Any]:
    form = "hounsfield" if spec.units == "HU" else "magnitude"
    names = [spec.units for _ in range(spec.channels)]
    window = spec.window if _is_clipped(spec) else ()
    told = _tensor("image" if spec.size else "tuples", form, spec.shape, window, names)
    return {**told, "modality": "CT" if spec.units == "HU" else "n/a"}


def _tensor(
    kind: str, form: str, shape: tuple[int, ...], values: tuple[float, ...], names: Sequence[str]
) -> dict[str, Any]:
    return {
        "type": kind,
        "format": form,
        "modality": "n/a",
        "num_channels": shape[0],
        "spatial_shape": list(shape[1:]),
        "dtype": "float32",
        "value_range": list(values),
        "is_patch_data": False,
        "channel_def": {str(i): name for i, name in enumerate(names)},
    }


def _is_clipped(spec: InputSpec) -> bool:
    """Whether its window is one of raw values."""
    return spec.kind == "image" and not spec.standardised


def _taken(spec: InputSpec) -> str:
    """What becomes of raw values inside the model."""
    if spec.kind != "image":
        return "as they are"
    if spec.standardised:
        return f"each channel in its own standard deviations, of which {spec.window} count"
    return f"values outside {spec.window} are clipped"


def _page(inputs: Sequence[InputSpec], metadata: Mapping[str, str]) -> str:
    takes = "\n".join(
        f"- `{spec.name}`: float32, (1, {', '.join(map(str, spec.shape))}), raw {spec.units}; "
        f"{_taken(spec)}"
        for spec in inputs
    )
    use = _USE if _is_one_image(inputs) else ""
    return f"""# {metadata.get("name", "model")}

{metadata.get("notice", "")}

Task: {metadata.get("task", "unnamed")} ({metadata.get("problem", "inference")}).

## Inputs
{takes}

## Use
{use}`models/model.onnx` runs in onnxruntime and returns every output; `models/model.pt2` and the
weights in `models/model.safetensors` are for PyTorch.
"""


def _onnx(content: bytes) -> bytes:
    parts = archive.unpack(content)
    found = [part for name, part in parts.items() if name.partition("/")[2] == _ONNX]
    if len(found) != 1:
        raise ValueError(f"it holds {len(found)} files {_ONNX}")
    return found[0]


def _folder(metadata: Mapping[str, str]) -> str:
    return f"{metadata.get('name', 'model')}{SUFFIX.removesuffix('.zip')}"


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=2).encode()
