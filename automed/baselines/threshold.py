"""One cut on the intensity: what segmentation can do without looking at any neighbour."""

import numpy as np
import onnx
from numpy.typing import NDArray

from automed.data.dataset import Dataset
from automed.data.units import in_window
from automed.exporters.onnx_file import OPSET, graph_inputs
from automed.sample import LEAST_SPREAD, InputSpec, SampleSpec

NUM_LEVELS = 256
"""Cuts tried over the window; a power of two, so that float32 holds every one exactly."""


def threshold(train: Dataset, seed: int) -> bytes:
    """Foreground above or below one intensity, whichever cut has the best Dice in training.

    Foreground is cut as one class: the one with most voxels. The intensity is that of the
    windowed image, the mean over its channels. Other inputs have no say.

    Args:
        train: Images (N, C, *size) and masks (N, 1, *size).
        seed: Not used: nothing is drawn.
    """
    del seed
    classes_NS = train.truth[:, 0].astype(np.int64)
    level, above = best_cut(grey(train.images, train.sample.image), classes_NS > 0)
    voxels_K = np.bincount(classes_NS.reshape(-1), minlength=train.sample.target.channels)
    foreground = 1 + int(voxels_K[1:].argmax())
    return _graph(train.sample, level / NUM_LEVELS, above, foreground)


def grey(images_NCS: NDArray[np.generic], spec: InputSpec) -> NDArray[np.float32]:
    """Intensities (N, *size) in [0, 1]: windowed, the mean over channels."""
    mean_NS: NDArray[np.float32] = in_window(images_NCS, spec).mean(axis=1)
    return mean_NS


def best_cut(grey_NS: NDArray[np.float32], there_NS: NDArray[np.bool_]) -> tuple[int, bool]:
    """The cut k / NUM_LEVELS of the best mean Dice over samples, and whether foreground lies above.

    Above takes in the cut itself. As in `problems.segmentation`, a sample without foreground says
    nothing of a cut that finds none in it.
    """
    levels = (grey_NS * NUM_LEVELS).astype(np.int64).clip(max=NUM_LEVELS - 1)
    all_NL = np.stack([_from_level(x.reshape(-1)) for x in levels])
    hit_NL = np.stack([_from_level(x[m]) for x, m in zip(levels, there_NS, strict=True)])
    there_N1 = hit_NL[:, :1]
    dice_2L = np.stack(
        [
            _mean_dice(hit_NL, all_NL, there_N1),
            _mean_dice(there_N1 - hit_NL, all_NL[:, :1] - all_NL, there_N1),
        ]
    )
    side, level = np.unravel_index(dice_2L.argmax(), dice_2L.shape)
    return int(level), bool(side == 0)


def _from_level(levels: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many lie at each level or above it."""
    counts = np.bincount(levels, minlength=NUM_LEVELS)
    above: NDArray[np.int64] = counts[::-1].cumsum()[::-1]
    return above


def _mean_dice(
    hit_NL: NDArray[np.int64], found_NL: NDArray[np.int64], there_N1: NDArray[np.int64]
) -> NDArray[np.float64]:
    total_NL = found_NL + there_N1
    dice_NL = 2 * hit_NL / total_NL.clip(min=1)
    means: NDArray[np.float64] = dice_NL.sum(axis=0) / (total_NL > 0).sum(axis=0).clip(min=1)
    return means


def _window(spec: InputSpec) -> tuple[np.float32, np.float32]:
    """What is subtracted and what the rest is multiplied with."""
    low, high = spec.window
    return np.float32(low), np.float32(1.0 / (high - low))


def _graph(sample: SampleSpec, cut: float, above: bool, foreground: int) -> bytes:
    """Every input of the sample in, one-hot probabilities (1, K, *size) and labels out."""
    image, num_classes = sample.image, sample.target.channels
    low, scale = _window(image)
    constants = {
        "low": low,
        "scale": scale,
        "zero": np.float32(0),
        "one": np.float32(1),
        "channels": np.array([1], np.int64),
        "cut": np.float32(cut),
        "foreground": np.int64(foreground),
        "num_classes": np.int64(num_classes),
        "off_on": np.array([0, 1], np.float32),
    }
    node = onnx.helper.make_node
    first = image.name
    standardise = []
    if image.standardised:
        constants |= {"axes": np.arange(2, 2 + sample.dims), "least": np.float32(LEAST_SPREAD)}
        first = "standard"
        standardise = [
            node("ReduceMean", [image.name, "axes"], ["mean"]),
            node("Sub", [image.name, "mean"], ["centred"]),
            node("Mul", ["centred", "centred"], ["squared"]),
            node("ReduceMean", ["squared", "axes"], ["variance"]),
            node("Sqrt", ["variance"], ["spread"]),
            node("Max", ["spread", "least"], ["at_least"]),
            node("Div", ["centred", "at_least"], ["standard"]),
        ]
    steps = [
        *standardise,
        node("Sub", [first, "low"], ["shifted"]),
        node("Mul", ["shifted", "scale"], ["scaled"]),
        node("Clip", ["scaled", "zero", "one"], ["windowed"]),
        node("ReduceMean", ["windowed", "channels"], ["grey"], keepdims=0),
        node("GreaterOrEqual" if above else "Less", ["grey", "cut"], ["is_foreground"]),
        node("Cast", ["is_foreground"], ["found"], to=onnx.TensorProto.INT64),
        node("Mul", ["found", "foreground"], ["labels"]),
        node("OneHot", ["labels", "num_classes", "off_on"], ["probabilities"], axis=1),
    ]
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        steps,
        "threshold",
        graph_inputs(sample.inputs),
        [
            info("probabilities", onnx.TensorProto.FLOAT, (1, num_classes, *image.size)),
            info("labels", onnx.TensorProto.INT64, (1, *image.size)),
        ],
        [onnx.numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()],
    )
    opset = [onnx.helper.make_opsetid("", OPSET)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
