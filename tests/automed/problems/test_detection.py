"""Metrics of detection against their definitions, on lists made by hand."""

import numpy as np
import pytest

from automed.problems.detection import PROBLEM, RATES, SURE
from automed.sample import TargetSpec

TARGET = TargetSpec(name="points", kind="points", values=4)
SIZE = 20


def said(images):
    """Maps (N, 4, SIZE, SIZE) of lists of (score, y, x, radius)."""
    maps = np.zeros((len(images), 4, SIZE, SIZE), np.float32)
    for row, objects in enumerate(images):
        for score, y, x, radius in objects:
            maps[row, :, round(y), round(x)] = score, radius, y, x
    return maps


def true(images, most=3):
    points = np.full((len(images), most, 3), np.nan, np.float32)
    for row, objects in enumerate(images):
        points[row, : len(objects)] = np.reshape(objects, (-1, 3))
    return points


def scores(outputs, truth, weights=None):
    given = PROBLEM.scores(said(outputs), true(truth), weights)
    return given if weights is not None else {k: float(v[0]) for k, v in given.items()}


ONE = [(10.0, 10.0, 3.0)]


def test_what_is_found_exactly_scores_one():
    assert scores([[(0.9, 10, 10, 3)], []], [ONE, []]) == {
        "froc": 1.0,
        "average_precision": 1.0,
        "sensitivity": 1.0,
    }


def test_nothing_found_scores_nothing():
    assert set(scores([[], []], [ONE, []]).values()) == {0.0}


@pytest.mark.parametrize(("x", "hit"), [(12.9, True), (13.1, False)])
def test_a_hit_lies_within_the_radius_of_the_truth_whatever_its_own(x, hit):
    assert scores([[(0.9, 10, x, 9)]], [ONE])["sensitivity"] == hit


def test_froc_reads_the_sensitivity_at_each_rate():
    """Four images; one object is under no, one under one and one under three false positives."""
    images = [
        [(0.9, 10, 10, 1)],
        [(0.8, 2, 2, 1), (0.7, 10, 10, 1)],
        [(0.6, 2, 2, 1), (0.5, 6, 2, 1), (0.4, 10, 10, 1)],
        [],
    ]
    given = scores(images, [ONE, ONE, ONE, []])
    # rates are 0.5, 1, 2, 4, ... false positives in all four: 0.5 allows none, 1 the first, 4 all
    shares = [1 / 3, 2 / 3, 2 / 3, 1, 1, 1, 1]
    assert given["froc"] == pytest.approx(np.mean(shares))
    assert given["sensitivity"] == 1.0
    assert len(RATES) == len(shares)


def test_second_hits_count_once_in_froc_and_are_false_in_precision():
    twice = [[(0.9, 10, 10, 3), (0.8, 12, 10, 3)], [(0.7, 10, 10, 3)]]
    given = scores(twice, [ONE, ONE])
    assert given["froc"] == 1.0
    assert given["average_precision"] == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)


def test_average_precision_is_that_of_scikit_learn():
    from sklearn.metrics import precision_recall_curve

    rng = np.random.default_rng(0)
    strength, hit = rng.uniform(0.1, 0.9, 40), rng.uniform(size=40) < 0.4
    images = [[(s, 10, 10 if h else 2, 3)] for s, h in zip(strength, hit, strict=True)]
    truth = [ONE if h else [] for h in hit]
    precision, recall, _ = precision_recall_curve(hit, strength)
    highest = np.maximum.accumulate(precision)  # recall falls along the curve
    expected = -np.diff(recall) @ highest[:-1]
    assert scores(images, truth)["average_precision"] == pytest.approx(expected)


def test_equal_scores_are_read_the_worse_way():
    both = [[(0.5, 10, 10, 3), (0.5, 2, 2, 3)]] * 2
    given = scores(both, [ONE, []])
    assert given["average_precision"] == pytest.approx(1 / 4)
    assert given["sensitivity"] == 0.0, "no cut allows one false positive an image without two"


def test_false_positives_of_empty_images_count():
    clean, dirty = ([[(0.5, 10, 10, 3)], other] for other in ([], [(0.9, 5, 5, 3)]))
    assert scores(clean, [ONE, []])["froc"] == 1.0
    assert scores(dirty, [ONE, []])["froc"] == pytest.approx(5 / 7)
    assert scores(dirty, [ONE, []])["average_precision"] == pytest.approx(0.5)


def test_weights_stand_for_repeated_images():
    rng = np.random.default_rng(1)
    truth = [[(*rng.uniform(4, 16, 2), 2.0)] * (n % 2) for n in range(12)]
    images = [
        [(rng.uniform(0.1, 0.9), *rng.uniform(0, 19, 2), 2.0) for _ in range(4)]
        + [(rng.uniform(0.1, 0.9), y, x, r) for y, x, r in objects]
        for objects in truth
    ]
    weights = rng.integers(0, 3, (3, 12)).astype(float)
    together = scores(images, truth, weights)
    for row, counts in enumerate(weights.astype(int)):
        repeated = [n for n, count in enumerate(counts) for _ in range(count)]
        alone = scores([images[n] for n in repeated], [truth[n] for n in repeated])
        for name, value in alone.items():
            assert together[name][row] == pytest.approx(value), name


def test_a_draw_without_objects_is_undefined():
    given = scores([[(0.9, 10, 10, 3)], []], [ONE, []], np.array([[0.0, 1.0], [1.0, 1.0]]))
    for values in given.values():
        assert np.isnan(values[0])
        assert values[1] == 1.0


def test_the_worst_and_the_best_are_shown_with_their_circles():
    images = [[(0.9, 10, 10, 3)], [(0.9, 2, 2, 1), (SURE / 2, 10, 10, 3)], []]
    shown = PROBLEM.shown(said(images), true([ONE, ONE, []]), TARGET)
    assert [(s.row, s.caption) for s in shown] == [
        (1, "0 of 1 found, 1 false"),
        (0, "1 of 1 found, 0 false"),
    ]
    np.testing.assert_allclose(shown[0].true_points, [[10, 10, 3]])
    np.testing.assert_allclose(shown[0].found_points, [[2, 2, 1]])


def test_an_answer_holds_the_sure_ones():
    listed = {
        "centres": np.array([[[10.0, 4.0], [2.0, 3.0], [1.0, 1.0]]]),
        "radii": np.array([[3.0, 2.0, 1.0]]),
        "scores": np.array([[0.9, 0.5, SURE / 2]]),
    }
    answer = PROBLEM.answer(listed, TARGET)
    assert answer.plain() == {
        "objects": [
            {"centre": [10.0, 4.0], "radius": 3.0, "score": 0.9},
            {"centre": [2.0, 3.0], "radius": 2.0, "score": 0.5},
        ],
    }
