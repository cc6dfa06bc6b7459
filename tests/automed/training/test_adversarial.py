"""Adversarial: both sides go on where they were, and only one of them is handed out."""

import copy

import numpy as np
import pytest
import torch

from automed import registry
from automed.data.dataset import Dataset
from automed.exporters.deployed import Deployed
from automed.problems.reconstruction import PROBLEM
from automed.sample import InputSpec, SampleSpec, TargetSpec
from automed.task import Training
from automed.training.adversary import Adversary
from automed.training.recipes import Schedule, adversarial, gradient, kept_weights, unpacked
from automed.training.tensors import tensors

CPU = torch.device("cpu")
LOSSES = pytest.mark.parametrize("loss", ["bce", "least_squares"])
SMALL = {"width": 4, "stages": 2, "depth": 1, "adversary_width": 8, "adversary_layers": 1}


def parts(*size, train=16, val=4):
    """Images with texture, and the same without."""
    rng = np.random.default_rng(0)
    sample = SampleSpec(
        inputs=(InputSpec(size=size),), targets=(TargetSpec(name="target", kind="image"),)
    )

    def part(number):
        truth = 0.5 + 0.2 * rng.normal(0, 1, (number, 1, *size)).astype(np.float32)
        smooth = np.mean([np.roll(truth, shift, axis=-1) for shift in (-1, 0, 1)], axis=0)
        return Dataset(sample=sample, inputs={"image": smooth}, targets={"target": truth})

    return tensors(part(train), part(val), CPU)


def network(given, **config):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return registry.family("gan")(**(SMALL | config)).build(given.sample)


def fit(given, net=None, *, epochs=3, full=None, seed=0, checkpoint=None, by=adversarial, **config):
    return by.train(
        network(given, **config) if net is None else net,
        given,
        PROBLEM,
        Schedule(
            settings=Training(batch=8, patience=1, augment=("flip",)),
            score="psnr",
            full_epochs=full or epochs,
            seed=seed,
        ),
        epochs=epochs,
        checkpoint=checkpoint,
    )


def equal(first, second):
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return list(first) == list(second) and all(equal(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(equal, first, second))
    return first == second


@pytest.mark.parametrize(
    ("size", "loss"),
    [((40,), "bce"), ((16, 18), "bce"), ((16, 18), "least_squares"), ((16, 16, 16), "bce")],
    ids=str,
)
def test_paused_and_continued_is_bit_for_bit_uninterrupted(size, loss):
    given = parts(*size)
    for full in (3, 4):  # finished, and paused once more
        straight = fit(given, full=full, adversary=loss, deep_supervision=True)
        checkpoint = None
        for epochs in (1, 2, 3):
            torch.manual_seed(epochs)  # another process has another global state
            broken = fit(
                given,
                epochs=epochs,
                full=full,
                checkpoint=checkpoint,
                adversary=loss,
                deep_supervision=True,
            )
            checkpoint = broken.checkpoint
        assert broken.curve == straight.curve
        assert equal(unpacked(broken.checkpoint), unpacked(straight.checkpoint))
        assert ("adversary" in unpacked(broken.checkpoint)) == (full == 4)


def test_both_sides_and_the_seed_matter():
    given = parts(16, 16)
    found = [fit(given), fit(given, adversary="none"), fit(given, adversary="bce")]
    found += [fit(given, seed=1), fit(given, adversary_width=16), fit(given, adversarial=1.0)]
    curves = [one.curve for one in found]
    assert all(a != b for n, a in enumerate(curves) for b in curves[:n])


def test_without_an_adversary_it_is_the_gradient_recipe():
    given = parts(16, 16)
    one, other = (fit(given, adversary="none", by=by) for by in (adversarial, gradient))
    assert one.curve == other.curve
    assert equal(unpacked(one.checkpoint), unpacked(other.checkpoint))


@LOSSES
def test_the_two_compete(loss):
    """Left alone a discriminator tells what is made; its verdict then leads to what is real."""
    torch.manual_seed(0)
    given = parts(16, 16, train=64)
    condition, real = given.train.inputs[0], given.train.truth
    discriminator = network(given, adversary_width=16).adversary.build()
    adversary = Adversary(discriminator, loss, CPU)
    made = condition.clone().requires_grad_(True)
    for _ in range(60):
        adversary.learn(condition, real, made)
    assert made.grad is None
    fooled = adversary.fooled(condition, made)
    assert fooled > 1.5 * adversary.fooled(condition, real)
    before = copy.deepcopy(discriminator.state_dict())
    fooled.backward()
    after = (made - 0.1 * made.grad / made.grad.std()).detach()
    assert adversary.fooled(condition, after) < fooled
    weights = {name for name, _ in discriminator.named_parameters()}
    assert all(torch.equal(before[n], discriminator.state_dict()[n]) for n in weights)


def test_the_discriminator_is_no_part_of_what_is_kept_and_exported():
    given = parts(16, 16)
    net = network(given, adversary_width=32)
    done = fit(given, net)
    kept = kept_weights(done.checkpoint)
    assert set(kept) == set(net.state_dict()) == set(network(given, adversary="none").state_dict())
    exporter, graphs = registry.part("exporter", "onnx"), []
    for fresh in (network(given), network(given, adversary="none")):
        fresh.load_state_dict(kept)
        model = Deployed(fresh.eval(), given.sample, PROBLEM)
        graphs.append(exporter.export(model, given.sample.inputs, {}))
    assert graphs[0] == graphs[1]


def test_half_precision_trains():
    """A GPU's mixed precision, on the CPU: binary cross-entropy is refused in it."""
    given = parts(16, 16)
    for loss in ("bce", "least_squares"):
        run = adversarial._Run(
            network(given, adversary=loss),
            given,
            PROBLEM,
            Schedule(settings=Training(batch=8), score="psnr", full_epochs=2, seed=0),
        )
        run.mixed = True
        done = run.train(2, None)
        assert np.isfinite([epoch["loss"] for epoch in done.curve]).all()
