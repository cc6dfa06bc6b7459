"""One zip for who builds the app: models, what goes in and comes out, vectors to check it by."""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automed import registry
from automed.devices import runner
from automed.report import card
from automed.report.results import File, Model
from automed.run import Run
from automed.sample import InputSpec
from automed.timing import library

FORMAT = 1
"""Of the manifest; counts up where an older reader would misread a newer bundle."""
SAMPLES = 3
"""Made-up samples that every model is checked by."""
TOLERANCES = {"fp32": 1e-4, "int8": 0.02}
"""How far a value may lie from the expected one, as a share of it where that is above 1."""
SHARES = {"fp32": 0.001, "int8": 0.02}
"""Of an output's values, those that may lie further: processors round ties their own way."""
_ANDROID = ("AutomedOnnx.kt", "AutomedExecuTorch.kt")
_PYTHON = ("check.py", "README.md")

Array = NDArray[Any]


def write(run: Run, path: str | Path, pick: str = "knee") -> Path:
    """Everything that shipping a model takes, in one zip.

    Args:
        run: A finished search.
        path: The zip to write; a folder gets <task>-<model>.zip.
        pick: "knee" for the chosen model, or the name of a model of the front.

    Raises:
        UnknownNameError: No such model on the front.
        RunError: The run lacks a file, or the zip cannot be written.
    """
    model = run.best if pick == "knee" else run.named(pick)
    kept = [f for f in model.files if not f.rejected]
    parts: dict[str, bytes] = {}
    for file in kept:
        parts[_place(file)] = run.content(file)
    samples = made_up(run.results.metadata)
    entries = [_entry(file, parts[_place(file)], samples, parts) for file in kept]
    parts["manifest.json"] = _json(_manifest(run, model, entries, samples, parts))
    parts["labels.txt"] = "".join(f"{name}\n" for name in _labels(run)).encode()
    parts["model-card.md"] = card.text(run.results, model.name).encode()
    for name in _PYTHON:
        parts[name] = resources("automed.bundle").joinpath(name).read_bytes()
    for name in _ANDROID:
        content = resources("automed.bundle").joinpath(name).read_bytes()
        parts[f"android/{name}"] = content
    parts["runner.py"] = Path(runner.__file__).read_bytes()
    return run.written(path, f"{run.results.task}-{model.name}.zip", _zip(parts))


def made_up(metadata: Mapping[str, str]) -> dict[str, Array]:
    """Inputs (SAMPLES, C, *size) by name, float32: smooth noise over the window, of no patient."""
    rng = np.random.default_rng(0)
    samples = {}
    for spec in json.loads(metadata["inputs"]):
        low, high = spec["window"] if spec["kind"] == InputSpec.kind else (-1.0, 1.0)
        noise = rng.uniform(low, high, (SAMPLES, spec["channels"], *spec["size"]))
        samples[spec["name"]] = _smooth(noise).astype(np.float32)
    return samples


def _smooth(noise: Array) -> Array:
    """Noise that neighbours share, as anatomy is, in the same range."""
    for axis in range(2, noise.ndim):
        noise = (noise + np.roll(noise, 1, axis) + np.roll(noise, 2, axis)) / 3
    return noise


def _entry(
    file: File, content: bytes, samples: Mapping[str, Array], parts: dict[str, bytes]
) -> dict[str, Any]:
    """A file's row of the manifest; what it returns for the samples joins the parts."""
    loaded = registry.part("exporter", file.target).load(content)
    each = [loaded.outputs(*(x[i : i + 1] for x in samples.values())) for i in range(SAMPLES)]
    expected = []
    for output in each[0]:
        given = np.concatenate([answer[output] for answer in each]).astype(np.float32)
        place = f"vectors/{Path(_place(file)).name}.{output}.f32"
        parts[place] = given.tobytes()
        expected.append({"output": output, "file": place, "shape": list(given.shape)})
    return {
        "target": file.target,
        "precision": file.precision,
        "runtime": library(file.target),
        "how": file.how,
        "file": _place(file),
        "sha256": hashlib.sha256(content).hexdigest(),
        "costs": dict(file.costs),
        "expected": expected,
        "tolerance": TOLERANCES[file.precision],
        "share": SHARES[file.precision],
    }


def _manifest(
    run: Run,
    model: Model,
    entries: list[dict[str, Any]],
    samples: Mapping[str, Array],
    parts: dict[str, bytes],
) -> dict[str, Any]:
    vectors = []
    for name, array in samples.items():
        place = f"vectors/{name}.f32"
        parts[place] = array.tobytes()
        vectors.append({"input": name, "file": place, "shape": list(array.shape)})
    known = run.results.metadata
    return {
        "format": FORMAT,
        "model": model.name,
        "title": run.results.title,
        **{name: known[name] for name in ("automed", "task", "problem", "training_data", "notice")},
        "simulated": json.loads(known["simulated"]),
        "inputs": json.loads(known["inputs"]),
        "outputs": json.loads(known["outputs"]),
        "labels": _labels(run),
        "timed_on": run.results.timed_on,
        "models": entries,
        "vectors": vectors,
        "vectors_are": "made-up noise, of no patient; little-endian float32, C order",
    }


def _labels(run: Run) -> list[str]:
    return list(json.loads(run.results.metadata["target"])["classes"])


def _place(file: File) -> str:
    return f"models/{Path(str(file.path)).name}"


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()


def _zip(parts: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(parts.items()):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()
