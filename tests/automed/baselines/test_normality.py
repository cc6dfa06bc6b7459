"""Floors of anomaly: how bright an image is, and what a linear code leaves of it."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from automed import baselines
from automed.baselines.normality import NUM_COMPONENTS
from automed.data.dataset import Dataset
from automed.data.units import in_window
from automed.exporters import outputs
from automed.exporters.onnx_runtime import Model
from automed.problems.anomaly import PROBLEM
from automed.sample import InputSpec, SampleSpec, TargetSpec

SIZES = pytest.mark.parametrize("size", [(40,), (16, 17), (16, 16, 17)], ids=len)


def normal(size, number=50, channels=2):
    rng = np.random.default_rng(0)
    spec = InputSpec(size=size, channels=channels, units="HU", window=(-1000.0, 400.0))
    places = (channels, *size)
    codes, parts = rng.normal(0, 50, (number, 4)), rng.normal(0, 1, (4, *places))
    images = -300 + np.tensordot(codes, parts, 1) + rng.normal(0, 10, (number, *places))
    images = images.astype(np.float32)
    return Dataset(
        sample=SampleSpec(
            inputs=(spec,),
            targets=(TargetSpec(name="target", kind="image", values=channels),),
        ),
        inputs={"image": images},
        targets={"target": in_window(images, spec)},
    )


@SIZES
def test_brightness_counts_in_either_direction(size):
    train = normal(size)
    model = Model(baselines.fit("mean-intensity", train, 0))
    usual, dark, light = (
        outputs(model, [train.images[:5] + shift]).mean() for shift in (0.0, -140.0, 140.0)
    )
    assert usual < 0.03
    assert dark == pytest.approx(0.1, abs=0.02)
    assert light == pytest.approx(0.1, abs=0.02)


@SIZES
def test_the_linear_code_is_that_of_scikit_learn(size):
    train = normal(size)
    given = outputs(Model(baselines.fit("pca", train, 0)), train.given)
    assert given.mean() < 0.01, "four components hold all but the noise"
    flat = train.truth.reshape(len(train), -1)
    model = PCA(NUM_COMPONENTS, svd_solver="randomized", random_state=0).fit(flat)
    left = np.abs(model.inverse_transform(model.transform(flat)) - flat).mean(axis=1)
    np.testing.assert_allclose(given, left, atol=1e-5)


@pytest.mark.parametrize("name", PROBLEM.classical)
def test_the_graph_returns_what_networks_return(name):
    train = normal((16, 16), number=12)
    given = Model(baselines.fit(name, train, 0)).outputs(train.images[:1])
    assert tuple(given) == PROBLEM.outputs
    assert given["score"].shape == (1,)
    assert given["error"].shape == (1, 16, 16)
