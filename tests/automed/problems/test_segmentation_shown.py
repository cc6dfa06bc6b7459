"""Which masks a report shows, and what predict tells of one."""

import numpy as np
import pytest

from automed.problems.segmentation import PROBLEM
from automed.sample import TargetSpec

TARGET = TargetSpec(name="mask", kind="mask", classes=("background", "lesion"))


def outputs(answers):
    """Certain probabilities (N, 2, H, W) of label maps (N, H, W)."""
    return np.stack([answers == 0, answers == 1], axis=1).astype(np.float32)


def columns(counts, height=4, width=10):
    """Masks whose first so many columns are the lesion."""
    return np.stack([np.arange(width) < n for n in counts])[:, None].repeat(height, 1) * 1


def test_the_worst_the_median_and_the_best_are_shown_with_their_dice():
    found = [5, 1, 9, 7, 3, 8, 10, 0]
    truth = columns([10] * 7 + [0])[:, None]
    shown = PROBLEM.shown(outputs(columns(found)), truth, TARGET)
    assert [found[s.row] for s in shown] == [1, 3, 5, 7, 9, 10], "the 0 has no lesion and no Dice"
    assert [s.title for s in shown] == ["Worst"] * 2 + ["Median"] * 2 + ["Best"] * 2
    assert shown[0].caption == "Dice 0.182"
    dice = [float(s.caption.split()[1]) for s in shown]
    assert dice == sorted(dice)
    assert shown[0].truth.all()
    assert shown[0].answer.sum() == 4


def test_few_samples_are_shown_once_each():
    truth = columns([5, 5, 5])[:, None]
    shown = PROBLEM.shown(outputs(columns([5, 4, 3])), truth, TARGET)
    assert [s.row for s in shown] == [2, 1, 0]
    assert not PROBLEM.shown(outputs(columns([0])), columns([0])[:, None], TARGET)


def test_an_answer_is_the_label_map_and_the_share_of_each_class():
    maps = columns([2])
    answer = PROBLEM.answer({"probabilities": outputs(maps), "labels": maps}, TARGET)
    assert answer.values == pytest.approx({"background": 0.8, "lesion": 0.2})
    np.testing.assert_array_equal(answer.labels, maps[0])
    assert answer.labels.dtype == np.uint8
