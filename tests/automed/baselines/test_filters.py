"""The filters are those of the books, and the width is the one that suits the training part."""

import numpy as np
import pytest
import torch

from automed import baselines
from automed.baselines.filters import Gaussian, Median
from automed.data.dataset import Dataset
from automed.data.units import in_window
from automed.exporters import outputs
from automed.exporters.onnx_runtime import Model
from automed.problems.reconstruction import PROBLEM
from automed.sample import InputSpec, SampleSpec, TargetSpec

SIZES = pytest.mark.parametrize("size", [(40,), (17, 20), (16, 16, 17)], ids=len)
WINDOW = (-1000.0, 400.0)


def noisy(size, noise, number=12):
    """Smooth images in HU, and the same with noise of this standard deviation."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*(np.arange(s) / 6 for s in size), indexing="ij"), -1)
    phases = rng.uniform(0, 6, (number, *(1 for _ in size)))
    truth = (-300 + 300 * np.sin(grid.sum(-1) + phases))[:, None]
    spec = InputSpec(size=size, units="HU", window=WINDOW)
    return Dataset(
        sample=SampleSpec(inputs=(spec,), targets=(TargetSpec(name="target", kind="image"),)),
        inputs={"image": (truth + rng.normal(0, noise, truth.shape)).astype(np.float32)},
        targets={"target": in_window(truth, spec)},
    )


@SIZES
@pytest.mark.parametrize("name", PROBLEM.classical)
def test_filters_give_images_and_beat_the_input_they_leave(name, size):
    train = noisy(size, 150.0)
    given = outputs(Model(baselines.fit(name, train, 0)), train.given)
    assert given.shape == train.truth.shape
    left = in_window(train.images, train.sample.image)
    if name == "identity":
        np.testing.assert_allclose(given, left, atol=1e-6)
    else:
        ours, theirs = (PROBLEM.scores(x, train.truth)["psnr"] for x in (given, left))
        assert ours > theirs + 2


@SIZES
def test_a_gaussian_is_the_product_of_lines(size):
    impulse = torch.zeros(1, 1, *size)
    centre = tuple(s // 2 for s in size)
    impulse[(0, 0, *centre)] = 1.0
    seen = Gaussian(len(size), 1.2)(impulse)[0, 0].numpy()
    away = sum(
        (np.arange(s).reshape([-1 if a == axis else 1 for a in range(len(size))]) - centre[axis])
        ** 2
        for axis, s in enumerate(size)
    )
    wanted = np.exp(-0.5 * away / 1.2**2)
    np.testing.assert_allclose(seen, wanted / wanted.sum(), atol=2e-4)
    assert Gaussian(len(size), 1.2)(torch.ones(2, 3, *size)).allclose(torch.ones(2, 3, *size))


@SIZES
def test_a_median_is_the_middle_of_its_window(size):
    x = torch.rand(2, 2, *size)
    seen = Median(len(size), 1)(x)
    at = tuple(slice(4, 7) for _ in size)
    window = x[(slice(None), slice(None), *at)].flatten(2)
    assert torch.equal(seen[(slice(None), slice(None), *(5 for _ in size))], window.median(2)[0])


def test_more_noise_takes_a_wider_filter():
    train, little = noisy((24, 24), 250.0), noisy((24, 24), 15.0)
    much, some = (Model(baselines.fit("gaussian", data, 0)) for data in (train, little))
    impulse = np.full((1, 1, 24, 24), -1000.0)
    impulse[..., 12, 12] = 400.0
    assert much(impulse).max() < some(impulse).max()


def test_the_graph_returns_what_networks_return():
    train = noisy((16, 17), 100.0)
    model = Model(baselines.fit("median", train, 0))
    given = model.outputs(train.images[:1])
    assert tuple(given) == PROBLEM.outputs
    low, high = WINDOW
    restored = given["windowed"] * (high - low) + low
    np.testing.assert_allclose(given["reconstruction"], restored, atol=1e-3)
