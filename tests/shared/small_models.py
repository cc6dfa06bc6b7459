"""Small models as training could leave them, which every target is tried with."""

from pathlib import Path

import numpy as np
import torch

from automed import registry
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


def scans(*size, number=5, seed=3):
    """Smooth images in Hounsfield units, from well below the window to well above it."""
    rng = np.random.default_rng(seed)
    image = rng.normal(0, 1, (number, 1, *size))
    for axis in range(2, image.ndim):
        image = image + np.roll(image, 1, axis) + np.roll(image, 2, axis)
    image /= image.std(axis=tuple(range(1, image.ndim)), keepdims=True)
    return (600 * image - 300).astype(np.int16)
