"""Small models as training could leave them, which every target is tried with."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from automed import registry
from automed.exporters.deployed import Deployed
from automed.lowering import deployed
from automed.sample import InputSpec, SampleSpec, TargetSpec

HU = (-1000.0, 400.0)
TASK = registry.task("lung-ct")
TELLTALES = [
    str(Path.cwd()), "/root", "/home", "/tmp", "/usr", "/opt", "C:\\", ".py", "site-packages",
    "Traceback", 'File "', "stack_trace", "pkg.torch", "forward(",
]  # fmt: skip
"""What a file would hold if it told of the machine it was made on."""


def sample(*size):
    image = InputSpec(size=size, units="HU", window=HU)
    return SampleSpec(inputs=(image,), targets=(TargetSpec(classes=("background", "nodule")),))


def model(*size, seed=0, family="resnet", **config):
    """A network between windowing and softmax."""
    given = sample(*size)
    small = {"width": 4, "stages": 2, "depth": 1} if family == "resnet" else {}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = registry.family(family)(**(small | config)).build(given)
        with torch.no_grad():
            for module in network.modules():
                if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                    module.weight.uniform_(0.5, 1.5)
                    module.bias.uniform_(-0.5, 0.5)
            network(torch.rand(8, 1, *size))
    return deployed(network, TASK, given)


ANSWERS = {
    "classification": TargetSpec(classes=("normal", "abnormal")),
    "segmentation": TargetSpec(name="mask", kind="mask", classes=("normal", "abnormal")),
    "detection": TargetSpec(name="points", kind="points"),
    "reconstruction": TargetSpec(name="target", kind="image", values=1),
    "anomaly": TargetSpec(name="target", kind="image", values=1),
    "registration": TargetSpec(name="field", kind="field"),
}
"""What is learnt, problem by problem."""


def sample_of(problem, *size):
    image = InputSpec(size=size, units="HU", window=HU)
    inputs = (image, replace(image, name="moving")) if problem == "registration" else (image,)
    values = {"detection": len(size) + 2, "registration": len(size)}
    target = ANSWERS[problem]
    if problem in values:
        target = replace(target, values=values[problem])
    return SampleSpec(inputs=inputs, targets=(target,))


def model_of(family="vgg", problem="classification", size=(16, 16), **config):
    """A network whose norms are not trivial, between windowing and what the problem finishes."""
    given = sample_of(problem, *size)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = registry.family(family)(**config).build(given)
        for module in network.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm) and module.affine:
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
        with torch.no_grad():
            network.train()(*(torch.rand(4, *spec.shape) for spec in given.inputs))
    return Deployed(network, given, registry.part("problem", problem).PROBLEM), given


def raw_of(given, number=3):
    """Every input of a sample in Hounsfield units, from below the window to above it."""
    rng = np.random.default_rng(3)
    return [
        rng.integers(-1500, 1500, (number, *spec.shape)).astype(np.int16) for spec in given.inputs
    ]


def scans(*size, number=5, seed=3):
    """Smooth images in Hounsfield units, from well below the window to well above it."""
    rng = np.random.default_rng(seed)
    image = rng.normal(0, 1, (number, 1, *size))
    for axis in range(2, image.ndim):
        image = image + np.roll(image, 1, axis) + np.roll(image, 2, axis)
    image /= image.std(axis=tuple(range(1, image.ndim)), keepdims=True)
    return (600 * image - 300).astype(np.int16)
