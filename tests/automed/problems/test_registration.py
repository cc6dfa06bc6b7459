"""Metrics of fields say what they say, and the loss knows the way."""

import numpy as np
import pytest
import torch

from automed.baselines.filters import Unmoved
from automed.exporters import onnx_file
from automed.exporters.deployed import Deployed
from automed.problems.registration import PROBLEM, folding, nearest
from automed.sample import InputSpec, SampleSpec, TargetSpec

SIZES = pytest.mark.parametrize("size", [(16, 20), (16, 17, 18)], ids=len)


def sample_of(size, **more):
    return SampleSpec(
        inputs=tuple(InputSpec(name=name, size=size, **more) for name in ("fixed", "moving")),
        targets=(TargetSpec(name="field", kind="field", values=len(size)),),
    )


def pair(size, number=3, shift=2):
    """Label maps of two boxes, in the moving image so many pixels farther along the last axis."""
    fixed = np.zeros((number, *size), np.uint8)
    fixed[..., 4:10, 4:8], fixed[..., 4:10, 8:12] = 1, 2
    truth = np.stack([fixed, np.roll(fixed, shift, -1)], 1)
    field = np.zeros((number, len(size), *size), np.float32)
    field[:, -1] = shift
    return truth, field


@SIZES
def test_dice_is_that_of_labels_moved_to_the_nearest(size):
    truth, field = pair(size)
    assert PROBLEM.scores(field, truth)["dice"] == pytest.approx(1)
    still = PROBLEM.scores(0 * field, truth)["dice"]
    assert still == pytest.approx(0.5)  # two of four columns of either box
    assert PROBLEM.scores(0.8 * field, truth)["dice"] == pytest.approx(1), "1.6 pixels are two"
    assert np.array_equal(nearest(truth[0, 1], field[0]), truth[0, 0])
    turned = PROBLEM.scores(-field, truth)["dice"]
    assert turned < still


@SIZES
def test_a_class_in_neither_map_is_left_out(size):
    truth, field = pair(size, number=2)
    truth[1][truth[1] == 2] = 0
    assert PROBLEM.scores(field, truth)["dice"] == pytest.approx(1)
    truth[1, 1][truth[1, 1] == 1] = 2
    weights = np.array([[1, 1], [0, 1]])
    assert PROBLEM.scores(field, truth, weights)["dice"] == pytest.approx([0.5, 0])


@SIZES
def test_folding_is_the_share_that_is_turned_inside_out(size):
    places = np.indices(size)[-1].astype(np.float32)
    field = np.zeros((4, len(size), *size), np.float32)
    field[1, -1], field[2, -1] = -0.5 * places, -1.5 * places
    field[3, -1] = np.where(places < size[-1] // 2, -1.5 * places, 5.0 * size[-1])
    assert folding(field) == pytest.approx([0, 0, 1, 0.5], abs=2 / size[-1])
    mirrored = -2.0 * np.indices(size).astype(np.float32)  # of two axes: a half turn
    assert folding(mirrored[None]) == [1.0 if len(size) == 3 else 0.0]


@SIZES
def test_the_loss_falls_towards_the_field_that_is_right(size):
    truth, field = (torch.from_numpy(x) for x in pair(size))
    fixed, moving = (x.float().unsqueeze(1) / 2 for x in truth.unbind(1))
    loss = PROBLEM.loss(truth.numpy(), sample_of(size), 0.0)
    values = [float(loss(k * field, truth, fixed, moving)) for k in (-0.5, 0, 0.5, 1)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.05
    rough = field + torch.rand(field.shape) - 0.5
    assert loss(rough, truth, fixed, moving) > values[-1]


@SIZES
def test_deep_supervision_takes_coarser_fields(size):
    truth, field = (torch.from_numpy(x) for x in pair(size))
    fixed, moving = (x.float().unsqueeze(1) / 2 for x in truth.unbind(1))
    loss = PROBLEM.loss(truth.numpy(), sample_of(size), 0.0)
    coarse = field[(..., *[slice(None, None, 2)] * len(size))]
    field, coarse = 0.5 * field, 0.5 * coarse
    alone = float(loss(field, truth, fixed, moving))
    assert float(loss([field, coarse], truth, fixed, moving)) == pytest.approx(
        1.5 * alone, rel=1e-3
    )
    assert loss([field, 0 * coarse], truth, fixed, moving) > 1.55 * alone


def test_shown_are_the_worst_the_median_and_the_best():
    truth, field = pair((16, 20), number=3)
    field *= np.array([1.0, 0.0, 0.5], np.float32)[:, None, None, None]
    shown = PROBLEM.shown(field, truth, TargetSpec(name="field", kind="field", values=2))
    assert [(one.title, one.row) for one in shown] == [("Worst", 1), ("Median", 2), ("Best", 0)]
    assert np.array_equal(shown[2].truth, shown[2].answer)
    assert np.array_equal(shown[2].field, field[0])
    assert "Dice 1.000, 0.00 % folded" in shown[2].caption


@pytest.mark.parametrize("standardised", [False, True])
def test_the_graph_gives_the_moving_image_in_its_own_units(standardised):
    size, window = (16, 20), (-2.0, 3.0) if standardised else (-1000.0, 400.0)
    sample = sample_of(size, window=window, standardised=standardised)
    rng = np.random.default_rng(0)
    fixed = rng.normal(-300, 100, (1, 1, *size)).astype(np.float32)
    moving = rng.uniform(-800, 300, (1, 1, *size)).astype(np.float32)
    network = Deployed(Unmoved(2), sample, PROBLEM)
    given = onnx_file.load(onnx_file.export(network, sample.inputs, {})).outputs(fixed, moving)
    assert not given["field"].any()
    np.testing.assert_allclose(given["warped"], moving, atol=0.05)
    answer = PROBLEM.answer(given, sample.target)
    assert np.array_equal(answer.image, given["warped"][0])
    assert answer.field.shape == (2, *size)
    assert answer.values == {"mean displacement": 0, "greatest displacement": 0, "folding": 0}
