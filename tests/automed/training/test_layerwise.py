"""Layerwise: machines learn what the data looks like before labels are shown, and it goes on."""

import io

import numpy as np
import pytest
import torch

from automed import registry
from automed.data.dataset import Dataset
from automed.problems.classification import PROBLEM
from automed.sample import InputSpec, SampleSpec, TargetSpec
from automed.task import Training
from automed.training.recipes import Schedule, kept_weights, layerwise
from automed.training.tensors import tensors

FAMILIES = [n for n in registry.names("family") if registry.family(n).recipe == "layerwise"]
families = pytest.mark.parametrize("name", FAMILIES)
SMALL = {"grid": 8, "binary_units": 64, "pretraining": 8}


def parts(train=160, val=60, seed=0):
    """Stripes, across in one class and along in the other, under noise."""
    rng = np.random.default_rng(seed)
    image = InputSpec(size=(16, 16))
    sample = SampleSpec(inputs=(image,), targets=(TargetSpec(classes=("a", "b")),))
    stripes = np.repeat(np.arange(4) % 2, 4) * np.ones((16, 1))

    def part(number):
        labels = (np.arange(number) % 2).astype(np.int64)
        clean = np.stack([stripes if label else stripes.T for label in labels])
        images = 0.3 + 0.4 * clean + rng.normal(0, 0.25, clean.shape)
        return Dataset(
            sample=sample,
            inputs={"image": images[:, None].astype(np.float32).clip(0, 1)},
            targets={"label": labels},
        )

    return tensors(part(train), part(val), torch.device("cpu"))


def network(name, given, **config):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return registry.family(name)(**(SMALL | config)).build(given.sample)


def fit(name, given, net=None, *, epochs=3, full=3, checkpoint=None, **config):
    return layerwise.train(
        network(name, given, **config) if net is None else net,
        given,
        PROBLEM,
        Schedule(
            settings=Training(batch=16, patience=1, augment=()),
            score="auc",
            full_epochs=full,
            seed=0,
        ),
        epochs=epochs,
        checkpoint=checkpoint,
    )


def error(machine, v):
    """Mean squared error of a visible layer brought back from its hidden one."""
    return float((machine.under(machine._above(v)) - v).square().mean())


@families
def test_pretraining_learns_to_bring_back_what_it_sees(name):
    given = parts()
    fresh, trained = network(name, given), network(name, given)
    layerwise._pretrain(trained, given, batch=16)
    with torch.no_grad():
        fresh.train()  # the norm of the input takes this batch's own statistics
        seen = fresh.below(0, *given.val.inputs)
        assert error(trained.stack[0], seen) < 0.8 * error(fresh.stack[0], seen)
    for before, after in zip(fresh.stack, trained.stack, strict=True):
        assert not torch.equal(before.link.weight, after.link.weight)
        assert after.below.abs().sum() > 0
    assert torch.equal(fresh.head.weight, trained.head.weight), "labels are not used"


@families
def test_it_learns(name):
    assert fit(name, parts(), epochs=6, full=6).scores["auc"] > 0.9


@families
def test_paused_and_continued_is_uninterrupted(name):
    given = parts()
    straight = fit(name, given)
    first = fit(name, given, epochs=1)
    torch.manual_seed(7)
    second = fit(name, given, checkpoint=first.checkpoint)
    assert second.curve == straight.curve
    one, other = kept_weights(second.checkpoint), kept_weights(straight.checkpoint)
    assert all(torch.equal(one[key], other[key]) for key in other)


@families
def test_what_the_pretraining_saw_is_in_the_checkpoint(name):
    paused = fit(name, parts(), epochs=1)
    state = torch.load(io.BytesIO(paused.checkpoint), weights_only=True)["network"]
    assert any(key.endswith("below") for key in state)


@families
def test_more_gibbs_steps_lead_elsewhere(name):
    given = parts()
    once, thrice = network(name, given), network(name, given, gibbs_steps=3)
    for net in (once, thrice):
        torch.manual_seed(0)
        layerwise._pretrain(net, given, batch=16)
    assert not torch.equal(once.stack[0].link.weight, thrice.stack[0].link.weight)


def test_mean_field_settles():
    given = parts()
    with torch.inference_mode():
        answers = [
            network("dbm", given, mean_field=updates).eval()(*given.val.inputs)
            for updates in (1, 4, 5)
        ]
    far, near = (float((answers[i] - answers[2]).abs().max()) for i in (0, 1))
    assert near < far
