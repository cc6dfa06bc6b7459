import numpy as np
import pytest

from automed.data import slices, splits, thorax
from automed.data.audit import audit
from automed.errors import DataError


@pytest.fixture(scope="module")
def some():
    return slices.read("phantom:lung-ct-slices?patients=12", {}, "points")


def test_same_seed_gives_same_bits_and_another_seed_other_ones():
    one, same, other = (slices.simulate(seed, 2, 2) for seed in (5, 5, 6))
    assert all(np.array_equal(one[k], same[k], equal_nan=True) for k in one)
    assert not np.array_equal(one["image"], other["image"])


def test_a_patient_does_not_depend_on_how_many_there_are():
    few, more = slices.simulate(2, 1, 3), slices.simulate(2, 2, 3)
    assert np.array_equal(few["image"], more["image"][:3])


def test_slices_are_plausible_and_hold_none_to_several_nodules(some):
    audit(some)
    assert some.images.shape == (48, 1, 96, 96)
    assert some.images.dtype == np.int16
    assert -920 < np.median(some.images) < -780
    counts = np.isfinite(some.truth[..., -1]).sum(axis=1)
    assert counts.min() == 0
    assert counts.max() >= 3
    assert 1 < counts.mean() < 2.5
    assert some.simulated
    assert "simulated" in some.description
    facts = dict(splits.split(some, seed=0).facts)
    assert facts["objects"].startswith("train: ")


def test_points_lie_on_nodules(some):
    """Inside a circle it is denser than in the ring around it, nearly always."""
    y, x = np.mgrid[:96, :96]
    denser = []
    for image, points in zip(some.images[:, 0].astype(float), some.truth, strict=True):
        for down, across, radius in points[np.isfinite(points[:, -1])]:
            away = np.hypot(y - down, x - across)
            ring = (away > 1.6 * radius) & (away < 2.5 * radius + 2)
            denser.append(image[away < max(0.7 * radius, 1)].mean() - np.median(image[ring]))
    assert np.mean(np.array(denser) > 50) > 0.9


def test_nodules_lie_apart(some):
    for points in some.truth:
        known = points[np.isfinite(points[:, -1])]
        away = np.linalg.norm(known[:, None, :2] - known[None, :, :2], axis=-1)
        near = away < known[:, None, 2] + known[None, :, 2]
        assert (near == np.eye(len(known), dtype=bool)).all()


def test_brightness_alone_does_not_tell(some):
    """The brightest pixel of a slice is seldom in a nodule: vessels and walls are as dense."""
    hits = []
    for image, points in zip(some.images[:, 0], some.truth, strict=True):
        down, across = np.unravel_index(image.argmax(), image.shape)
        hits.append((np.hypot(points[:, 0] - down, points[:, 1] - across) < points[:, 2]).any())
    assert np.mean(hits) < 0.5


@pytest.mark.parametrize(
    ("source", "target", "told"),
    [
        ("phantom:lung-ct-slices", "mask", "has points but no mask"),
        ("phantom:lung-ct-slices?patches=3", "points", "option 'patches'"),
        ("phantom:lung-ct-slices?patients=1", "points", "patients='1'"),
    ],
)
def test_what_it_cannot_give_is_refused(source, target, told):
    assert slices.accepts(source)
    with pytest.raises(DataError, match=told):
        slices.read(source, {}, target)


def test_what_is_painted_around_a_point_lands_there():
    slab = thorax.Slab(side=40, spacing_mm=1.0, slice_mm=2.0, planes=2)
    with slab.around(np.array([8.0, -5.0, 0.0]), 10.0) as part:
        assert np.abs(part.points[:, :2]).max() < 10
        part.paint(np.linalg.norm(part.points, axis=1) - 4.0, 100.0, nodule=True)
        start, end = np.array([[-3.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
        assert (part.tubes(np.array([[*start, *end, 1.0, 1.0]])) < 0).any()
    hu, share = slab.planes()
    down, across = np.nonzero(hu[0] > 50)
    assert (across.mean() - 19.5, down.mean() - 19.5) == (8.0, -5.0)
    assert (share > 0).sum() == (hu > 0).sum()
