from dataclasses import replace

import numpy as np
import pytest
import torch

from automed.data.dataset import Dataset
from automed.data.units import SPREADS, in_window, windowed
from automed.errors import DataError
from automed.exporters.deployed import ready
from automed.sample import InputSpec, SampleSpec, TargetSpec


def with_images(images, **spec):
    return Dataset(
        sample=SampleSpec(
            inputs=(InputSpec(size=images.shape[2:], **spec),),
            targets=(TargetSpec(classes=("a", "b")),),
        ),
        inputs={"image": images},
        targets={"label": np.arange(len(images)) % 2},
    )


def spread(low, high, dtype):
    return np.linspace(low, high, 4 * 16 * 16).reshape(4, 1, 16, 16).astype(dtype)


@pytest.mark.parametrize(
    ("images", "units", "window"),
    [
        (spread(3, 90, np.uint8), "uint8", (0.0, 255.0)),
        (spread(-1024, 3000, np.int16), "HU", (-1000.0, 400.0)),
        (spread(-1024, 3000, np.float32), "HU", (-1000.0, 400.0)),
        (spread(-1024, 9000, np.int16), "a.u.", (-973.88, 8949.88)),
        (spread(-3, 3, np.float32), "a.u.", (-2.97, 2.97)),
        (spread(0, 1000, np.uint16), "a.u.", (4.115, 994.885)),
    ],
)
def test_units_and_window_follow_from_the_values(images, units, window):
    image = windowed(with_images(images)).image
    assert image.units == units
    assert image.window == pytest.approx(window, rel=0.001, abs=0.1)


def test_stated_units_are_kept_and_a_given_window_wins():
    stated = with_images(spread(0, 100, np.int16), units="HU")
    assert windowed(stated).image.window == (-1000.0, 400.0)
    assert windowed(stated, hu_window=(-160.0, 240.0)).image.window == (-160.0, 240.0)
    given = windowed(with_images(spread(3, 90, np.uint8)), window=(10.0, 50.0)).image
    assert (given.units, given.window) == ("uint8", (10.0, 50.0))


def test_images_without_a_common_scale_are_standardised():
    rng = np.random.default_rng(0)
    scales = np.geomspace(1, 1000, 20).reshape(-1, 1, 1, 1)
    images = (scales * rng.uniform(1, 3, (20, 1, 16, 16))).astype(np.float32)
    images[0] = 5.0
    spec = windowed(with_images(images)).image
    assert (spec.standardised, spec.window) == (True, SPREADS)
    ours = in_window(images, spec)
    assert ours.shape == images.shape
    assert ours[1:].std(axis=(1, 2, 3)) == pytest.approx(1 / 7.5, rel=0.01)
    assert ours[0] == pytest.approx(1 / 3), "a flat image lies at its mean"
    np.testing.assert_allclose(ready(torch.from_numpy(images), spec), ours, atol=1e-5)
    assert not windowed(with_images(images), window=(0, 10)).image.standardised


def test_almost_flat_images_get_their_whole_range():
    images = np.zeros((4, 1, 64, 64), np.uint16)
    images[0, 0, 0, 0] = 7
    assert windowed(with_images(images)).image.window == (0.0, 7.0)


def test_tables_beside_the_image_are_left_alone():
    dataset = with_images(spread(3, 90, np.uint8))
    table = InputSpec(name="age", kind="table")
    both = replace(
        dataset,
        sample=replace(dataset.sample, inputs=(*dataset.sample.inputs, table)),
        inputs={**dataset.inputs, "age": np.zeros((4, 1))},
    )
    assert windowed(both).inputs[1] == table


@pytest.mark.parametrize("window", [(1.0, 1.0), (2.0, 1.0), (0.0, np.nan), (-np.inf, 1.0)])
def test_a_window_upside_down_is_refused(window):
    with pytest.raises(DataError, match="the lower one first"):
        windowed(with_images(spread(0, 9, np.uint8)), window=window)
