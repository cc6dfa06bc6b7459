"""The threshold finds the best cut, and its graph cuts there."""

import numpy as np
import onnx
import onnxruntime
import pytest

from automed import baselines
from automed.baselines.threshold import NUM_LEVELS, best_cut
from automed.data.dataset import Dataset
from automed.exporters import outputs
from automed.exporters.onnx_runtime import Model
from automed.problems.segmentation import PROBLEM
from automed.sample import InputSpec, SampleSpec, TargetSpec

WINDOW = (-1000.0, 400.0)


def blobs(size, *, values=(-800.0, 100.0), number=8, channels=1, classes=3, noise=100.0, **spec):
    """Images of two intensities, foreground at the second; class 2 is its larger part."""
    rng = np.random.default_rng(0)
    masks = np.zeros((number, 1, *size), np.uint8)
    masks[..., 3:11] = min(2, classes - 1)
    masks[..., 3:5] = 1
    images = np.where(masks > 0, values[1], values[0]) + rng.normal(
        0, noise, (number, channels, *size)
    )
    target = TargetSpec(name="mask", kind="mask", classes=tuple("abc")[:classes])
    image = InputSpec(size=size, channels=channels, **({"window": WINDOW} | spec))
    return Dataset(
        sample=SampleSpec(inputs=(image,), targets=(target,)),
        inputs={"image": images.astype(np.float32)},
        targets={"mask": masks},
    )


@pytest.mark.parametrize("size", [(16, 17), (16, 18, 20)], ids=["image", "volume"])
@pytest.mark.parametrize("values", [(-800.0, 100.0), (100.0, -800.0)], ids=["above", "below"])
def test_two_intensities_are_told_apart(size, values):
    train = blobs(size, values=values, channels=2, classes=2)
    given = outputs(Model(baselines.fit("threshold", train, 0)), train.given)
    assert given.shape == (8, 2, *size)
    np.testing.assert_array_equal(given.argmax(axis=1), train.truth[:, 0])
    assert PROBLEM.scores(given, train.truth)["dice"] == 1.0


@pytest.mark.parametrize("size", [(16, 17), (16, 18, 20)], ids=["image", "volume"])
def test_images_without_a_common_scale_are_cut_by_their_own(size):
    train = blobs(size, classes=2, window=(-2.5, 5.0), standardised=True)
    scales = np.geomspace(0.01, 100, 8).reshape(-1, *(1 for _ in train.images.shape[1:]))
    train.inputs["image"] = (train.images * scales + 50 * scales).astype(np.float32)
    given = outputs(Model(baselines.fit("threshold", train, 0)), train.given)
    np.testing.assert_array_equal(given.argmax(axis=1), train.truth[:, 0])


def test_the_largest_class_stands_for_the_foreground():
    train = blobs((16, 16))
    given = outputs(Model(baselines.fit("threshold", train, 0)), train.given)
    np.testing.assert_array_equal(given.argmax(axis=1), np.where(train.truth[:, 0] > 0, 2, 0))


def test_no_other_cut_is_better():
    train = blobs((16, 16), values=(-400.0, -250.0), classes=2, noise=150.0)
    given = outputs(Model(baselines.fit("threshold", train, 0)), train.given)
    image = ((train.images[:, 0] + 1000.0) / 1400.0).clip(0, 1)
    rivals = [
        PROBLEM.scores(np.stack([1.0 - found, 1.0 * found], axis=1), train.truth)["dice"][0]
        for cut in np.linspace(0.3, 0.7, 21)
        for found in (image > cut, image < cut)
    ]
    best = PROBLEM.scores(given, train.truth)["dice"][0]
    assert 0.3 < best < 0.9
    assert best >= max(rivals) - 0.01


def test_samples_without_foreground_count_where_something_is_found():
    grey = np.full((4, 2, 2), 0.5, np.float32)
    grey[0, 0], grey[1:, 0, 0] = 1.0, 0.9
    there = np.zeros((4, 2, 2), bool)
    there[0, 0] = True
    level, above = best_cut(grey, there)
    assert above
    assert 0.9 < level / NUM_LEVELS <= 1.0  # a cut below 0.9 is perfect on the first sample only


def test_nothing_to_find_is_no_error():
    train = blobs((16, 16))
    train.targets["mask"][:] = 0
    assert np.isfinite(outputs(Model(baselines.fit("threshold", train, 0)), train.given)).all()


def test_the_graph_returns_what_networks_for_masks_return():
    train = blobs((16, 17))
    artefact = baselines.fit("threshold", train, 0)
    onnx.checker.check_model(onnx.load_from_string(artefact), full_check=True)
    session = onnxruntime.InferenceSession(artefact, providers=["CPUExecutionProvider"])
    assert tuple(o.name for o in session.get_outputs()) == PROBLEM.outputs
    probabilities, labels = session.run(None, {"image": train.images[:1]})
    assert (labels.shape, labels.dtype) == ((1, 16, 17), np.int64)
    np.testing.assert_array_equal(probabilities.argmax(axis=1), labels)
    np.testing.assert_array_equal(probabilities.sum(axis=1), 1.0)


def test_other_inputs_are_taken_and_have_no_say():
    train = blobs((16, 16))
    image, table = train.sample.image, InputSpec(name="table", kind="table", channels=3)
    alone = Model(baselines.fit("threshold", train, 0))
    both = Dataset(
        sample=SampleSpec(inputs=(image, table), targets=train.sample.targets),
        inputs={**train.inputs, "table": np.zeros((8, 3), np.float32)},
        targets=train.targets,
    )
    runner = Model(baselines.fit("threshold", both, 0))
    np.testing.assert_array_equal(outputs(runner, both.given), outputs(alone, train.given))
    runner.rehearse()
