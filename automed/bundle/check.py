"""Runs every model of this bundle over its test vectors: needs NumPy and the models' runtimes.

    python3 check.py

A model whose runtime is not installed here is skipped, and the line to install it is told.
"""

import json
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
PACKAGES = {
    "onnx": "onnxruntime",
    "ort": "onnxruntime",
    "monai-bundle": "onnxruntime",
    "torch-export": "torch",
}
"""What runs a target's models, where it is not called as the target is."""


def main() -> int:
    """Check all, a line each; 1 if one disagrees, 2 if none could be run."""
    manifest = json.loads((HERE / "manifest.json").read_text())
    inputs = {row["input"]: array(row) for row in manifest["vectors"]}
    verdicts = [checked(model, inputs) for model in manifest["models"]]
    if False in verdicts:
        return 1
    return 0 if True in verdicts else 2


def checked(model: dict[str, Any], inputs: dict[str, Any]) -> bool | None:
    """Whether a model returns what it should; None if it cannot be run here."""
    package = PACKAGES.get(model["target"], model["target"])
    if find_spec(package) is None:
        print(f"skipped  {model['file']}: pip install {package}")
        return None
    outputs, error = answers(model["file"], inputs)
    if error:
        print(f"FAILED   {model['file']}: {error}")
        return False
    worst, beyond = 0.0, 0.0
    for row, given in zip(model["expected"], outputs, strict=True):
        wanted = array(row)
        if given.shape != wanted.shape:
            print(f"FAILED   {model['file']}: {row['output']} is {given.shape}")
            return False
        off = np.abs(given - wanted) / np.maximum(np.abs(wanted), 1)
        off[~np.isfinite(off)] = np.inf  # no number is no agreement
        worst = max(worst, float(off.max()))
        beyond = max(beyond, float((off > model["tolerance"]).mean()))
    good: bool = beyond <= model["share"]
    told = f"largest difference {worst:.2g}, allowed {model['tolerance']:g}"
    if beyond:
        told += f", {beyond:.2%} of the values beyond, allowed {model['share']:.2%}"
    print(f"{'ok      ' if good else 'FAILED  '} {model['file']}: {told}")
    return good


def answers(file: str, inputs: dict[str, Any]) -> tuple[list[Any], str]:
    """What a model returns for the inputs, in a process of its own; or why it does not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "inputs.npz", **inputs)
        job = {
            "models": [{"name": "it", "file": str(HERE / file)}],
            "reference": None,
            "inputs": "inputs.npz",
            "outputs": ".",
            "threads": 1,
            "warm_up": 0,
            "repeats": 0,
        }
        (folder / "job.json").write_text(json.dumps(job))
        command = [sys.executable, str(HERE / "runner.py"), str(folder / "job.json")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return [], (done.stderr.strip().splitlines() or ["its runtime crashed"])[-1]
        with np.load(folder / "it.npz") as given:
            return [given[key] for key in given.files], ""


def array(row: dict[str, Any]) -> Any:
    """Numbers of a file, in their shape."""
    flat = np.fromfile(HERE / row["file"], "<f4")
    assert len(flat) == prod(row["shape"]), row["file"]
    return flat.reshape(row["shape"])


if __name__ == "__main__":
    sys.exit(main())
