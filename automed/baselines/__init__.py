"""Classical methods: the floor that any network must beat, as ONNX files like every other model."""

from collections.abc import Callable, Mapping

from automed.baselines import blobs, classifiers, filters, linear, normality, threshold
from automed.data.dataset import Dataset
from automed.errors import UnknownNameError

FITS: Mapping[str, Callable[[Dataset, int], bytes]] = {
    "logistic-regression": classifiers.logistic_regression,
    "random-forest": classifiers.random_forest,
    "training-mean": linear.training_mean,
    "ridge": linear.ridge,
    "threshold": threshold.threshold,
    "blob-detector": blobs.blob_detector,
    "identity": filters.identity,
    "gaussian": filters.gaussian,
    "median": filters.median,
    "mean-intensity": normality.mean_intensity,
    "pca": normality.pca,
}
"""Every name of `automed.task.CLASSICAL` and what fits it; problems say which can answer them."""


def fit(name: str, train: Dataset, seed: int) -> bytes:
    """A classical baseline fitted to the training part, as an ONNX file for raw inputs.

    The graph takes every input of the sample in order and returns what the problem's graphs do.

    Args:
        name: A name of `FITS`.
        train: Inputs (N, C, *size) or (N, F) and their truth.
        seed: Of methods that draw at random.

    Raises:
        UnknownNameError: No such baseline.
    """
    if name not in FITS:
        raise UnknownNameError("classical baseline", name, FITS)
    return FITS[name](train, seed)
