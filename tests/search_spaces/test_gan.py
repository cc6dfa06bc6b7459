"""What the adversarial families make for their recipes, on every kind of image they take."""

import pytest
import torch

from automed import registry
from automed.sample import InputSpec, SampleSpec, TargetSpec

SIZES = pytest.mark.parametrize("size", [(16,), (16, 16), (17, 50), (16, 16, 18)], ids=str)


def sample(size, kind):
    target = TargetSpec(name="target", kind="image", values=2)
    if kind == "label":
        target = TargetSpec(classes=("a", "b", "c"))
    return SampleSpec(inputs=(InputSpec(size=size, channels=2),), targets=(target,))


@SIZES
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize(("name", "kind"), [("gan", "image"), ("gan-augmented", "label")])
def test_patches_of_every_image_are_judged(size, layers, name, kind):
    family = registry.family(name)
    given = sample(size, kind)
    adversary = family(adversary_layers=layers).build(given).adversary
    images = torch.rand(3, adversary.channels, *size)
    scores = adversary.build()(images)[-1]
    assert adversary.channels == 2 + given.target.channels
    assert scores.shape[:2] == (3, 1)
    assert scores.isfinite().all()
    assert all(0 < patches < pixels for patches, pixels in zip(scores.shape[2:], size, strict=True))


def test_more_layers_judge_larger_patches():
    family, given = registry.family("gan"), sample((64, 64), "image")
    reach = []
    for layers in (1, 2, 3):
        adversary = family(adversary_layers=layers).build(given).adversary
        images = torch.rand(2, adversary.channels, 64, 64, requires_grad=True)
        scores = adversary.build().eval()(images)[-1]
        scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
        reach.append(int((images.grad[0].abs().sum((0, 1)) > 0).sum()))
    assert reach == sorted(set(reach))


@SIZES
def test_images_are_made_of_noise_and_class(size):
    net = registry.family("gan-augmented")(generator_width=8, noise=16).build(sample(size, "label"))
    generator = net.generator.build().eval()
    noise, classes = torch.randn(3, 16), torch.eye(3)
    with torch.no_grad():
        made = generator(noise, classes)
        assert made.shape == (3, 2, *size)
        assert 0 <= made.min() <= made.max() <= 1
        assert not torch.equal(made, generator(noise, classes.roll(1, 0)))
        assert not torch.equal(made, generator(noise.roll(1, 0), classes))


@pytest.mark.parametrize(("name", "kind"), [("gan", "image"), ("gan-augmented", "label")])
def test_what_only_trains_is_no_module(name, kind):
    family, given = registry.family(name), sample((16, 16), kind)
    small, large = (
        family(adversary_width=width, **extra).build(given)
        for width, extra in ((8, {}), (32, {"adversary": "none"}))
    )
    assert {n: p.shape for n, p in small.named_parameters()} == {
        n: p.shape for n, p in large.named_parameters()
    }
