"""Quantisation-aware training: what it puts on networks, that it comes off, and that it helps."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from automed import registry
from automed.data.dataset import Dataset
from automed.sample import InputSpec, SampleSpec, TargetSpec
from automed.task import Training
from automed.training import quantisation
from automed.training.quantisation import RoundedValues, RoundedWeight, quantisation_aware, rounded
from automed.training.recipes import Schedule, gradient, kept_weights
from automed.training.tensors import tensors

SIZES = {1: (64,), 2: (16, 16), 3: (8, 8, 8)}
FAMILIES = [
    (name, dims, problem)
    for name in registry.names("family")
    for problem in ("classification", "segmentation")
    for dims in (2, 3)
    if registry.family(name).recipe in quantisation.RECIPES
    and problem in registry.family(name).problems
    and dims in registry.family(name).dims
]


def sample(*size, problem="classification"):
    kind = "mask" if problem == "segmentation" else "label"
    target = TargetSpec(kind=kind, classes=("a", "b"))
    return SampleSpec(inputs=(InputSpec(size=size),), targets=(target,))


def parts(train=64, val=32, signal=0.3, size=(16, 16), problem="classification"):
    """Noise, a little brighter where the label, or the mask, is 1."""
    rng = np.random.default_rng(0)
    given = sample(*size, problem=problem)

    def part(number):
        labels = np.arange(number) % 2
        truth = np.broadcast_to(labels.reshape(-1, 1, *(1 for _ in size)), (number, 1, *size))
        images = rng.uniform(0, 0.7, (number, 1, *size)) + signal * truth
        return Dataset(
            sample=given,
            inputs={"image": images.astype(np.float32)},
            targets={given.target.name: truth if problem == "segmentation" else labels},
        )

    return tensors(part(train), part(val), torch.device("cpu"))


def network(family="vgg", size=(16, 16), problem="classification", **config):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return registry.family(family)(**config).build(sample(*size, problem=problem)).eval()


def schedule(epochs=5, learning_rate=3e-3, score="auc"):
    settings = Training(batch=8, patience=1.0, learning_rate=learning_rate)
    return Schedule(settings=settings, score=score, full_epochs=epochs, seed=0)


PROBLEM = registry.part("problem", "classification").PROBLEM


def trained(net, given, plan):
    """A copy after so many epochs of the plain recipe."""
    net = copy.deepcopy(net)
    fit = gradient.train(net, given, PROBLEM, plan, epochs=plan.full_epochs)
    net.load_state_dict(kept_weights(fit.checkpoint))
    return net.eval()


def loss(net, given):
    """Cross-entropy on what is learnt from, without dropout."""
    with torch.no_grad():
        return float(nn.functional.cross_entropy(net(*given.train.inputs), given.train.truth))


def loss_in_int8(net, given):
    net = copy.deepcopy(net)
    with rounded(net):
        quantisation._calibrate(net, given)
        return loss(net.eval(), given)


@pytest.mark.parametrize(("family", "dims", "problem"), FAMILIES)
def test_every_layer_is_rounded_and_plain_again(family, dims, problem):
    net = network(family, SIZES[dims], problem)
    x = torch.rand(2, 1, *SIZES[dims], generator=torch.Generator().manual_seed(0))
    before = copy.deepcopy(net.state_dict())
    kinds = [type(m) for m in net.modules()]
    with torch.no_grad():
        plain = net(x)
    layers = [m for m in net.modules() if isinstance(m, nn.modules.conv._ConvNd | nn.Linear)]
    with rounded(net):
        for module in net.modules():
            if isinstance(module, RoundedValues):
                module.train()
        answer = net(x)
        whole = answer[0] if isinstance(answer, tuple) else answer
        assert all(parametrize.is_parametrized(layer, "weight") for layer in layers)
        used = [layer for layer in layers if layer.rounded_input.low.isfinite()]
        assert used
        whole.square().mean().backward()
        reached = [layer.parametrizations.weight.original.grad for layer in used]
        assert all(grad is not None and grad.isfinite().all() for grad in reached)
    assert not torch.equal(whole, plain)
    assert [type(m) for m in net.modules()] == kinds
    after = net.state_dict()
    assert set(after) == set(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert not [m for m in net.modules() if m._forward_pre_hooks]
    with torch.no_grad():
        assert torch.equal(net(x), plain)


def test_weights_lie_on_the_steps_of_their_channel():
    weight = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    weight[2] *= 100
    weight[3] = 0
    for axis in (0, 1):
        given = RoundedWeight(axis)(weight)
        rest = [a for a in range(4) if a != axis]
        steps = weight.abs().amax(rest, keepdim=True) / 127
        assert ((given - weight).abs() <= steps / 2 + 1e-6).all()
        whole = (given / steps.clamp(min=1e-8)).round()
        torch.testing.assert_close(whole * steps, given)
        torch.testing.assert_close(RoundedWeight(axis)(given), given)


def test_rounding_a_folded_weight_is_rounding_the_weight():
    weight = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    gain = torch.tensor([0.1, 2.0, -3.0, 40.0, -0.5, 1.0]).reshape(6, 1, 1, 1)
    rounding = RoundedWeight(0)
    torch.testing.assert_close(rounding(weight * gain), rounding(weight) * gain)


def test_values_keep_zero_and_ranges_move_only_while_training():
    values = RoundedValues().train()
    x = torch.tensor([0.2, 0.4, 1.0])
    given = values(x)
    assert (float(values.low), float(values.high)) == pytest.approx((0.2, 1.0))
    assert ((given - x).abs() <= 1 / 255 / 2 + 1e-6).all()
    values(torch.tensor([-1.0, 3.0]))
    moved = float(values.low), float(values.high)
    assert moved == pytest.approx((0.2 - 0.012, 1.0 + 0.02))
    values.eval()
    assert values(torch.tensor([0.0, 9.0])).tolist() == pytest.approx([0.0, moved[1]])
    assert (float(values.low), float(values.high)) == moved


def test_networks_that_descend_no_gradient_are_left_alone():
    given = parts()
    for recipe in set(registry.names("recipe")) - set(quantisation.RECIPES):
        assert quantisation_aware(network(), recipe, given, PROBLEM, schedule()) is None
    assert set(quantisation.RECIPES) < set(registry.names("recipe"))


def test_the_given_network_stays_and_batch_norms_rest():
    given = parts()
    net = network("mobile", attention="se", activation="hardswish", width=8, stages=2)
    before = copy.deepcopy(net.state_dict())
    after = quantisation_aware(net, "gradient", given, PROBLEM, schedule()).state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(net.state_dict()[name], before[name]) for name in before)
    statistics = [name for name in before if "running" in name or "num_batches" in name]
    assert statistics
    assert all(torch.equal(after[name], before[name]) for name in statistics)
    learnt = [name for name in before if name.endswith("weight")]
    assert not any(torch.equal(after[name], before[name]) for name in learnt)


def test_it_is_the_same_twice():
    given = parts()
    net = network(width=8, stages=2)
    first, second = (
        quantisation_aware(net, "gradient", given, PROBLEM, schedule()).state_dict()
        for _ in range(2)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("family", "problem", "score"),
    [
        ("resnet", "classification", "auc"),
        ("cnn-rnn", "classification", "auc"),
        ("unet", "segmentation", "dice"),
    ],
)
def test_volumes_are_learnt_from_too(family, problem, score):
    size = (8, 16, 16)
    given = parts(16, 8, size=size, problem=problem)
    net = network(family, size, problem, width=4, stages=2)
    part = registry.part("problem", problem).PROBLEM
    again = quantisation_aware(net, "gradient", given, part, schedule(score=score))
    assert not torch.equal(again(*given.val.inputs), net(*given.val.inputs))
    assert all(value.isfinite().all() for value in again.state_dict().values())


def test_a_network_that_int8_breaks_learns_to_bear_it():
    """In every channel one weight, of no use, is so large that the others are rounded away."""
    given = parts(train=128, signal=0.2)
    net = trained(network(width=8, stages=2), given, schedule(20))
    middle = [m for m in net.modules() if isinstance(m, nn.Conv2d)][1]
    norm = net.stem[1]  # the first channel becomes 0 behind its rectifier
    norm.weight.data[0], norm.bias.data[0] = 0, -1
    middle.weight.data[:, 0] = 100.0
    assert loss_in_int8(net, given) > loss(net, given) + 0.1
    again = quantisation_aware(net, "gradient", given, PROBLEM, schedule(40, 0.03))
    as_long = trained(net, given, schedule(8, 0.003))
    assert loss_in_int8(as_long, given) > loss(as_long, given) + 0.1  # training alone is no cure
    assert loss_in_int8(again, given) < loss(again, given) + 0.05
    assert loss_in_int8(again, given) < 0.7 * loss_in_int8(as_long, given)
