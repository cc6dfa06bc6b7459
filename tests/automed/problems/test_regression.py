import numpy as np
import pytest
import torch
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from automed.problems.regression import PROBLEM
from automed.sample import InputSpec, SampleSpec, TargetSpec

TARGET = TargetSpec(
    name="value", kind="value", classes=("age", "volume"), centre=(60.0, 2e6), scale=(10.0, 1e5)
)
SAMPLE = SampleSpec(inputs=(InputSpec(size=(16, 16)),), targets=(TARGET,))


@pytest.fixture
def given():
    rng = np.random.default_rng(0)
    truth = (rng.normal(size=(50, 2)) * TARGET.scale + TARGET.centre).astype(np.float32)
    outputs = truth + (0.5 * rng.normal(size=(50, 2)) * TARGET.scale).astype(np.float32)
    truth[::7, 1] = np.nan
    return outputs, truth


def test_metrics_are_means_over_values_of_what_is_known(given):
    outputs, truth = given
    known = [np.isfinite(truth[:, v]) for v in range(2)]
    pairs = [(truth[k, v].astype(float), outputs[k, v]) for v, k in enumerate(known)]
    scores = PROBLEM.scores(outputs, truth)
    assert set(scores) == set(PROBLEM.metrics)
    for name, measure in (
        ("mae", mean_absolute_error),
        ("rmse", root_mean_squared_error),
        ("r2", r2_score),
        ("pearson", lambda y, a: np.corrcoef(y, a)[0, 1]),
    ):
        assert scores[name] == pytest.approx([np.mean([measure(*p) for p in pairs])], rel=1e-4)
    # Lin 1989, written out
    lin = [
        2 * np.cov(y, a, ddof=0)[0, 1] / (y.var() + a.var() + (y.mean() - a.mean()) ** 2)
        for y, a in pairs
    ]
    assert scores["concordance"] == pytest.approx([np.mean(lin)], rel=1e-4)


def test_weights_are_repetitions(given):
    outputs, truth = given
    counts = np.random.default_rng(1).integers(0, 3, 50)
    repeated = np.repeat(np.arange(50), counts)
    scores = PROBLEM.scores(outputs, truth, counts[None].astype(float))
    for name, values in PROBLEM.scores(outputs[repeated], truth[repeated]).items():
        assert scores[name] == pytest.approx(values, rel=1e-4)


def test_what_cannot_be_judged_is_undefined_and_a_constant_answer_links_to_nothing():
    truth = np.array([[1.0], [2.0], [3.0], [4.0]])
    constant = PROBLEM.scores(np.full((4, 1), 2.5, np.float32), truth)
    assert constant["pearson"] == constant["concordance"] == constant["r2"] == 0
    same = PROBLEM.scores(truth, truth, np.array([[0, 0, 0, 1.0]]))
    assert same["mae"] == same["rmse"] == 0
    assert all(np.isnan(same[name]).all() for name in ("r2", "pearson", "concordance"))
    nobody = PROBLEM.scores(truth, np.full((4, 1), np.nan))
    assert all(np.isnan(values).all() for values in nobody.values())


def test_the_graph_gives_what_the_loss_compares_with(given):
    _, truth = given
    wanted = torch.from_numpy(truth)
    raw = (wanted - torch.tensor(TARGET.centre)) / torch.tensor(TARGET.scale)
    (answer,) = PROBLEM.finish(raw, sample=SAMPLE)
    assert torch.allclose(answer, wanted, rtol=1e-5, equal_nan=True)
    loss, image = PROBLEM.loss(truth, SAMPLE, 0.0), torch.zeros(50, 1, 16, 16)
    assert loss(raw.nan_to_num(9.0), wanted, image).item() == pytest.approx(0, abs=1e-6)
    # far from the truth it is the absolute error less a half, in standard deviations
    assert loss(raw.nan_to_num(9.0) + 3, wanted, image).item() == pytest.approx(2.5, rel=1e-4)


def test_the_worst_are_shown_by_error_in_standard_deviations():
    truth = np.tile(np.array(TARGET.centre), (8, 1))
    outputs = truth.copy()
    outputs[3, 1] += 1e5  # one of volume
    outputs[4, 0] += 20  # two of age
    truth[4, 1] = np.nan
    shown = PROBLEM.shown(outputs, truth, TARGET)
    assert [(s.row, s.title) for s in shown[:2]] == [(4, "Worst"), (3, "Worst")]
    assert shown[0].caption.startswith("age 60, the model says 80; volume unknown, the model")


def test_the_answer_names_every_value():
    (values,) = PROBLEM.finish(torch.tensor([[1.0, -1.0]]), sample=SAMPLE)
    answer = PROBLEM.answer({"values": values.numpy()}, TARGET)
    assert answer.values == pytest.approx({"age": 70, "volume": 1.9e6})
