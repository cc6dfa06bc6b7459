"""Decides what raw pixel values mean and which of them a network tells apart."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from automed.data.dataset import Array, Dataset
from automed.errors import DataError
from automed.sample import LEAST_SPREAD, InputSpec, SampleSpec

HU_LEAST = -200.0
HU_GREATEST = 4100.0
"""CT holds air below the one, and scanners of 12 bits end near the other."""
PERCENTILES = (0.5, 99.5)

SPREADS = (-2.5, 5.0)
"""The window of standardised images: a body part may be a bright minority in a dark box."""
SCALES = 8.0
"""Arbitrary units whose 90th percentiles differ by this factor are no common units."""

_MAX_VALUES = 5_000_000
"""Values a percentile is taken of; more change it by less than noise does."""


def windowed(
    train: Dataset,
    *,
    window: tuple[float, float] | None = None,
    hu_window: tuple[float, float] = (-1000.0, 400.0),
) -> SampleSpec:
    """The samples' description with final units and window for every image input.

    Units that the data already states are kept. Otherwise uint8 is "uint8"; values from
    -200 or less up to 4100 or less are taken for "HU"; the rest is "a.u.". Images in arbitrary
    units whose scales differ a lot are standardised each by itself. Images that are laid onto each
    other have one window, that of the first.

    Args:
        train: The training part only: no other image may have a say.
        window: Raw values mapped to 0 and 1, whatever the units.
        hu_window: The window for Hounsfield units.

    Raises:
        DataError: A window whose low end is not below its high end.
    """
    for low, high in (window or (0.0, 1.0), hu_window):
        if not (np.isfinite([low, high]).all() and low < high):
            raise DataError(
                f"window from {low:g} to {high:g}; two finite numbers, the lower one first"
            )
    inputs = tuple(
        spec
        if spec.kind == "table"
        else _windowed(spec, train.inputs[spec.name], window, hu_window)
        for spec in train.sample.inputs
    )
    if train.sample.target.kind == "field":
        inputs = tuple(replace(inputs[0], name=spec.name) for spec in inputs)
    return replace(train.sample, inputs=inputs)


def _windowed(
    spec: InputSpec,
    images: Array,
    window: tuple[float, float] | None,
    hu_window: tuple[float, float],
) -> InputSpec:
    units = _units(images) if spec.units == InputSpec.units else spec.units
    if window is None and units == InputSpec.units and _scales_differ(images):
        return replace(spec, units=units, window=SPREADS, standardised=True)
    if window is None:
        window = {"uint8": (0.0, 255.0), "HU": hu_window}.get(units) or _percentiles(images)
    return replace(spec, units=units, window=window)


def in_window(
    images_NCS: Array, spec: InputSpec, like_NCS: Array | None = None
) -> NDArray[np.float32]:
    """Images as networks get them, in [0, 1]; the same as the exported graphs compute.

    Standardised by the means and spreads of other images where those are given.
    """
    values: NDArray[np.float32] = images_NCS.astype(np.float32)
    if spec.standardised:
        scale = values if like_NCS is None else like_NCS.astype(np.float32)
        axes = tuple(range(2, values.ndim))
        mean = scale.mean(axes, keepdims=True)
        spread = np.sqrt(np.square(scale - mean).mean(axes, keepdims=True))
        values = (values - mean) / np.maximum(spread, np.float32(LEAST_SPREAD))
    low, high = spec.window
    return ((values - np.float32(low)) * np.float32(1.0 / (high - low))).clip(0.0, 1.0)


def _scales_differ(images: Array) -> bool:
    """Whether the brightest tenths of some images lie far above those of others."""
    tops = np.array([np.percentile(image, 90) for image in images])
    low, high = np.percentile(tops, (5, 95))
    return bool(low > 0 and high > SCALES * low)


def _units(images: Array) -> str:
    if images.dtype == np.uint8:
        return "uint8"
    is_hu = float(np.min(images)) <= HU_LEAST and float(np.max(images)) <= HU_GREATEST
    return "HU" if is_hu else InputSpec.units


def _percentiles(images: Array) -> tuple[float, float]:
    values = images.reshape(-1)
    values = values[:: max(1, values.size // _MAX_VALUES)]
    low, high = (float(value) for value in np.percentile(values.astype(np.float64), PERCENTILES))
    if low < high:
        return low, high
    return float(np.min(images)), float(np.max(images))
