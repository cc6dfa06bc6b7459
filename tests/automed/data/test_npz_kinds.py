"""Archives of signals, tables, masks, points and target images."""

import numpy as np
import pytest
from made_arrays import images, labels, numbers, saved

from automed.data import npz
from automed.data.audit import audit
from automed.data.splits import split
from automed.errors import DataError


@pytest.mark.parametrize(("shape", "channels"), [((12, 40), 1), ((12, 3, 40), 3)])
def test_signals(tmp_path, shape, channels):
    given = numbers(*shape)
    dataset = npz.read(saved(tmp_path, signals=given, labels=labels()), {})
    audit(dataset)
    assert dataset.images.shape == (12, channels, 40)
    assert dataset.sample.dims == 1
    np.testing.assert_array_equal(dataset.images.reshape(shape), given)
    plural = "s" if channels > 1 else ""
    assert dataset.description == f"12 samples of 40, {channels} channel{plural}, 2 classes, npz"


def test_a_table_alone_or_beside_images(tmp_path):
    variables = numbers(12, 5)
    alone = npz.read(saved(tmp_path, table=variables, labels=labels()), {})
    audit(alone)
    assert alone.sample.dims == 0
    (spec,) = alone.sample.inputs
    assert (spec.kind, spec.shape) == ("table", (5,))
    given = labels()
    given[3] = -1
    path = saved(tmp_path, who=variables, images=images(12, 20, 20), labels=given)
    beside = npz.read(path, {"table": "who"})
    assert [spec.kind for spec in beside.sample.inputs] == ["image", "table"]
    assert beside.inputs["table"].dtype == np.float32
    np.testing.assert_allclose(beside.inputs["table"], np.delete(variables, 3, axis=0), rtol=1e-6)
    assert len(beside.images) == 11


@pytest.mark.parametrize("size", [(20, 24), (16, 17, 18)])
def test_masks(tmp_path, size):
    given = np.random.default_rng(2).choice([0, 3, 7], (12, *size))
    path = saved(tmp_path, images=images(12, *size), masks=given, labels=labels())
    dataset = npz.read(path, {}, "mask")
    audit(dataset)
    assert dataset.truth.shape == (12, 1, *size)
    assert dataset.truth.dtype == np.uint8
    np.testing.assert_array_equal(dataset.truth[:, 0], np.searchsorted([0, 3, 7], given))
    assert dataset.sample.target.classes == ("background", "class 3", "class 7")
    named = saved(tmp_path, images=images(12, *size), masks=given, classes=["rest", "a", "b"])
    assert npz.read(named, {}, "mask").sample.target.classes == ("rest", "a", "b")


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"signals": numbers(12, 2, 3, 40)}, r"signals of shape \(12, 2, 3, 40\)"),
        ({"signals": numbers(12, 40) > 0}, "signals of shape .*, bool"),
        ({"table": numbers(12)}, r"a table of shape \(12,\)"),
        ({"table": np.full((12, 2), "x")}, "one row a sample"),
        ({"table": numbers(11, 2)}, "11 table, 12 labels"),
    ],
)
def test_inputs_that_cannot_be_used_are_refused(tmp_path, arrays, says):
    with pytest.raises(DataError, match=says):
        npz.read(saved(tmp_path, labels=labels(), **arrays), {})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (numbers(12, 20, 20), "a mask holds 0 for background"),
        (images(12, 20, 20) % 90, "masks of 90 values from 0 to 89"),
        (-(images(12, 20, 20) % 2).astype(int), "values from -1 to 0"),
        (images(11, 20, 20) % 2, "12 images, 11 masks"),
        (None, "no array named masks for the masks"),
    ],
)
def test_masks_that_cannot_be_used_are_refused(tmp_path, given, says):
    arrays = {} if given is None else {"masks": given}
    with pytest.raises(DataError, match=says):
        npz.read(saved(tmp_path, images=images(12, 20, 20), **arrays), {}, "mask")


def objects(count, most, dims):
    """As many objects as the row's number, at most all, each after a row of NaN."""
    points = np.full((count, 2 * most, dims + 1), np.nan)
    for row in range(count):
        points[row, 1 : 2 * min(row, most) : 2] = np.arange(dims + 1) + row
    return points


@pytest.mark.parametrize("size", [(20, 24), (17, 20, 24)])
@pytest.mark.parametrize("keys", [{}, {"points": "where"}])
def test_points_come_first_and_as_many_as_the_fullest_image_has(tmp_path, size, keys):
    given = objects(12, 3, len(size))
    path = saved(tmp_path, images=images(12, *size), **{keys.get("points", "points"): given})
    dataset = npz.read(path, keys, "points")
    assert dataset.truth.shape == (12, 3, len(size) + 1)
    assert dataset.truth.dtype == np.float32
    assert np.isfinite(dataset.truth[..., -1]).sum(axis=1).tolist() == [0, 1, 2] + [3] * 9
    assert np.isfinite(dataset.truth[5]).all()
    assert dataset.sample.target.channels == len(size) + 2
    assert dataset.description.endswith("30 objects, npz")
    audit(dataset)


@pytest.mark.parametrize(
    ("points", "told"),
    [
        (np.zeros((12, 3)), r"points of shape \(12, 3\)"),
        (np.zeros((12, 1, 4)), r"allowed are numbers of shape \(N,M,3\)"),
        (np.full((12, 1, 3), "a"), "allowed are numbers"),
        (np.zeros((11, 1, 3)), "12 images, 11 points"),
    ],
)
def test_points_of_another_shape_are_refused(tmp_path, points, told):
    with pytest.raises(DataError, match=told):
        npz.read(saved(tmp_path, images=images(12, 20, 24), points=points), {}, "points")


@pytest.mark.parametrize("role", ["images", "signals"])
def test_target_images_are_laid_out_as_the_images_are(tmp_path, role):
    shape = (12, 20, 24, 3) if role == "images" else (12, 2, 40)
    given = images(*shape)
    path = saved(tmp_path, **{role: given, "clean": given[::-1]})
    dataset = npz.read(path, {"targets": "clean"}, "image")
    audit(dataset)
    np.testing.assert_array_equal(dataset.truth, dataset.images[::-1])
    assert dataset.sample.target.kind == "image"
    assert dataset.sample.target.channels == dataset.sample.image.channels
    assert "each with a target image" in dataset.description
    parts = split(dataset, seed=0)
    assert parts.train.truth.dtype == np.float32
    assert 0 <= parts.train.truth.min() < parts.train.truth.max() <= 1
    with pytest.raises(DataError, match="no array named targets for the targets"):
        npz.read(path, {}, "image")


def test_target_images_of_another_shape_are_refused(tmp_path):
    path = saved(tmp_path, images=images(12, 20, 24), targets=images(12, 20, 22))
    with pytest.raises(DataError, match="target images of 1x20x22 for images of 1x20x24"):
        audit(npz.read(path, {}, "image"))
