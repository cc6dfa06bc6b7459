"""Bootstrap intervals: by patient, paired, and covering what they claim to."""

import numpy as np
import pytest

from automed.measure.intervals import Scored, weights
from automed.problems.classification import PROBLEM


def probabilities(rng, labels, strength):
    raw = rng.normal(size=len(labels)) + strength * labels
    positive = 1 / (1 + np.exp(-raw))
    return np.stack([1 - positive, positive], axis=1)


def test_weights_count_draws_of_samples():
    drawn = weights(50, None, seed=0, resamples=200)
    assert drawn.shape == (200, 50)
    assert (drawn.sum(axis=1) == 50).all()
    assert (drawn == drawn.round()).all()
    assert drawn.min() == 0
    assert drawn.max() > 1
    assert drawn.mean(axis=0) == pytest.approx(np.ones(50), abs=0.35)


def test_of_one_group_alone_the_samples_are_drawn():
    """Every draw of one patient is the same: intervals without width would look significant."""
    drawn = weights(20, np.full(20, 7), seed=0, resamples=50)
    assert len({tuple(row) for row in drawn}) == 50
    np.testing.assert_array_equal(drawn, weights(20, None, seed=0, resamples=50))


def test_whole_groups_are_drawn():
    groups = np.array([7, 7, 7, 2, 2, 9, 9, 9, 9, 4])
    drawn = weights(len(groups), groups, seed=0, resamples=300)
    for code in np.unique(groups):
        inside = drawn[:, groups == code]
        assert (inside == inside[:, :1]).all()
    firsts = drawn[:, [np.flatnonzero(groups == code)[0] for code in np.unique(groups)]]
    assert (firsts.sum(axis=1) == 4).all(), "as many groups are drawn as there are"
    assert len({tuple(row) for row in firsts}) > 20


def test_weights_follow_their_seed():
    groups = np.arange(30) // 3
    np.testing.assert_array_equal(weights(30, groups, seed=1), weights(30, groups, seed=1))
    assert (weights(30, groups, seed=1) != weights(30, groups, seed=2)).any()


def test_interval_lies_around_the_value_of_every_metric():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 300)
    outputs = probabilities(rng, labels, 1.0)
    found = Scored.of(PROBLEM, outputs, labels, weights(300, None, seed=0)).intervals()
    exact = PROBLEM.scores(outputs, labels)
    assert set(found) == set(PROBLEM.metrics)
    for name, (value, low, high) in found.items():
        assert value == pytest.approx(exact[name][0])
        assert 0 <= low < value < high <= 1
        assert high - low < 0.35


def test_patients_widen_an_interval_where_their_samples_are_alike():
    rng = np.random.default_rng(1)
    patient_labels = rng.integers(0, 2, 40)
    labels, groups = np.repeat(patient_labels, 10), np.repeat(np.arange(40), 10)
    outputs = np.repeat(probabilities(rng, patient_labels, 1.0), 10, axis=0)
    by_image = Scored.of(PROBLEM, outputs, labels, weights(400, None, seed=0)).intervals()["auc"]
    by_patient = Scored.of(PROBLEM, outputs, labels, weights(400, groups, seed=0)).intervals()[
        "auc"
    ]
    assert by_patient[0] == by_image[0]
    assert by_patient[2] - by_patient[1] > 2 * (by_image[2] - by_image[1])


def test_draws_without_a_class_are_left_out():
    labels, groups = np.array([1] * 5 + [0] * 20), np.array([0] * 5 + [1] * 10 + [2] * 10)
    outputs = probabilities(np.random.default_rng(2), labels, 1.0)
    drawn = weights(25, groups, seed=0)
    assert (drawn[:, 0] == 0).any(), "some draw misses the only patient of class 1"
    for value in Scored.of(PROBLEM, outputs, labels, drawn).intervals().values():
        assert np.isfinite(value).all()


def test_difference_of_a_model_with_itself_is_nothing():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 100)
    outputs = probabilities(rng, labels, 1.0)
    drawn = weights(100, np.arange(100) // 4, seed=0)
    for metric in PROBLEM.metrics:
        same = Scored.of(PROBLEM, outputs, labels, drawn).minus(
            Scored.of(PROBLEM, outputs.copy(), labels, drawn), metric
        )
        assert same == (0.0, 0.0, 0.0)


def test_difference_turns_its_sign_and_pairs():
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 2, 400)
    worse = probabilities(rng, labels, 0.5)
    better = worse.copy()
    better[:, 1] += 0.2 * labels  # the same noise, so the pair tells them apart sharply
    drawn = weights(400, None, seed=0)
    value, low, high = Scored.of(PROBLEM, better, labels, drawn).minus(
        Scored.of(PROBLEM, worse, labels, drawn), "auc"
    )
    assert 0 < low < value < high
    assert Scored.of(PROBLEM, worse, labels, drawn).minus(
        Scored.of(PROBLEM, better, labels, drawn), "auc"
    ) == pytest.approx((-value, -high, -low))
    ends = [
        Scored.of(PROBLEM, outputs, labels, drawn).intervals()["auc"] for outputs in (better, worse)
    ]
    assert high - low < 0.7 * sum(end[2] - end[1] for end in ends) / 2


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    """A 95 % interval over 200 draws of a data set whose AUC is known: 0.760."""
    rng = np.random.default_rng(5)
    labels, groups = np.arange(120) % 2, np.arange(120) // 2
    truth = 0.7602  # Phi(1 / sqrt(2)): two normals, one unit apart
    covered = 0
    for repeat in range(200):
        drawn = weights(120, groups, seed=repeat, resamples=200)
        _, low, high = Scored.of(
            PROBLEM, probabilities(rng, labels, 1.0), labels, drawn
        ).intervals()["auc"]
        covered += low <= truth <= high
    assert 0.88 <= covered / 200 <= 0.99
