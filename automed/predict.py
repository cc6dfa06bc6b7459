"""What an exported model says of one sample; needs onnxruntime and NumPy, no PyTorch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automed import registry
from automed.errors import DataError
from automed.exporters.onnx_runtime import Model
from automed.problems import Answer
from automed.sample import InputSpec

Array = NDArray[Any]


def predict(model: Model, images: Sequence[Array], table: Sequence[float] | None = None) -> Answer:
    """The model's answer to raw inputs.

    A grey image is given to a model of colour images as three equal channels, as in training.

    Args:
        model: An exported model.
        images: One (C, *size) for each image that the model takes, in its order.
        table: Variables in the order of the training data's columns, if the model takes any.

    Raises:
        DataError: An input is missing or not wanted, has another shape than the model was made
            for, or holds NaN or Inf.
        ExportError: The file was not exported by automed.
    """
    card = model.card()
    wanted = [spec for spec in card.inputs if spec.kind == "image"]
    if len(images) != len(wanted):
        raise DataError(f"{len(images)} images for a model that takes {len(wanted)} of a sample")
    given = iter(images)
    columns = _row(table, next((s for s in card.inputs if s.kind == "table"), None))
    raw = [_fitting(next(given), s) if s.kind == "image" else columns for s in card.inputs]
    problem = registry.part("problem", card.problem).PROBLEM
    answer: Answer = problem.answer(model.outputs(*(x[None] for x in raw)), card.target)
    return answer


def _fitting(image: Array, spec: InputSpec) -> Array:
    if image.shape == (1, *spec.size) and spec.channels == 3:
        image = np.broadcast_to(image, spec.shape)
    if image.shape != spec.shape:
        raise DataError(
            f"the image is {_shape(image.shape)}, the model takes {_shape(spec.shape)} "
            f"(channels x size, raw {spec.units}); crop or resample it first"
        )
    if not np.isfinite(image).all():
        raise DataError("the image holds NaN or Inf; pixels must be finite: export it again")
    return image


def _row(table: Sequence[float] | None, spec: InputSpec | None) -> Array:
    row = np.array(() if table is None else table, np.float32)
    if spec is None and table is not None:
        raise DataError("the model takes no table; leave it out")
    if spec is not None and len(row) != spec.channels:
        raise DataError(
            f"the model takes a table of {spec.channels} numbers, given {len(row)}; give them in "
            "the order of the training data's columns, as in --table 61,1,0"
        )
    if not np.isfinite(row).all():
        raise DataError("the table holds NaN or Inf; fill in every number")
    return row


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
