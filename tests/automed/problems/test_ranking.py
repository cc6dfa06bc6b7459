"""The ranking agrees with scikit-learn, ties and weights and all."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from automed.problems.ranking import Ranking


def case(decimals):
    rng = np.random.default_rng(0)
    positive = rng.random(200) < 0.3
    score = (rng.normal(size=200) + positive).round(decimals)
    return score, positive, rng.integers(0, 4, (5, 200)).astype(float)


@pytest.mark.parametrize("decimals", [0, 1, 6], ids=["many ties", "ties", "none"])
def test_areas_and_precisions_agree(decimals):
    score, positive, weights = case(decimals)
    ranking = Ranking.of(score, positive, weights)
    for row, weight in enumerate(weights):
        wanted = roc_auc_score(positive, score, sample_weight=weight)
        assert ranking.auc()[row] == pytest.approx(wanted)
        wanted = average_precision_score(positive, score, sample_weight=weight)
        assert ranking.average_precision()[row] == pytest.approx(wanted)


def test_a_class_without_weight_is_undefined_not_wrong():
    score, positive, _ = case(1)
    ranking = Ranking.of(score, positive, (~positive)[None].astype(float))
    assert np.isnan(ranking.auc()).all()
    assert np.isnan(ranking.average_precision()).all()


def test_sensitivity_is_that_at_the_specificity():
    score, positive = np.array([4.0, 3.0, 2.0, 1.0]), np.array([True, False, True, False])
    ranking = Ranking.of(score, positive, np.ones((1, 4)))
    assert ranking.sensitivity(0.9) == pytest.approx(0.5)
    assert ranking.sensitivity(0.5) == pytest.approx(1.0)
