"""Ships what a classical method made of a problem's images, as networks are shipped."""

from torch import nn

from automed.exporters import onnx_file
from automed.exporters.deployed import Deployed
from automed.problems import Problem
from automed.sample import SampleSpec


def exported(network: nn.Module, sample: SampleSpec, problem: Problem) -> bytes:
    """An ONNX file of a module that takes windowed images and gives a problem's raw output."""
    model = Deployed(network, sample, problem)
    return onnx_file.export(model, sample.inputs, {})
