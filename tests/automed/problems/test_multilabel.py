import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score
from torch.nn import functional

from automed.problems.multilabel import PROBLEM, positive_weights
from automed.sample import InputSpec, SampleSpec, TargetSpec

NAMES = ("edema", "mass", "effusion")
TARGET = TargetSpec(name="labels", kind="labels", classes=NAMES)
SAMPLE = SampleSpec(inputs=(InputSpec(size=(16, 16)),), targets=(TARGET,))


@pytest.fixture
def given():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, (60, 3)).astype(np.float32)
    outputs = (0.4 * truth + 0.6 * rng.random((60, 3))).astype(np.float32)
    truth[rng.random((60, 3)) < 0.2] = np.nan
    return outputs, truth


def test_metrics_are_means_over_findings_of_what_is_known(given):
    outputs, truth = given
    expected = {"auc": [], "average_precision": [], "balanced_accuracy": []}
    for k in range(3):
        known = np.isfinite(truth[:, k])
        there, chance = truth[known, k], outputs[known, k]
        expected["auc"].append(roc_auc_score(there, chance))
        expected["average_precision"].append(average_precision_score(there, chance))
        expected["balanced_accuracy"].append(balanced_accuracy_score(there, chance >= 0.5))
    scores = PROBLEM.scores(outputs, truth)
    assert set(scores) == set(PROBLEM.metrics)
    for name, values in expected.items():
        assert scores[name] == pytest.approx([np.mean(values)])


def test_weights_are_repetitions_and_a_draw_leaves_out_what_it_cannot_judge(given):
    outputs, truth = given
    counts = np.random.default_rng(1).integers(0, 3, 60)
    repeated = np.repeat(np.arange(60), counts)
    weights = np.stack([counts, np.where(truth[:, 0] == 1, 0, 1)]).astype(float)
    scores = PROBLEM.scores(outputs, truth, weights)
    again = PROBLEM.scores(outputs[repeated], truth[repeated])
    rest = truth[:, 0] != 1
    others = PROBLEM.scores(outputs[rest][:, 1:], truth[rest][:, 1:])
    for name, (first, second) in scores.items():
        assert first == pytest.approx(again[name][0])
        assert second == pytest.approx(others[name][0])
    none = PROBLEM.scores(outputs, np.zeros_like(truth))
    assert all(np.isnan(values).all() for values in none.values())


def test_the_loss_knows_nothing_of_what_is_unknown(given):
    outputs, truth = given
    raw, wanted = torch.logit(torch.from_numpy(outputs), 1e-4), torch.from_numpy(truth)
    known = wanted.isfinite()
    weights = torch.from_numpy(positive_weights(truth)).float()
    smoothed = (wanted * 0.8 + 0.1).nan_to_num()
    expected = functional.binary_cross_entropy_with_logits(
        raw, smoothed, pos_weight=weights, reduction="none"
    )[known].mean()
    raw.requires_grad_()
    cost = PROBLEM.loss(truth, SAMPLE, 0.2)(raw, wanted, torch.zeros(60, 1, 16, 16))
    assert cost.item() == pytest.approx(expected.item(), rel=1e-5)
    cost.backward()
    assert (raw.grad[~known] == 0).all()
    assert (raw.grad[known] != 0).all()


def test_a_rare_finding_weighs_by_the_root_of_its_negatives():
    truth = np.zeros((100, 2))
    truth[:10, 0], truth[:50, 1] = 1, 1
    assert positive_weights(truth) == pytest.approx([3.0, 1.0])


def test_the_worst_are_shown_with_what_is_there_and_what_is_said(given):
    outputs, truth = np.full((8, 3), 0.2), np.zeros((8, 3))
    truth[5], truth[6, 0], outputs[6, 0] = (1, 1, np.nan), 1, 0.9
    shown = PROBLEM.shown(outputs, truth, TARGET)
    assert (shown[0].row, shown[0].title) == (5, "Worst")
    assert shown[0].caption == "edema, mass; the model says nothing"
    assert next(s for s in shown if s.row == 6).caption == "edema; the model says edema 0.90"


def test_the_answer_names_every_finding():
    (chances,) = PROBLEM.finish(torch.zeros(1, 3), sample=SAMPLE)
    answer = PROBLEM.answer({"probabilities": chances.numpy()}, TARGET)
    assert answer.values == {"edema": 0.5, "mass": 0.5, "effusion": 0.5}
