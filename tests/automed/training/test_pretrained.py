"""Encoders that learn to give images back before they learn what the labels say."""

import numpy as np
import torch

from automed import registry
from automed.data.dataset import Dataset
from automed.problems.classification import PROBLEM
from automed.sample import InputSpec, SampleSpec, TargetSpec
from automed.task import Training
from automed.training.recipes import Schedule, gradient, kept_weights, pretrained
from automed.training.tensors import tensors

SAMPLE = SampleSpec(
    inputs=(InputSpec(size=(16, 16)),), targets=(TargetSpec(classes=("blank", "bar")),)
)
SMALL = {"width": 4, "stages": 2, "depth": 1}
FAMILY = registry.family("autoencoder-classifier")


def part(number, unlabelled=0):
    rng = np.random.default_rng(number)
    labels = np.arange(number + unlabelled) % 2
    images = rng.uniform(0, 0.5, (len(labels), 1, 16, 16)).astype(np.float32)
    images[labels == 1, :, 4:8] += 0.4

    def rows(of):
        return Dataset(sample=SAMPLE, inputs={"image": images[of]}, targets={"label": labels[of]})

    bare = rows(slice(number, None)) if unlabelled else None
    whole = rows(slice(number))
    return Dataset(sample=SAMPLE, inputs=whole.inputs, targets=whole.targets, unlabelled=bare)


def parts(unlabelled=0):
    return tensors(part(16, unlabelled), part(20), torch.device("cpu"))


def network(**config):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return FAMILY(**(SMALL | config)).build(SAMPLE)


def fit(given, net=None, *, epochs=3, checkpoint=None, recipe=pretrained, **config):
    schedule = Schedule(
        settings=Training(batch=8, patience=1, augment=()), score="auc", full_epochs=3, seed=0
    )
    net = network(**config) if net is None else net
    return recipe.train(net, given, PROBLEM, schedule, epochs=epochs, checkpoint=checkpoint)


def error(net, images):
    net.pretext.eval()
    with torch.inference_mode():
        restored = net.pretext(images)
    return float((restored - images).abs().mean())


def schedule(rate=3e-3):
    return Schedule(
        settings=Training(batch=8, learning_rate=rate), score="auc", full_epochs=1, seed=0
    )


def test_pretraining_learns_to_give_images_back_and_moves_the_encoder_alone():
    given = parts(unlabelled=64)
    fresh, trained = network(autoencoding=16), network(autoencoding=16)
    pretrained._pretrain(trained, given, schedule())
    (images,) = given.val.inputs
    assert error(trained, images) < 0.7 * error(fresh, images)
    before, after = fresh.state_dict(), trained.state_dict()
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert moved
    assert all(key.startswith("down.") for key in moved)


def test_images_without_a_label_are_learnt_from():
    few, many = network(), network()
    pretrained._pretrain(few, parts(), schedule())
    pretrained._pretrain(many, parts(unlabelled=64), schedule())
    (images,) = parts().val.inputs
    assert error(many, images) < error(few, images)


def test_without_rounds_it_is_the_gradient_recipe():
    given = parts()
    plain = fit(given, recipe=gradient, autoencoding=0)
    assert fit(given, autoencoding=0).curve == plain.curve
    assert fit(given, autoencoding=4).curve != plain.curve


def test_paused_and_continued_is_uninterrupted():
    given = parts(unlabelled=8)
    straight = fit(given)
    first = fit(given, epochs=1)
    torch.manual_seed(7)
    second = fit(given, checkpoint=first.checkpoint)
    assert second.curve == straight.curve
    one, other = kept_weights(second.checkpoint), kept_weights(straight.checkpoint)
    assert all(torch.equal(one[key], other[key]) for key in other)


def test_the_decoder_is_neither_kept_nor_shipped():
    net = network()
    found = fit(parts(), net)
    assert {key.split(".")[0] for key in kept_weights(found.checkpoint)} == {"down", "classifier"}
    assert not any("pretext" in name or "autoencoder" in name for name in net.state_dict())


def test_signals_are_refused():
    sample = SampleSpec(inputs=(InputSpec(size=(40,)),), targets=SAMPLE.targets)
    assert "not signals" in FAMILY.refusal(sample)
