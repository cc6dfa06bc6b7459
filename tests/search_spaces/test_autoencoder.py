"""What the kinds of autoencoder do while training, and what is left of it afterwards."""

import math

import pytest
import torch

from automed import registry
from automed.sample import InputSpec, SampleSpec, TargetSpec

SAMPLE = SampleSpec(
    inputs=(InputSpec(size=(16, 18)),), targets=(TargetSpec(name="target", kind="image"),)
)
KINDS = ("plain", "denoising", "sparse", "variational")


def built(kind, **point):
    torch.manual_seed(0)
    return registry.family("autoencoder")(kind=kind, width=4, **point).build(SAMPLE)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_drawn_at_inference(kind):
    network = built(kind, strength=0.3).eval()
    x = torch.rand(2, 1, 16, 18)
    assert torch.equal(network(x), network(x))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_drawn_while_training_is_that_of_the_kind(kind):
    network = built(kind, strength=0.3, norm="instance").train()
    x = torch.rand(2, 1, 16, 18)
    (first, penalty), (second, _) = network(x), network(x)
    assert torch.equal(first, second) == (kind in ("plain", "sparse"))
    assert (penalty > 0) == (kind in ("sparse", "variational"))


def test_the_code_is_all_that_is_handed_on():
    network = built("plain", stages=3, latent=2, norm="instance").eval()
    x = torch.rand(4, 1, 16, 18)
    with torch.no_grad():
        code = x
        for stage in network.down:
            code = stage(code)
        assert network.code(code)[0].shape == (4, 2, 4, 5)
        network.code.conv.weight.zero_()
        given = network(x)
    torch.testing.assert_close(given, given[:1].expand_as(given))


def test_the_divergence_is_that_from_the_standard_gaussian_a_pixel():
    network = built("variational", strength=0.1).eval()
    moments = network.code.moments
    with torch.no_grad():
        x = torch.rand(3, moments.in_channels, 4, 5)
        mean, log_variance = moments(x).chunk(2, 1)
        code, penalty = network.code(x)
    given = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    standard = torch.distributions.Normal(torch.tensor(0.0), torch.tensor(1.0))
    divergence = torch.distributions.kl_divergence(given, standard).flatten(1).sum(1).mean()
    torch.testing.assert_close(penalty, 0.1 * divergence / math.prod((16, 18)))
    assert torch.equal(code, mean)


def test_sparseness_does_not_depend_on_scale():
    network = built("sparse", strength=0.2).eval()
    x = torch.rand(3, network.code.conv.in_channels, 4, 5)
    with torch.no_grad():
        network.code.conv.bias.zero_()
        _, penalty = network.code(x)
        network.code.conv.weight.mul_(10)
        _, scaled = network.code(x)
    torch.testing.assert_close(penalty, scaled, rtol=1e-3, atol=0)
    assert 0 < penalty < 0.2
