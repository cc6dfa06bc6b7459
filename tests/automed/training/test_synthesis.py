"""Synthesis: rarer classes are filled up from the training part alone, and nothing is written."""

import numpy as np
import pytest
import torch

from automed import registry
from automed.data.dataset import Dataset
from automed.problems.classification import PROBLEM
from automed.sample import InputSpec, SampleSpec, TargetSpec
from automed.task import Training
from automed.training.recipes import Schedule, gradient, kept_weights, synthesis, unpacked
from automed.training.tensors import tensors

SMALL = {"width": 4, "stages": 2, "generator_width": 8, "adversary_width": 8, "rounds": 10}
CLASSES = ("dark", "bright", "never seen")


def parts(*size, counts=(18, 6), val=8):
    """Noise, bright where the class is 1."""
    rng = np.random.default_rng(0)
    sample = SampleSpec(inputs=(InputSpec(size=size),), targets=(TargetSpec(classes=CLASSES),))

    def part(labels):
        images = rng.normal(0.25, 0.05, (len(labels), 1, *size)).astype(np.float32)
        images[labels == 1] += 0.5
        return Dataset(sample=sample, inputs={"image": images}, targets={"label": labels})

    train = np.repeat(np.arange(len(counts)), counts)
    return tensors(part(train), part(np.arange(val) % 2), torch.device("cpu"))


def network(given, **config):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return registry.family("gan-augmented")(**(SMALL | config)).build(given.sample)


def fit(given, *, epochs=3, full=None, checkpoint=None, by=synthesis, **config):
    return by.train(
        network(given, **config),
        given,
        PROBLEM,
        Schedule(
            settings=Training(batch=8, patience=1),
            score="accuracy",
            full_epochs=full or epochs,
            seed=0,
        ),
        epochs=epochs,
        checkpoint=checkpoint,
    )


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.fixture
def seen(monkeypatch):
    """The training parts that classifiers were given."""
    found = []
    train = gradient.train

    def spied(net, given, *rest, **more):
        found.append(given)
        return train(net, given, *rest, **more)

    monkeypatch.setattr(gradient, "train", spied)
    return found


def test_classes_that_were_seen_are_filled_up_with_what_looks_like_them(seen):
    given = parts(16, 16)
    fit(given, epochs=1, rounds=40)
    (filled,) = seen
    assert filled.val is given.val
    assert np.bincount(filled.train.truth_on_host, minlength=3).tolist() == [18, 18, 0]
    assert torch.equal(filled.train.truth, torch.from_numpy(filled.train.truth_on_host))
    assert torch.equal(filled.train.inputs[0][:24], given.train.inputs[0])
    made = filled.train.inputs[0][24:]
    assert made.shape == (12, 1, 16, 16)
    assert 0 <= made.min() <= made.max() <= 1
    assert made.mean() > 0.5, "the rare class is the bright one"
    assert len(made.flatten(1).unique(dim=0)) == 12


def test_the_share_is_filled_up(seen):
    fit(parts(16, 16), epochs=1, fill=0.5)
    assert np.bincount(seen[0].train.truth_on_host).tolist() == [18, 12]


@pytest.mark.parametrize(("size", "full"), [((40,), 2), ((17, 20), 3)], ids=str)
def test_paused_and_continued_is_bit_for_bit_uninterrupted(size, full, seen):
    given = parts(*size, counts=(12, 6))
    straight, first = fit(given, epochs=2, full=full), fit(given, epochs=1, full=full)
    torch.manual_seed(9)  # another process has another global state
    second = fit(given, epochs=2, full=full, checkpoint=first.checkpoint)
    assert repr(second.curve) == repr(straight.curve)  # NaN is no NaN
    given, wanted = unpacked(second.checkpoint), unpacked(straight.checkpoint)
    assert equal(given["kept"], wanted["kept"])
    assert ("generator" in given) == (full == 3), "it is needed to continue, and only then"
    images = [one.train.inputs[0] for one in seen]
    assert all(torch.equal(images[0], other) for other in images)


def test_only_the_classifier_is_kept():
    given = parts(16, 16)
    done = fit(given)
    assert list(unpacked(done.checkpoint)) == ["kept"]
    kept = kept_weights(done.checkpoint)
    network(given).load_state_dict(kept)
    assert not any("generator" in name or "adversary" in name for name in kept)


def test_without_an_adversary_it_is_the_gradient_recipe():
    given = parts(16, 16)
    one, other = (fit(given, adversary="none", by=by) for by in (synthesis, gradient))
    assert repr(one.curve) == repr(other.curve)
    assert equal(kept_weights(one.checkpoint), kept_weights(other.checkpoint))


def test_training_leaves_its_data_and_the_random_state_alone():
    given = parts(16, 16)
    images, state = given.train.inputs[0].clone(), torch.get_rng_state()
    fit(given, epochs=1)
    assert torch.equal(images, given.train.inputs[0])
    assert torch.equal(state, torch.get_rng_state())
