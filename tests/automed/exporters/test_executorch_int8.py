"""Int8 ExecuTorch programs: smaller, close to their network, from the boldest to the gentlest."""

import json
import zipfile
from io import BytesIO

import numpy as np
import pytest
import torch
from torch import nn

from automed import registry
from automed.errors import ExportError
from automed.exporters import outputs
from automed.exporters.deployed import Deployed
from automed.sample import InputSpec, SampleSpec, TargetSpec

CLASSES = ("normal", "abnormal")


def model(*size, family="resnet", **config):
    """A network that training left alive, and the raw samples its norms are of."""
    image = InputSpec(size=size, units="HU", window=(-1000.0, 400.0))
    sample = SampleSpec(inputs=(image,), targets=(TargetSpec(classes=CLASSES),))
    rng = np.random.default_rng(0)
    raw = (
        rng.normal(-300, 300, (24, *image.shape))
        + rng.normal(0, 200, (24, *[1] * 3))[(..., *[None] * (len(size) - 2))]
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = registry.family(family)(**config).build(sample)
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = None
        with torch.no_grad():
            network.train()(torch.from_numpy((raw + 1000) / 1400).float().clamp(0, 1))
    problem = registry.part("problem", "classification").PROBLEM
    return Deployed(network, sample, problem), sample.inputs, [raw.astype(np.int16)]


def error(runner, network, raw):
    """Root mean square difference, as a share of the outputs' standard deviation."""
    wanted = network.outputs(raw)
    differs = np.square(outputs(runner, raw) - wanted).mean() ** 0.5
    return differs / wanted.std(0).mean()


def test_first_attempt_is_smaller_and_close():
    network, inputs, raw = model(16, 16, width=8, stages=2, depth=1)
    exporter = registry.part("exporter", "executorch")
    whole = exporter.export(network, inputs, {"name": "it"})
    first = next(registry.part("quantizer", "executorch").attempts(
        network, inputs, {"name": "it"}, raw
    ))  # fmt: skip
    assert first.how == "int8 per tensor"
    runner = exporter.load(first.artefact)
    assert runner.metadata == {"name": "it"}
    assert error(runner, network, raw) < 0.3
    assert exporter.digest(first.artefact) != exporter.digest(whole)
    assert runner(*(x[:1] for x in raw)).dtype == np.float32
    with zipfile.ZipFile(BytesIO(first.artefact)) as archive:
        facts = json.loads(archive.read("program.json"))
    assert facts["bytes"] < 0.75 * len(whole)


def test_model_without_layers_is_refused():
    network, inputs, raw = model(16, 16, width=8, stages=2, depth=1)
    network.network = nn.Sequential(nn.AvgPool2d(16), nn.Flatten(), nn.ZeroPad1d((0, 1)))
    with pytest.raises(ExportError, match="no layer with weights"):
        next(registry.part("quantizer", "executorch").attempts(network, inputs, {}, raw))


@pytest.mark.slow
@pytest.mark.parametrize("family", ["resnet", "vgg", "mobile"])
def test_attempts_become_gentler(family):
    network, inputs, raw = model(32, 32, family=family)
    exporter = registry.part("exporter", "executorch")
    made = list(registry.part("quantizer", "executorch").attempts(network, inputs, {}, raw))
    assert [attempt.how for attempt in made[:2]] == ["int8 per tensor", "int8 per channel"]
    assert all("layers in fp32" in attempt.how for attempt in made[2:])
    assert len(made) >= 3
    sizes = [len(attempt.artefact) for attempt in made]
    assert (sizes[0], sizes[-1]) == (min(sizes), max(sizes))
    errors = [error(exporter.load(attempt.artefact), network, raw) for attempt in made]
    assert errors[-1] <= errors[1]
    assert len({exporter.digest(attempt.artefact) for attempt in made[1:]}) == len(made) - 1


@pytest.mark.slow
def test_convolutions_of_volumes_are_refused():
    network, inputs, raw = model(8, 8, 8, family="vgg", width=8, stages=2, depth=1)
    with pytest.raises(ExportError, match="cannot load"):
        next(registry.part("quantizer", "executorch").attempts(network, inputs, {}, raw))


@pytest.mark.slow
def test_layers_that_hurt_are_found():
    network, inputs, raw = model(16, 16, family="vgg", width=8, stages=3, depth=1)
    layers = [m for m in network.network.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():  # two channels so far apart that one scale cannot hold both
        layers[1].weight[:, 0] *= 300
        layers[0].weight[0] /= 300
        norm = next(m for m in network.network.modules() if isinstance(m, nn.BatchNorm2d))
        norm.running_mean[0] /= 300
        norm.weight[0] /= 300
        norm.running_var[0] /= 300**2
    exporter = registry.part("exporter", "executorch")
    made = list(registry.part("quantizer", "executorch").attempts(network, inputs, {}, raw))
    errors = [error(exporter.load(attempt.artefact), network, raw) for attempt in made]
    assert errors[-1] < 0.5 * errors[1]
