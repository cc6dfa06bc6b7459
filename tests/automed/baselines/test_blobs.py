"""The blob detector finds blobs of known places and sizes, and its graph answers as networks do."""

import numpy as np
import onnx
import onnxruntime
import pytest

from automed import baselines
from automed.baselines.blobs import laplacian
from automed.data.dataset import Dataset
from automed.exporters import outputs
from automed.exporters.onnx_runtime import Model
from automed.problems.detection import PROBLEM
from automed.sample import InputSpec, SampleSpec, TargetSpec


def balls(size, *, sign=1.0, number=12, radii=(2.0, 5.0), table_first=False):
    """Noisy images with up to two balls each; every third has none."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), -1)
    images = rng.normal(0.0, 0.1, (number, 1, *size))
    points = np.full((number, 2, len(size) + 1), np.nan, np.float32)
    for row in range(number):
        for k in range(row % 3):
            radius = rng.uniform(*radii)
            low = [radius + k * s / 2 for s in size[:1]] + [radius] * (len(size) - 1)
            high = [s / 2 * (k + 1) - radius for s in size[:1]] + [s - radius for s in size[1:]]
            centre = rng.uniform(low, high)
            images[row, 0] += sign * (np.linalg.norm(grid - centre, axis=-1) < radius)
            points[row, k] = *centre, radius
    table = InputSpec(name="table", kind="table", channels=2)
    spec = InputSpec(size=size, window=(-1.5, 1.5))
    inputs = (table, spec) if table_first else (spec,)
    return Dataset(
        sample=SampleSpec(
            inputs=inputs,
            targets=(TargetSpec(name="points", kind="points", values=len(size) + 2),),
        ),
        inputs={"image": images.astype(np.float32), "table": np.zeros((number, 2), np.float32)},
        targets={"points": points},
    )


@pytest.mark.parametrize("size", [(40, 33), (30, 18, 20)], ids=["2D", "3D"])
@pytest.mark.parametrize("sign", [1.0, -1.0], ids=["bright", "dark"])
def test_balls_are_found_with_their_sizes(size, sign):
    train = balls(size, sign=sign, radii=(2.0, 4.0))
    model = Model(baselines.fit("blob-detector", train, 0))
    assert PROBLEM.scores(outputs(model, train.given), train.truth)["froc"][0] > 0.9
    listed = model.outputs(train.images[2:3])
    radius, (*centre, true) = (
        listed["radii"][0, 0],
        min(train.truth[2], key=lambda p: np.linalg.norm(p[:-1] - listed["centres"][0, 0])),
    )
    assert np.linalg.norm(listed["centres"][0, 0] - centre) < 1.0
    assert radius == pytest.approx(true, rel=0.4)


def test_large_balls_are_sought_in_a_smaller_image():
    train = balls((130, 90), radii=(14.0, 24.0), number=6)
    given = outputs(Model(baselines.fit("blob-detector", train, 0)), train.given)
    assert given.shape[2:] == (33, 23)
    assert PROBLEM.scores(given, train.truth)["froc"][0] > 0.9


def test_the_graph_returns_what_networks_return_and_is_fitted_alike_each_time():
    train = balls((40, 33))
    artefact = baselines.fit("blob-detector", train, 0)
    assert artefact == baselines.fit("blob-detector", train, 1)
    onnx.checker.check_model(onnx.load_from_string(artefact), full_check=True)
    session = onnxruntime.InferenceSession(artefact, providers=["CPUExecutionProvider"])
    assert tuple(o.name for o in session.get_outputs()) == PROBLEM.outputs
    maps, centres, radii, scores = session.run(None, {"image": train.images[:1]})
    assert centres.shape == (1, scores.shape[1], 2)
    assert radii.shape == scores.shape
    assert np.isfinite(maps).all()


def test_other_inputs_have_no_say_wherever_they_stand():
    alone, beside = balls((40, 33)), balls((40, 33), table_first=True)
    one, other = (Model(baselines.fit("blob-detector", t, 0)) for t in (alone, beside))
    np.testing.assert_array_equal(outputs(one, alone.given), outputs(other, beside.given))


@pytest.mark.parametrize("dims", [2, 3])
def test_a_filter_sees_no_flat_image_and_is_brightest_in_the_middle(dims):
    kernel = laplacian(2.0, 6, dims)
    assert kernel.sum() == pytest.approx(0, abs=1e-9)
    assert np.unravel_index(kernel.argmax(), kernel.shape) == (6,) * dims
