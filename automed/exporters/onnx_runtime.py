"""A shipped ONNX model as its user meets it: onnxruntime and NumPy, no PyTorch."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from automed.errors import ExportError
from automed.exporters import archive
from automed.sample import InputSpec, TargetSpec


@dataclass(frozen=True, kw_only=True)
class Card:
    """What an artefact says of itself in its metadata."""

    task: str
    problem: str
    inputs: tuple[InputSpec, ...]
    target: TargetSpec
    outputs: tuple[str, ...]
    notice: str


class Model:
    """A loaded artefact on one CPU thread."""

    def __init__(self, artefact: bytes | Path) -> None:
        """Load it.

        Raises:
            ExportError: The file is not an ONNX model that onnxruntime can run.
        """
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        name, content = archive.name_and_content(artefact)
        try:
            self._session = ort.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise ExportError(f"{name} is no ONNX model that onnxruntime can load") from error
        self._rehearsal: dict[str, NDArray[np.float32]] | None = None

    def __call__(self, *raw: NDArray[Any]) -> NDArray[np.float32]:
        """The graph's first output for one sample, each input (1, C, *size)."""
        first = self._session.get_outputs()[0].name
        return np.asarray(self._session.run([first], self._feed(raw))[0], dtype=np.float32)

    def outputs(self, *raw: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """All that the graph returns for one sample, by name."""
        names = [output.name for output in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, self._feed(raw)), strict=True))

    def rehearse(self) -> None:
        """One inference on a made-up input; nothing but the runtime's own work, to be timed."""
        if self._rehearsal is None:
            rng = np.random.default_rng(0)
            self._rehearsal = {
                i.name: rng.normal(0, 1, [d if isinstance(d, int) else 1 for d in i.shape]).astype(
                    np.float32
                )
                for i in self._session.get_inputs()
            }
        self._session.run(None, self._rehearsal)

    @property
    def metadata(self) -> dict[str, str]:
        """What was written into the artefact beside its graph."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    def card(self) -> Card:
        """What the model says of itself.

        Raises:
            ExportError: The metadata is missing: the file was not exported by automed.
        """
        facts = self.metadata
        try:
            return Card(
                task=facts["task"],
                problem=facts["problem"],
                inputs=tuple(_input(raw) for raw in json.loads(facts["inputs"])),
                target=_target(json.loads(facts["target"])),
                outputs=tuple(json.loads(facts["outputs"])),
                notice=facts["notice"],
            )
        except (KeyError, ValueError, TypeError) as error:
            raise ExportError(
                "the model carries no automed metadata (problem, inputs, target); "
                "give a file that `automed search` or `automed export` wrote"
            ) from error

    def _feed(self, raw: Sequence[NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        names = (i.name for i in self._session.get_inputs())
        return {name: x.astype(np.float32) for name, x in zip(names, raw, strict=True)}


def _input(raw: dict[str, Any]) -> InputSpec:
    lists = {name: tuple(value) for name, value in raw.items() if isinstance(value, list)}
    return InputSpec(**{k: v for k, v in (raw | lists).items() if k != "dtype"})


def _target(raw: dict[str, Any]) -> TargetSpec:
    lists = {name: tuple(value) for name, value in raw.items() if isinstance(value, list)}
    return TargetSpec(**raw | lists)
