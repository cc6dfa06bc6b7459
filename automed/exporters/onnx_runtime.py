"""A shipped ONNX model as its user meets it: onnxruntime and NumPy, no PyTorch."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from automed.errors import DataError, ExportError


@dataclass(frozen=True, kw_only=True)
class Card:
    """What an artefact says of itself in its metadata."""

    task: str
    classes: tuple[str, ...]
    size: tuple[int, ...]
    channels: int
    units: str
    notice: str


RUNTIME = f"onnxruntime {ort.__version__}, 1 thread"


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
        name = artefact.name if isinstance(artefact, Path) else "model"
        try:
            content = artefact.read_bytes() if isinstance(artefact, Path) else artefact
        except OSError as error:
            raise ExportError(f"{name} cannot be read: {error.strerror}") from error
        try:
            self._session = ort.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise ExportError(f"{name} is no ONNX model that onnxruntime can load") from error
        self._rehearsal: dict[str, NDArray[np.float32]] | None = None

    def __call__(self, *raw: NDArray[Any]) -> NDArray[np.float32]:
        """The graph's first output for one sample, each input (1, C, *size)."""
        names = (i.name for i in self._session.get_inputs())
        feed = {name: x.astype(np.float32) for name, x in zip(names, raw, strict=True)}
        first = self._session.get_outputs()[0].name
        return np.asarray(self._session.run([first], feed)[0], dtype=np.float32)

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

    def card(self) -> Card:
        """What the model says of itself.

        Raises:
            ExportError: The metadata is missing: the file was not exported by automed.
        """
        facts = self._session.get_modelmeta().custom_metadata_map
        try:
            image = json.loads(facts["input"])
            return Card(
                task=facts["task"],
                classes=tuple(json.loads(facts["classes"])),
                size=tuple(image["size"]),
                channels=int(image["channels"]),
                units=image["units"],
                notice=facts["notice"],
            )
        except (KeyError, ValueError, TypeError) as error:
            raise ExportError(
                "the model carries no automed metadata (task, classes, input); "
                "give a file that `automed search` or `automed export` wrote"
            ) from error

    def predict(self, image: NDArray[Any]) -> dict[str, float]:
        """Class name to probability for one raw image (C, *size).

        A grey image is given to a model of colour images as three equal channels, as in training.

        Raises:
            DataError: The image's shape is not the one the model was made for, or it holds NaN
                or Inf.
        """
        card = self.card()
        wanted = (card.channels, *card.size)
        if image.shape == (1, *card.size) and card.channels == 3:
            image = np.broadcast_to(image, wanted)
        if image.shape != wanted:
            raise DataError(
                f"the image is {_shape(image.shape)}, the model takes {_shape(wanted)} "
                f"(channels x size, raw {card.units}); crop or resample it first"
            )
        if not np.isfinite(image).all():
            raise DataError("the image holds NaN or Inf; pixels must be finite: export it again")
        return dict(zip(card.classes, map(float, self(image[None])[0]), strict=True))


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
