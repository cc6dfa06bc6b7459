"""Lowering to ONNX by tracing, as automed does it, beside PyTorch's exporter on torch.export.

    python studies/benchmarks/lowering.py

Both lower the default network of every image family in turn, in one process, after each has
lowered one that does not count. Printed are the seconds of each and their ratio, the ratio of the
artefacts' latencies, timed interleaved, and the largest difference between their outputs.
"""

import logging
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from automed import registry
from automed.exporters import onnx_file
from automed.exporters.deployed import Deployed
from automed.lowering import deployed
from automed.measure import latency
from automed.sample import InputSpec, SampleSpec, TargetSpec

FAMILIES = ("vgg", "inception", "resnet", "densenet", "mobile")
SAMPLE = SampleSpec(
    inputs=(InputSpec(size=(32, 32), units="HU", window=(-1000.0, 400.0)),),
    targets=(TargetSpec(classes=("background", "nodule")),),
)


def main() -> None:
    """Print one line a family and the ratio of the sums."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    task = registry.task("lung-ct")
    raw = np.random.default_rng(0).normal(-500, 300, (1, 1, 32, 32)).astype(np.float32)
    sums = np.zeros(2)
    print(
        f"{'family':<10} {'traced':>8} {'torch.export':>13} {'ratio':>6} {'latency':>8} {'max':>8}"
    )
    for number, name in enumerate((FAMILIES[0], *FAMILIES)):
        torch.manual_seed(0)
        model = deployed(registry.family(name)().build(SAMPLE).eval(), task, SAMPLE)
        ours, ours_s = timed(traced, model)
        theirs, theirs_s = timed(programmed, model)
        if number == 0:
            continue
        sums += ours_s, theirs_s
        one, other = onnx_file.load(ours), onnx_file.load(theirs)
        both = latency.measure({"one": one.rehearse, "other": other.rehearse}, one.rehearse)
        print(
            f"{name:<10} {ours_s:>6.2f} s {theirs_s:>11.2f} s {theirs_s / ours_s:>5.1f}x "
            f"{both['one'].median_ms / both['other'].median_ms:>7.2f}x "
            f"{np.abs(one(raw) - other(raw)).max():>8.0e}"
        )
    print(f"in all     {sums[0]:>6.2f} s {sums[1]:>11.2f} s {sums[1] / sums[0]:>5.1f}x")


def traced(model: Deployed) -> bytes:
    """What automed ships."""
    return onnx_file.export(model, SAMPLE.inputs, {})


def programmed(model: Deployed) -> bytes:
    """PyTorch's exporter on torch.export."""
    zeros = tuple(torch.zeros(1, *spec.shape) for spec in SAMPLE.inputs)
    program: Any = torch.onnx.export(
        model, zeros, opset_version=onnx_file.OPSET, dynamo=True, verbose=False
    )
    return bytes(program.model_proto.SerializeToString())


def timed(lower: Callable[[Deployed], bytes], model: Deployed) -> tuple[bytes, float]:
    """An artefact, and the processor seconds it took, whatever else the machine does."""
    begun = time.process_time()
    artefact = lower(model)
    return artefact, time.process_time() - begun


if __name__ == "__main__":
    main()
