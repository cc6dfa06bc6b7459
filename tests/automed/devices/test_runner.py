"""The stand-alone runner: what it imports, how it takes turns, what each runtime gives."""

import ast
import io
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from automed.devices import runner
from automed.exporters import onnx_file

JOB = {"reference": None, "inputs": None, "outputs": None, "threads": 1, "warm_up": 2, "repeats": 7}


def carried_out(folder, models, **changes):
    """What the runner, copied to a folder and started in a fresh process, says of a job."""
    shutil.copy(runner.__file__, folder)
    asked = [{"name": name, "file": file} for name, file in models.items()]
    (folder / "job.json").write_text(json.dumps({**JOB, "models": asked, **changes}))
    command = [sys.executable, "runner.py", "job.json"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def told(folder, models, **changes):
    done = carried_out(folder, models, **changes)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_it_stands_alone_and_is_short():
    text = Path(runner.__file__).read_text()
    nodes = list(ast.walk(ast.parse(text)))
    named = {a.name.split(".")[0] for n in nodes if isinstance(n, ast.Import) for a in n.names}
    named |= {n.module.split(".")[0] for n in nodes if isinstance(n, ast.ImportFrom)}
    assert named - set(sys.stdlib_module_names) == {"numpy"}
    assert len(text.splitlines()) <= 200


def test_models_take_turns():
    order = []
    models = [runner.Model(lambda _, n=n: order.append(n) or [], [[1]]) for n in "ab"]
    times = runner.times_ms(models, warm_up=2, repeats=7)
    assert [len(known) for known in times] == [7, 7]
    assert "".join(order) == "aabb" + "a" * 6 + "b" * 6 + "aaabbb"


@pytest.fixture
def onnx(tmp_path):
    (tmp_path / "it.onnx").write_bytes(onnx_file.reference())
    return tmp_path


def test_a_session_of_several(onnx):
    (onnx / "it.bundle.zip").write_bytes(zipped({"card.md": b"", "it.onnx": onnx_file.reference()}))
    models = {"one": "it.onnx", "other": "it.bundle.zip"}
    answer = told(onnx, models, reference="it.onnx")
    assert set(answer) == {"device", "os", "runtimes", "models"}
    assert answer["runtimes"]["onnxruntime"]
    for name, known in answer["models"].items():
        assert 0 < known["p50_ms"] <= known["p90_ms"] <= known["p99_ms"]
        assert 0.3 < known["relative"] < 3
        assert (known["repeats"], known["warm_up"], known["threads"]) == (7, 2, 1)
        assert known["size_bytes"] == (onnx / models[name]).stat().st_size
        assert known["runtime"].startswith("onnxruntime ")
        assert known["peak_memory_bytes"] is None


def test_memory_is_of_a_fresh_process(onnx):
    """A network whose weights are 40 MB takes as much more than one without."""
    from onnx import TensorProto, helper, numpy_helper

    info = helper.make_tensor_value_info
    weight = numpy_helper.from_array(np.ones((1000, 10_000), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "it",
        [info("x", TensorProto.FLOAT, (1, 1000))],
        [info("y", TensorProto.FLOAT, (1, 10_000))],
        [weight],
    )
    opset = [helper.make_opsetid("", onnx_file.OPSET)]
    large = helper.make_model(graph, opset_imports=opset, ir_version=10)
    (onnx / "large.onnx").write_bytes(large.SerializeToString())
    small_bytes, large_bytes = (
        told(onnx, {"it": file}, repeats=0)["models"]["it"]["peak_memory_bytes"]
        for file in ("it.onnx", "large.onnx")
    )
    assert small_bytes > 1e5
    assert 4e7 < large_bytes - small_bytes < 2e8


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


class Two(torch.nn.Module):
    """Two inputs, two outputs."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 4, 3)

    def forward(self, image, table):
        return self.conv(image).mean((2, 3)) + table, image * 2


SHAPES = ((1, 1, 12, 12), (1, 4))


def as_onnx(network, example):
    buffer = io.BytesIO()
    torch.onnx.export(network, example, buffer, opset_version=20, dynamo=False)
    return buffer.getvalue()


def as_openvino(network, example, folder):
    ov = pytest.importorskip("openvino")
    ov.save_model(ov.convert_model(network, example_input=example), folder / "model.xml", False)
    return zipped({n: (folder / n).read_bytes() for n in ("model.xml", "model.bin")})


def as_executorch(network, example):
    pytest.importorskip("executorch")
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    program = torch.export.export(network, example)
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    return lowered.to_executorch().buffer


def as_exported(network, example):
    buffer = io.BytesIO()
    torch.export.save(torch.export.export(network, example), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "suffix",
    [
        ".onnx",
        ".bundle.zip",
        pytest.param(".pt2", marks=pytest.mark.slow),
        pytest.param(".openvino.zip", marks=pytest.mark.slow),
        pytest.param(".pte", marks=pytest.mark.slow),
    ],
)
def test_every_runtime_gives_what_the_network_gives(suffix, tmp_path):
    torch.manual_seed(0)
    network = Two().eval()
    zeros = tuple(torch.zeros(shape) for shape in SHAPES)
    made = {
        ".onnx": lambda: as_onnx(network, zeros),
        ".bundle.zip": lambda: zipped({"it.onnx": as_onnx(network, zeros)}),
        ".pt2": lambda: as_exported(network, zeros),
        ".openvino.zip": lambda: as_openvino(network, zeros, tmp_path),
        ".pte": lambda: as_executorch(network, zeros),
    }[suffix]()
    (tmp_path / f"it{suffix}").write_bytes(made)
    rng = np.random.default_rng(0)
    raw = [rng.normal(0, 1, (3, *shape[1:])).astype(np.float32) for shape in SHAPES]
    np.savez(tmp_path / "inputs.npz", *raw)
    answer = told(tmp_path, {"it": f"it{suffix}"}, inputs="inputs.npz", outputs=".")
    assert answer["models"]["it"]["p50_ms"] > 0
    with np.load(tmp_path / "it.npz") as arrays, torch.inference_mode():
        expected = network(*map(torch.from_numpy, raw))
        assert len(arrays.files) == len(expected)
        for name, y in zip(arrays.files, expected, strict=True):
            np.testing.assert_allclose(arrays[name], y.numpy(), atol=1e-5)


def test_what_is_no_model_is_told_in_a_line(tmp_path):
    (tmp_path / "it.onnx").write_bytes(b"none")
    done = carried_out(tmp_path, {"mine": "it.onnx"})
    assert done.returncode == 1
    assert done.stderr.startswith("mine is no model that onnxruntime can load: ")
    assert done.stderr.count("\n") == 1


def test_inputs_of_another_shape_are_told_in_a_line(onnx):
    np.savez(onnx / "inputs.npz", np.zeros((2, 1, 5, 5), np.float32))
    done = carried_out(onnx, {"mine": "it.onnx"}, inputs="inputs.npz", outputs=".")
    assert done.returncode == 1
    assert "mine takes [[1, 1, 48, 48]], fails on [[1, 1, 5, 5]]: " in done.stderr
