"""What the report draws of a problem says the same as its metrics."""

from typing import Any

import numpy as np
import pytest

from automed import registry
from automed.problems.detection import RATES

RNG = np.random.default_rng(0)


def problem(name: str) -> Any:
    return registry.part("problem", name).PROBLEM


def probabilities(number: int, classes: int) -> tuple[Any, Any]:
    truth = np.arange(number) % classes
    raw = RNG.random((number, classes)) + 0.5 * np.eye(classes)[truth]
    return raw / raw.sum(1, keepdims=True), truth


@pytest.mark.parametrize("classes", [2, 3])
def test_the_area_under_the_drawn_roc_curve_is_the_auc(classes: int) -> None:
    outputs, truth = probabilities(600, classes)
    xs, ys = problem("classification").drawn(outputs, truth)
    auc = problem("classification").scores(outputs, truth)["auc"][0]
    assert np.trapezoid(ys, xs) == pytest.approx(auc, abs=0.01)
    assert (xs[0], xs[-1], ys[-1]) == (0, 1, 1)


def test_an_anomaly_is_drawn_as_a_ranking() -> None:
    truth = np.arange(400) % 3
    outputs = RNG.random(400) + 0.4 * (truth > 0)
    xs, ys = problem("anomaly").drawn(outputs, truth)
    auc = problem("anomaly").scores(outputs, truth)["auc"][0]
    assert np.trapezoid(ys, xs) == pytest.approx(auc, abs=0.01)


def test_the_froc_curve_goes_through_what_the_score_reads() -> None:
    maps = RNG.random((12, 4, 8, 8)).astype(np.float32)
    maps[:, 1] = 1.0
    truth = RNG.uniform(0, 32, (12, 3, 3)).astype(np.float32)
    truth[..., 2] = 6.0
    xs, ys = problem("detection").drawn(maps, truth)
    froc = problem("detection").scores(maps, truth)["froc"][0]
    assert 0 < froc < 1
    assert np.interp(RATES, xs, ys).mean() == pytest.approx(froc, abs=0.03)
    assert (np.diff(ys) >= 0).all()


def test_a_mask_is_a_point_by_its_size_and_empty_ones_are_left_out() -> None:
    truth = np.zeros((3, 1, 8, 8), np.uint8)
    truth[0, 0, :2] = 1
    truth[1, 0, :4] = 1
    outputs = np.stack([truth[:, 0] == 0, truth[:, 0] == 1], axis=1).astype(float)
    outputs[1] = outputs[0]
    xs, ys = problem("segmentation").drawn(outputs, truth)
    assert xs.tolist() == [16, 32]
    assert ys.tolist() == pytest.approx([1.0, 2 * 16 / 48])


def test_a_reconstruction_is_a_point_a_sample() -> None:
    truth = RNG.random((5, 1, 16, 16))
    outputs = np.clip(truth + RNG.normal(0, 0.1, truth.shape), 0, 1)
    xs, ys = problem("reconstruction").drawn(outputs, truth)
    scores = problem("reconstruction").scores(outputs, truth)
    assert (xs.mean(), ys.mean()) == pytest.approx((scores["psnr"][0], scores["ssim"][0]))


def test_findings_are_drawn_by_their_mean_ranking() -> None:
    truth = (np.arange(400)[:, None] % np.array([2, 3]) == 0).astype(float)
    truth[:7] = np.nan
    outputs = RNG.random((400, 2)) + 0.4 * (truth > 0)
    xs, ys = problem("multilabel").drawn(outputs, truth)
    auc = problem("multilabel").scores(outputs, truth)["auc"][0]
    assert np.trapezoid(ys, xs) == pytest.approx(auc, abs=0.01)


def test_known_values_are_points_beside_their_truth() -> None:
    truth = np.array([[40.0], [60.0], [np.nan]])
    xs, ys = problem("regression").drawn(np.array([[41.0], [55.0], [50.0]]), truth)
    assert (xs.tolist(), ys.tolist()) == ([40.0, 60.0], [41.0, 55.0])
    both = np.hstack([truth, 1000 * truth])
    xs, ys = problem("regression").drawn(both, both)
    assert xs == pytest.approx(ys)
    assert xs.max() == pytest.approx(6.0), "in standard deviations"
