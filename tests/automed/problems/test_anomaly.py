"""A score is the error of what was given back, and training never sees what it is to find."""

import numpy as np
import pytest
import torch

from automed import registry
from automed.data.dataset import Dataset
from automed.data.splits import split
from automed.data.units import in_window
from automed.errors import SpaceError
from automed.problems.anomaly import PROBLEM
from automed.sample import InputSpec, SampleSpec, TargetSpec

CLASSES = ("normal", "odd", "odder")
SAMPLE = SampleSpec(inputs=(InputSpec(size=(16, 16)),), targets=(TargetSpec(classes=CLASSES),))


def mixed(number=60, window=None):
    rng = np.random.default_rng(0)
    labels = np.arange(number) % 3
    images = rng.normal(100 + 50 * labels[:, None, None, None], 5, (number, 1, 16, 16))
    data = Dataset(
        sample=SAMPLE,
        inputs={"image": images.astype(np.float32)},
        targets={"label": labels},
    )
    return split(data, seed=0, window=window, one_class=True)


def test_the_error_is_the_mean_over_channels_and_the_score_over_places():
    raw, given = torch.rand(3, 2, 8, 9), torch.rand(3, 2, 8, 9)
    score, error = PROBLEM.finish(raw, given, sample=SAMPLE)
    torch.testing.assert_close(error, (raw - given).abs().mean(1))
    torch.testing.assert_close(score, error.mean((1, 2)))
    answer = PROBLEM.answer(
        {"score": score[:1].numpy(), "error": error[:1].numpy()}, TargetSpec(classes=CLASSES)
    )
    assert answer.values == {"score": pytest.approx(score[0].item())}
    np.testing.assert_allclose(answer.image, 100 * error[:1].numpy(), rtol=1e-6)


def test_every_class_but_the_first_is_to_be_found():
    scores = PROBLEM.scores(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 0, 1, 2]))
    assert scores == {"auc": pytest.approx(1), "average_precision": pytest.approx(1)}


def test_training_holds_the_first_class_alone_and_gives_it_back():
    parts = mixed()
    train, val = parts.train, parts.val
    assert len(train) == 12
    assert train.images.mean() == pytest.approx(100, abs=1)
    assert train.sample.target.kind == "image"
    np.testing.assert_array_equal(train.truth, in_window(train.images, train.sample.image))
    assert set(val.truth) == set(parts.sealed.open().truth) == {0, 1, 2}
    assert val.sample.target.classes == CLASSES
    assert val.sample.inputs == train.sample.inputs
    low, high = train.sample.image.window
    assert 80 < low < 100 < high < 120, "abnormal images have no say in the window"
    assert dict(parts.facts)["learnt from"] == "the 12 samples of normal in train alone"


def test_shown_are_what_misleads_and_what_is_found():
    truth = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1])
    scores = np.array([1, 2, 3, 9, 0.5, 2.5, 4, 5, 6.0])
    shown = PROBLEM.shown(scores, truth, TargetSpec(classes=CLASSES))
    assert [one.row for one in shown] == [3, 2, 4, 5, 8, 7]
    assert shown[3].caption == "odd; error 2.5000, above that of 50% of the normal ones"


@pytest.mark.parametrize("name", ["unet", "vnet", "segnet"])
def test_what_copies_its_input_is_refused_with_the_reason(name):
    with pytest.raises(SpaceError, match=r"copy any input.*these are: autoencoder"):
        registry.space((name,), "anomaly")
