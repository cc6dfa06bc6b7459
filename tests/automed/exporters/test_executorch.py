"""What an ExecuTorch artefact must be besides the contract of every exporter (test_onnx.py)."""

import functools
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import ANSWERS, model_of, raw_of, sample_of
from torch import nn

from automed import registry
from automed.errors import ExportError
from automed.exporters import MAX_DIFFERENCE, NOTICE, outputs, verify

METADATA = {"task": "lung-ct", "notice": NOTICE, "name": "vgg-001"}
SMALL = {"width": 4, "stages": 2, "depth": 1}


@functools.cache
def shipped():
    network, sample = model_of(**SMALL)
    exporter = registry.part("exporter", "executorch")
    return exporter.export(network, sample.inputs, METADATA)


def test_weights_as_training_lays_them_out_are_taken():
    network, sample = model_of("mobile", **SMALL, attention="cbam", convolution="separable")
    plain = network.outputs(raw_of(sample))
    for weight in network.parameters():
        if weight.ndim == 4:  # of one channel too, whose strides may then be either
            last = torch.empty_like(weight, memory_format=torch.channels_last)
            weight.data = last.copy_(weight).detach()
    exporter = registry.part("exporter", "executorch")
    runner = exporter.load(exporter.export(network, sample.inputs, {}))
    assert verify("it", outputs(runner, raw_of(sample)), plain) <= MAX_DIFFERENCE


def test_metadata_is_read_without_executorch(tmp_path):
    path = tmp_path / "it.pte"
    path.write_bytes(shipped())
    with zipfile.ZipFile(path) as archive:
        assert json.loads(archive.read("metadata.json")) == METADATA
    assert registry.part("exporter", "executorch").load(path).metadata == METADATA


def test_outputs_have_names():
    network, sample = model_of(**SMALL)
    runner = registry.part("exporter", "executorch").load(shipped())
    images = raw_of(sample, 1)
    assert list(runner.outputs(*images)) == list(network.output_names)
    first = runner.outputs(*images)[network.output_names[0]]
    np.testing.assert_array_equal(first, runner(*images))
    runner.rehearse()


def test_file_tells_nothing_of_the_machine_it_was_made_on():
    telltale = [
        "/root", "/home", "/tmp", "/usr", "/opt", "C:\\", ".py", "site-packages", "Traceback",
        'File "', "stack_trace", "forward(", str(Path(__file__).parents[3]), str(Path.home()),
    ]  # fmt: skip
    assert [t for t in telltale if t.encode() in shipped()] == []


@pytest.mark.parametrize("place", [0.3, 0.6])
def test_a_byte_that_changed_is_found_before_the_runtime_reads_it(place):
    broken = bytearray(shipped())
    broken[int(place * len(broken))] ^= 0xFF
    with pytest.raises(ExportError, match="not the one that was written"):
        registry.part("exporter", "executorch").load(bytes(broken))


def test_program_of_another_maker_is_refused():
    (end,) = (m.start() for m in re.finditer(b"PK\x03\x04.{26}metadata", shipped(), re.DOTALL))
    with pytest.raises(ExportError, match="automed wrote"):
        registry.part("exporter", "executorch").load(shipped()[:end])


def test_runner_outlives_the_bytes_it_was_loaded_from_and_prints_nothing(tmp_path):
    (tmp_path / "it.pte").write_bytes(shipped())
    script = """
import gc, logging
from automed import registry
runner = registry.part("exporter", "executorch").load(open("it.pte", "rb").read())
gc.collect()
rubbish = [bytes([255]) * len(open("it.pte", "rb").read()) for _ in range(50)]
runner.rehearse()
assert not logging.root.handlers
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("kind", ["exporter", "quantizer"])
def test_a_missing_library_is_named_with_its_cure(kind):
    script = (
        "import sys; sys.modules['executorch'] = None;"
        f"from automed import registry; registry.part({kind!r}, 'executorch')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "ExportError: target executorch needs executorch" in done.stderr
    assert "pip install 'automed[executorch]'" in done.stderr


def test_a_model_without_a_kernel_is_refused():
    network, sample = model_of(**SMALL)
    network.network = nn.Sequential(nn.Flatten(), Sorted(), nn.Linear(256, 2))
    with pytest.raises(ExportError, match="executorch") as caught:
        registry.part("exporter", "executorch").export(network, sample.inputs, {})
    assert "\n" not in str(caught.value)


def test_a_model_that_asks_its_values_is_refused():
    network, sample = model_of(**SMALL)
    network.network = nn.Sequential(Asking(), nn.Flatten(), nn.Linear(256, 2))
    with pytest.raises(ExportError, match="cannot capture") as caught:
        registry.part("exporter", "executorch").export(network, sample.inputs, {})
    assert "\n" not in str(caught.value)


class Sorted(nn.Module):
    def forward(self, x):
        return x.sort(dim=-1).values


class Asking(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


def served():
    """Every family in 2D and 3D, with the first problem it serves: others differ in the end."""
    for name in registry.names("family"):
        family = registry.family(name)
        problem = next(problem for problem in ANSWERS if problem in family.problems)
        for size in ((32, 32), (16, 18, 20)):
            if not family.refusal(sample_of(problem, *size)):
                yield pytest.param(name, problem, size, id=f"{name}-{problem}-{len(size)}d")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "problem", "size"), served())
def test_default_of_every_family_runs(name, problem, size):
    network, sample = model_of(name, problem, size)
    exporter = registry.part("exporter", "executorch")
    runner = exporter.load(exporter.export(network.eval(), sample.inputs, {}))
    images = raw_of(sample)
    wanted = network.outputs(images)
    assert verify(name, outputs(runner, images), wanted) <= MAX_DIFFERENCE
    assert not np.array_equal(wanted[0], wanted[1])
