"""Classical classifiers on raw pixels: the floor that any network must beat, as ONNX too."""

from typing import Any

import numpy as np
import onnx

from automed.data.dataset import Dataset
from automed.errors import UnknownNameError
from automed.exporters.onnx_file import OPSET
from automed.task import CLASSICAL

NUM_TREES = 200


def fit(name: str, train: Dataset, seed: int) -> bytes:
    """A classical baseline fitted to the training part, as an ONNX file for raw images.

    Args:
        name: One of `automed.task.CLASSICAL`.
        train: Images (N, C, *size) and labels (N,).
        seed: Of the random forest.

    Raises:
        UnknownNameError: No such baseline.
    """
    from skl2onnx import to_onnx

    if name not in CLASSICAL:
        raise UnknownNameError("classical baseline", name, CLASSICAL)
    pixels_NF = np.asarray(train.images, dtype=np.float32).reshape(len(train), -1)
    model = _model(name, seed).fit(pixels_NF, train.truth)
    proto = to_onnx(
        model,
        pixels_NF[:1],
        options={id(model): {"zipmap": False, "output_class_labels": False}},
        target_opset={"": OPSET, "ai.onnx.ml": 3},
    )
    return _image_in_probabilities_out(proto, train.images[:1].shape)


def _model(name: str, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if name == "random-forest":
        return RandomForestClassifier(NUM_TREES, random_state=seed, n_jobs=-1)
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))


def _image_in_probabilities_out(proto: Any, shape: tuple[int, ...]) -> bytes:
    graph = proto.graph
    flat = graph.input[0].name
    graph.node.insert(0, onnx.helper.make_node("Flatten", ["image"], [flat], axis=1))
    image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, shape)
    graph.input[0].CopyFrom(image)
    for label in [o for o in graph.output if "label" in o.name]:
        graph.output.remove(label)
    return bytes(proto.SerializeToString())
