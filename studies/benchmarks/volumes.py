"""Volumes on slices: ExecuTorch, which has no 3D kernels, beside onnxruntime on the 3D network.

    python studies/benchmarks/volumes.py [family ...]

Both run the default network of a family on one thread, timed interleaved. Printed are the median
latencies, their ratio (below 1 the slices are faster) and the largest difference between outputs.
"""

import argparse
import math

import numpy as np
import torch
from torch import nn

from automed import registry
from automed.exporters.deployed import Deployed
from automed.measure import latency
from automed.sample import InputSpec, SampleSpec, TargetSpec

SIZE = (32, 32, 32)
CLASSES = ("background", "nodule")
TARGETS = {
    "classification": TargetSpec(classes=CLASSES),
    "segmentation": TargetSpec(name="mask", kind="mask", classes=CLASSES),
}
FAMILIES = {
    "vgg": "classification",
    "resnet": "classification",
    "mobile": "classification",
    "densenet": "classification",
    "inception": "classification",
    "unet": "segmentation",
    "vnet": "segmentation",
    "segnet": "segmentation",
}


def main() -> None:
    """Print one line a family, and the geometric mean of the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("families", nargs="*", default=list(FAMILIES))
    torch.set_num_threads(1)
    ratios = []
    print(f"{'family':<10} {'onnxruntime':>13} {'executorch':>12} {'ratio':>6} {'max':>8}")
    for name in parser.parse_args().families:
        model, sample = built(name)
        raw = np.random.default_rng(0).normal(-500, 300, (1, 1, *SIZE)).astype(np.float32)
        runners = {}
        for target in ("onnx", "executorch"):
            exporter = registry.part("exporter", target)
            runners[target] = exporter.load(exporter.export(model, sample.inputs, {}))
        reference = runners["onnx"].rehearse
        both = latency.measure({n: r.rehearse for n, r in runners.items()}, reference)
        ratios.append(both["executorch"].median_ms / both["onnx"].median_ms)
        one, other = (both[target].median_ms for target in runners)
        worst = np.abs(runners["onnx"](raw) - runners["executorch"](raw)).max()
        print(
            f"{name:<10} {one:>10.2f} ms {other:>9.2f} ms {other / one:>5.2f}x {worst:>8.0e}",
            flush=True,
        )
    print(f"geometric mean of the ratios: {math.prod(ratios) ** (1 / len(ratios)):.2f}")


def built(name: str) -> tuple[Deployed, SampleSpec]:
    """A family's default network, with the norms of one batch."""
    problem = FAMILIES[name]
    image = InputSpec(size=SIZE, units="HU", window=(-1000.0, 400.0))
    sample = SampleSpec(inputs=(image,), targets=(TARGETS[problem],))
    torch.manual_seed(0)
    network = registry.family(name)().build(sample)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = None  # the batch's own statistics, not one step towards them
    with torch.no_grad():
        network.train()(torch.rand(2, *image.shape))
    return Deployed(network.eval(), sample, registry.part("problem", problem).PROBLEM), sample


if __name__ == "__main__":
    main()
