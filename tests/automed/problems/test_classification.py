"""The metrics agree with scikit-learn, weighted or not."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score, roc_curve

from automed.problems.classification import PROBLEM, SPECIFICITY
from automed.sample import SampleSpec, TargetSpec


def _case(num_classes, seed=0, num=200):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes, num)
    raw = rng.normal(size=(num, num_classes)).round(1) + 1.0 * np.eye(num_classes)[labels]
    outputs = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    return outputs, labels, rng.integers(0, 4, (3, num)).astype(float)


@pytest.mark.parametrize("num_classes", [2, 3, 5])
def test_metrics_agree_with_scikit_learn(num_classes):
    outputs, labels, weights = _case(num_classes)
    ours = PROBLEM.scores(outputs, labels, weights)
    for row, weight in enumerate(weights):
        if num_classes == 2:
            auc = roc_auc_score(labels, outputs[:, 1], sample_weight=weight)
            fpr, tpr, _ = roc_curve(labels, outputs[:, 1], sample_weight=weight)
            assert ours["sensitivity"][row] == pytest.approx(
                tpr[fpr <= 1 - SPECIFICITY + 1e-12].max()
            )
        else:
            auc = np.mean(
                [
                    roc_auc_score(labels == k, outputs[:, k], sample_weight=weight)
                    for k in range(num_classes)
                ]
            )
        assert ours["auc"][row] == pytest.approx(auc)
        hit = outputs.argmax(axis=1)
        assert ours["accuracy"][row] == pytest.approx(
            accuracy_score(labels, hit, sample_weight=weight)
        )
        assert ours["balanced_accuracy"][row] == pytest.approx(
            balanced_accuracy_score(labels, hit, sample_weight=weight)
        )


def test_ties_count_half():
    outputs = np.full((10, 2), 0.5)
    assert PROBLEM.scores(outputs, np.arange(10) % 2)["auc"] == pytest.approx(0.5)


def test_a_row_without_a_class_is_undefined_not_wrong():
    outputs, labels, _ = _case(2)
    assert np.isnan(PROBLEM.scores(outputs, labels, (labels == 0)[None].astype(float))["auc"][0])


def test_loss_favours_rare_classes():
    labels = np.array([0] * 90 + [1] * 10)
    sample = SampleSpec(inputs=(), targets=(TargetSpec(classes=("a", "b")),))
    loss = PROBLEM.loss(labels, sample, smoothing=0.0)
    assert loss.loss.weight[1] / loss.loss.weight[0] == pytest.approx(3.0)


TARGET = TargetSpec(classes=("cat", "dog"))


def test_the_most_wrong_and_the_surest_are_shown():
    wrong = [[0.1, 0.9], [0.3, 0.7], [0.6, 0.4]]
    sure = [[0.99, 0.01], [0.02, 0.98], [0.97, 0.03]]
    outputs = np.array([*wrong, *sure, [0.7, 0.3]])
    truth = np.array([0, 0, 0, 0, 1, 0, 0])
    shown = PROBLEM.shown(outputs, truth, TARGET)
    assert [s.row for s in shown] == [0, 1, 2, 3, 4, 5]
    assert [s.title for s in shown] == ["Most wrong"] * 2 + ["Least sure"] + ["Most sure"] * 3
    assert shown[0].caption == "cat; the model says dog, 0.900"
    assert shown[0].truth is None
    few = PROBLEM.shown(outputs[:4], truth[:4], TARGET)
    assert [s.row for s in few] == [0, 1, 2, 3]


def test_an_answer_names_every_class():
    answer = PROBLEM.answer({"probabilities": np.array([[0.25, 0.75]], np.float32)}, TARGET)
    assert answer.values == {"cat": 0.25, "dog": 0.75}
    assert answer.labels is None
