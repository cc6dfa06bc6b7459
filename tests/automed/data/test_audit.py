from dataclasses import replace

import numpy as np
import pytest

from automed.data.audit import audit, repeated_images
from automed.data.dataset import Dataset
from automed.errors import DataError
from automed.sample import InputSpec, SampleSpec, TargetSpec


def made(count=20, size=(16, 16), classes=("a", "b"), **fields):
    dataset = Dataset(
        sample=SampleSpec(inputs=(InputSpec(size=size),), targets=(TargetSpec(classes=classes),)),
        inputs={"image": np.random.default_rng(0).normal(size=(count, 1, *size))},
        targets={"label": np.arange(count) % len(classes)},
    )
    return replace(dataset, **fields)


def with_pixels(rows, value):
    dataset = made()
    dataset.images[rows, 0, 3, 3] = value
    return dataset


def with_labels(*labels, classes=("a", "b")):
    return made(len(labels), classes=classes, targets={"label": np.array(labels)})


def test_good_samples_pass():
    audit(made())
    audit(made(size=(16, 17, 18), groups=np.arange(20), split=np.array(["train", "test"] * 10)))


def test_samples_without_labels_pass():
    masks = np.ones((20, 1, 16, 16), np.uint8)
    sample = replace(made().sample, targets=(TargetSpec(name="mask", kind="mask"),))
    audit(made(sample=sample, targets={"mask": masks}))
    with pytest.raises(DataError, match="every mask is empty"):
        audit(made(sample=sample, targets={"mask": 0 * masks}))
    with pytest.raises(DataError, match="masks of 16x15 for images of 16x16"):
        audit(made(sample=sample, targets={"mask": masks[..., :15]}))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_must_be_finite(value):
    with pytest.raises(DataError, match=r"3 images hold NaN or Inf \(rows 0, 5, 9\)"):
        audit(with_pixels([0, 5, 9], value))


def test_many_broken_rows_are_not_all_listed():
    with pytest.raises(DataError, match=r"\(rows 0, 1, 2, 3, 4, \.\.\.\)"):
        audit(with_pixels(slice(0, 8), np.nan))


@pytest.mark.parametrize(
    ("dataset", "says"),
    [
        (with_labels(*[1] * 12), r"one class \(b\); at least 2"),
        (with_labels(*[0] * 12, 1), "b has 1"),
        (with_labels(*[0, 1] * 6, classes=("a", "b", "c")), "c has 0"),
        (with_labels(*[0, 1] * 4), "8 samples; at least 10"),
        (with_labels(*[0, 1, 2] * 6), "labels from 0 to 2 for 2 classes"),
        (with_labels(*[-1, 1] * 6), "labels from -1"),
        (made(targets={"label": np.arange(19) % 2}), "20 of image, 19 of label"),
        (made(targets={"label": np.zeros((20, 2), int)}), "one class a row"),
        (made(groups=np.arange(3)), "3 of groups"),
        (made(size=(15, 40)), "images of 15x40; each axis needs 16"),
        (made(size=(16, 16, 8)), "images of 16x16x8"),
        (made(size=(16, 16, 16, 16)), "4 axes"),
        (made(inputs={"image": np.ones((20, 1, 16, 16))}), "every image is flat"),
        (
            made(inputs={"image": np.arange(20.0)[:, None, None, None] * np.ones((1, 1, 16, 16))}),
            "every image is flat",
        ),
        (
            made(inputs={"image": np.tile(np.arange(256).reshape(1, 1, 16, 16), (20, 1, 1, 1))}),
            "all images are the same",
        ),
        (made(inputs={"image": np.zeros((20, 1, 16, 16), bool)}), "type bool"),
    ],
)
def test_samples_nothing_can_be_learnt_from_are_refused(dataset, says):
    with pytest.raises(DataError, match=says) as caught:
        audit(dataset)
    assert "\n" not in str(caught.value)


def test_a_patient_on_both_sides_is_counted_not_named():
    groups = np.array([777, 777, 888, 888, *range(16)])
    parts = np.array(["train", "test", "train", "val", *["train"] * 16])
    with pytest.raises(DataError, match="2 of 18 patients are in more than one part") as caught:
        audit(made(groups=groups, split=parts))
    assert not any(name in str(caught.value) for name in ("777", "888"))


def test_repeated_images_are_counted_across_parts_only():
    images = np.random.default_rng(0).normal(size=(6, 1, 4, 4))
    images[1] = images[0]
    images[4] = images[0]
    images[5] = images[2]
    parts = ["train", "train", "train", "val", "val", "test"]
    assert repeated_images(images, parts) == 2


def with_points(*first):
    """Samples of one point each, the first image's as given."""
    points = np.full((20, 2, 3), np.nan)
    points[:, 0] = 8.0, 9.0, 2.5
    points[0] = np.reshape(first, (-1, 3))
    sample = replace(made().sample, targets=(TargetSpec(name="points", kind="points", values=4),))
    return made(sample=sample, targets={"points": points})


def test_points_at_the_rim_pass():
    audit(with_points([-0.5, 15.5, 0.1], [0.0, 0.0, 40.0]))


@pytest.mark.parametrize(
    ("point", "told"),
    [
        ([-0.6, 3.0, 1.0], r"1 points have a centre outside the image of 16x16 \(rows 0\)"),
        ([3.0, 15.6, 1.0], "a centre outside the image"),
        ([3.0, 3.0, -1.0], "a radius of 0 or less"),
        ([3.0, 3.0, 0.0], "a radius of 0 or less"),
        ([3.0, np.nan, 1.0], "NaN or Inf beside numbers"),
        ([3.0, 3.0, np.inf], "NaN or Inf beside numbers"),
    ],
)
def test_points_that_make_no_sense_are_refused(point, told):
    with pytest.raises(DataError, match=told):
        audit(with_points(point, [np.nan] * 3))


def test_points_of_no_image_are_refused():
    dataset = with_points([np.nan] * 6)
    dataset.targets["points"][:] = np.nan
    with pytest.raises(DataError, match="no image has any point"):
        audit(dataset)
