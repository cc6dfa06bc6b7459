"""One contract for every exporter of the registry, and what an ONNX artefact must be besides."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from small_models import ANSWERS, HU, TASK, model_of, raw_of, sample
from small_models import model as small_model

from automed import conclude, data, registry
from automed.errors import DataError, ExportError
from automed.evaluate import Job
from automed.exporters import MAX_DIFFERENCE, outputs, verify
from automed.exporters.onnx_runtime import Model
from automed.predict import predict

ROOT = Path(__file__).parents[3]
exporters = pytest.mark.parametrize("name", registry.names("exporter"))
SLOW = ("executorch",)
"""Targets that take seconds to lower a model: what asks for many is left to the slow tests."""
many = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else [])
        for name in registry.names("exporter")
    ],
)
sizes = pytest.mark.parametrize("size", [(16, 16), (18, 23), (16, 16, 16)], ids=str)


def model(*size, **config):
    """The smallest resnet with a resolution of its own and attention."""
    return small_model(*size, **({"attention": "se", "resolution": 0.75} | config))


def raw(*size, number=5, seed=3):
    """Raw Hounsfield units from well below the window to well above it."""
    rng = np.random.default_rng(seed)
    return rng.integers(-1500, 3000, (number, 1, *size)).astype(np.int16)


@exporters
@sizes
def test_artefact_agrees_with_its_network(name, size):
    exporter = registry.part("exporter", name)
    network = model(*size)
    artefact = exporter.export(network, sample(*size).inputs, {})
    given = outputs(exporter.load(artefact), [raw(*size)])
    wanted = network.outputs([raw(*size)])
    assert given.shape == (5, 2)
    assert np.ptp(wanted[:, 0]) > 10 * MAX_DIFFERENCE, "all alike: agreement would mean nothing"
    np.testing.assert_allclose(given, wanted, atol=MAX_DIFFERENCE)
    assert verify("it", given, wanted) <= MAX_DIFFERENCE


@many
@pytest.mark.parametrize("problem", ANSWERS)
def test_every_output_of_every_problem_has_its_name_and_value(name, problem):
    family = next(f for f in registry.names("family") if problem in registry.family(f).problems)
    network, given = model_of(family, problem, (16, 18))
    exporter = registry.part("exporter", name)
    images = raw_of(given, 1)
    answers = exporter.load(exporter.export(network, given.inputs, {})).outputs(*images)
    assert tuple(answers) == network.output_names
    with torch.inference_mode():
        wanted = network.eval()(*(torch.from_numpy(x.astype(np.float32)) for x in images))
    found = np.count_nonzero(answers.get("scores", 0))  # behind the found ones any order will do
    for (output, ours), theirs in zip(answers.items(), wanted, strict=True):
        told = np.s_[:, :found] if output in ("centres", "radii", "scores") else np.s_[:]
        scale = max(1.0, float(theirs.abs().max()))  # some are in Hounsfield units
        allowed = MAX_DIFFERENCE * scale
        np.testing.assert_allclose(ours[told], theirs.numpy()[told], atol=allowed)


@exporters
def test_artefact_loads_from_a_file_as_from_bytes(name, tmp_path):
    exporter = registry.part("exporter", name)
    artefact = exporter.export(model(16, 16), sample(16, 16).inputs, {})
    path = tmp_path / f"it{exporter.SUFFIX}"
    path.write_bytes(artefact)
    images = (raw(16, 16),)
    np.testing.assert_array_equal(
        outputs(exporter.load(path), images), outputs(exporter.load(artefact), images)
    )
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@many
def test_digest_is_of_the_graph_and_not_of_its_weights(name):
    exporter = registry.part("exporter", name)

    def digest(*, side=16, metadata=None, **changes):
        network = model(side, side, **changes)
        return exporter.digest(exporter.export(network, sample(side, side).inputs, metadata or {}))

    first = digest()
    assert re.fullmatch("[0-9a-f]{16}", first)
    assert first == digest(seed=1)
    assert first == digest(metadata={"name": "another"})
    others = [
        digest(width=8),
        digest(kernel=5),
        digest(activation="silu"),
        digest(side=32),
    ]
    assert len({first, *others}) == 1 + len(others)


@many
def test_dropout_costs_nothing_once_exported(name):
    exporter = registry.part("exporter", name)
    without, with_it = (
        exporter.digest(exporter.export(model(16, 16, dropout=p), sample(16, 16).inputs, {}))
        for p in (0.0, 0.3)
    )
    assert without == with_it


@many
def test_reference_runs_and_never_changes(name):
    exporter = registry.part("exporter", name)
    runner = exporter.load(exporter.reference())
    runner.rehearse()
    script = f"""
import numpy as np
from automed import registry
exporter = registry.part("exporter", {name!r})
runner = exporter.load(exporter.reference())
print(exporter.digest(exporter.reference()), runner(np.ones((1, 1, 48, 48))).sum(dtype=float))
"""
    again = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    total = runner(np.ones((1, 1, 48, 48))).sum(dtype=float)
    assert again == [exporter.digest(exporter.reference()), str(total)]


@exporters
@pytest.mark.parametrize("content", [b"", b"garbage", bytes(1000), b"\x08\x0a" * 500])
def test_garbage_is_refused(name, content, tmp_path):
    exporter = registry.part("exporter", name)
    with pytest.raises(ExportError):
        exporter.load(content)
    path = tmp_path / f"broken{exporter.SUFFIX}"
    path.write_bytes(content)
    with pytest.raises(ExportError, match=path.name) as caught:
        exporter.load(path)
    assert str(tmp_path) not in str(caught.value)


@exporters
def test_missing_file_is_refused(name, tmp_path):
    exporter = registry.part("exporter", name)
    with pytest.raises(ExportError, match="absent"):
        exporter.load(tmp_path / f"absent{exporter.SUFFIX}")
    with pytest.raises(ExportError):
        exporter.load(tmp_path)


@many
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_truncated_artefact_is_refused(name, kept):
    exporter = registry.part("exporter", name)
    artefact = exporter.export(model(16, 16), sample(16, 16).inputs, {"task": "x"})
    with pytest.raises(ExportError):
        exporter.load(artefact[: int(kept * len(artefact))])


@many
def test_export_does_not_depend_on_what_was_exported_before(name):
    exporter = registry.part("exporter", name)
    artefacts = [
        exporter.export(model(*size), sample(*size).inputs, {"name": "it"})
        for size in [(16, 16), (16, 16, 16), (16, 16)]
    ]
    first, between, last = map(exporter.digest, artefacts)
    assert first == last != between
    given = [outputs(exporter.load(a), [raw(16, 16)]) for a in (artefacts[0], artefacts[2])]
    np.testing.assert_array_equal(*given)


# What an ONNX artefact of a real task is.


def test_equal_models_make_equal_files():
    onnx_file = registry.part("exporter", "onnx")
    first, second = (onnx_file.export(model(16, 16), sample(16, 16).inputs, {}) for _ in range(2))
    assert first == second


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """The file of a model of the phantom task, as `conclude` would write it."""
    job = Job(task=TASK, data="phantom:lung-ct?patients=30&seed=1")
    parts = data.open_parts(data.Source(place=job.data, hu_window=TASK.window))
    network = model(32, 32, resolution=1.0)
    facts = conclude.metadata(job, parts) | {"name": "resnet-007"}
    onnx_file = registry.part("exporter", "onnx")
    path = tmp_path_factory.mktemp("shipped") / "resnet-007.onnx"
    path.write_bytes(onnx_file.export(network, sample(32, 32).inputs, facts))
    return path, network, parts


def test_file_runs_where_there_is_no_torch(shipped, tmp_path):
    path, network, parts = shipped
    (tmp_path / "alone.onnx").write_bytes(path.read_bytes())
    images = parts.val.images[:4]
    np.save(tmp_path / "images.npy", images)
    script = """
import json, sys
import numpy as np
import onnxruntime
images = np.load("images.npy")
session = onnxruntime.InferenceSession("alone.onnx", providers=["CPUExecutionProvider"])
bare = [session.run(None, {"image": i[None].astype(np.float32)})[0][0].tolist() for i in images]
assert "automed" not in sys.modules and "onnx" not in sys.modules
from pathlib import Path
from automed.exporters.onnx_runtime import Model
from automed.lowering import deployed
from automed.predict import predict
given = [dict(predict(Model(Path("alone.onnx")), [i]).values) for i in images]
assert "torch" not in sys.modules, "torch was imported"
print(json.dumps([bare, given]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    bare, given = json.loads(done.stdout)
    wanted = network.outputs([images])
    np.testing.assert_allclose(bare, wanted, atol=MAX_DIFFERENCE)
    assert [list(row) for row in given] == [["background", "nodule"]] * 4
    np.testing.assert_allclose([list(row.values()) for row in given], wanted, atol=MAX_DIFFERENCE)


def test_weights_are_inside_the_file(shipped):
    path, network, _ = shipped
    proto = onnx.load(path, load_external_data=False)
    assert not [w.name for w in proto.graph.initializer if w.external_data]
    held = sum(int(np.prod(w.dims)) for w in proto.graph.initializer if w.data_type == 1)
    learnt = sum(p.numel() for p in network.parameters())
    assert 0.8 * learnt < held < 1.2 * learnt  # batch norms fold into convolutions
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_metadata_says_what_the_model_takes_and_gives(shipped):
    path, _, parts = shipped
    facts = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    assert (facts["problem"], facts["task"]) == ("classification", "lung-ct")
    assert json.loads(facts["target"])["classes"] == ["background", "nodule"]
    assert json.loads(facts["outputs"]) == ["probabilities"]
    (image,) = json.loads(facts["inputs"])
    assert (image["name"], image["kind"]) == ("image", "image")
    assert (image["units"], image["window"]) == ("HU", list(HU))
    assert (image["channels"], image["size"]) == (1, [32, 32])
    assert image["dtype"] == "float32"
    assert facts["training_data"] == parts.train.digest()
    assert json.loads(facts["simulated"]) is True
    assert "not for clinical use" in facts["notice"]
    assert facts["name"] == "resnet-007"
    card = Model(path).card()
    assert card.inputs == parts.train.sample.inputs
    assert card.target == parts.train.sample.target
    assert (card.notice, card.task) == (facts["notice"], "lung-ct")


def test_graph_names_its_input_and_fixes_its_shape(shipped):
    session = onnxruntime.InferenceSession(shipped[0])
    (image,), (output,) = session.get_inputs(), session.get_outputs()
    assert (image.name, image.shape, image.type) == ("image", [1, 1, 32, 32], "tensor(float)")
    assert (output.name, output.shape) == ("probabilities", [1, 2])


def test_file_tells_nothing_of_the_machine_it_was_made_on(shipped):
    content = shipped[0].read_bytes()
    telltale = [
        "/root", "/home", "/tmp", "/usr", "/opt", "C:\\", ".py", "site-packages",
        str(ROOT), str(Path.home()), "Traceback", 'File "', "stack_trace", "pkg.torch",
        "forward(", "phantom:",
    ]  # fmt: skip
    assert [t for t in telltale if t.encode() in content] == []
    proto = onnx.load_from_string(content)
    nodes = [*proto.graph.node, *proto.graph.initializer, *proto.graph.value_info]
    assert not [n.name for n in nodes if n.doc_string or n.metadata_props]
    assert not proto.functions


def test_probabilities_sum_to_one_for_raw_hounsfield_units(shipped):
    path, _, parts = shipped
    given = outputs(Model(path), parts.val.given)
    assert (given >= 0).all()
    np.testing.assert_allclose(given.sum(axis=1), 1.0, atol=1e-5)
    extremes = np.full((3, 1, 32, 32), [[[[-32768]]], [[[0]]], [[[32767]]]], dtype=np.float32)
    np.testing.assert_allclose(outputs(Model(path), [extremes]).sum(axis=1), 1.0, atol=1e-5)


def test_values_beyond_the_window_clip(shipped):
    path, _, parts = shipped
    runner = Model(path)
    image = parts.val.images[:1].astype(np.float32)
    low, high = HU
    clipped = image.clip(low, high)
    beyond = np.where(clipped == low, -3000, np.where(clipped == high, 30000, clipped))
    beyond[0, 0, :4], clipped[0, 0, :4] = 5000.0, high
    beyond[0, 0, 4:8], clipped[0, 0, 4:8] = -5000.0, low
    np.testing.assert_allclose(runner(beyond), runner(clipped), atol=1e-6)
    inside = clipped.copy()
    inside[0, 0, :4] = (low + high) / 2
    assert np.abs(runner(inside) - runner(clipped)).max() > 1e-4


def test_prediction_refuses_another_shape(shipped):
    runner = Model(shipped[0])
    for shape in [(1, 30, 32), (32, 32), (3, 32, 32), (1, 1, 32, 32), (1, 32, 32, 32)]:
        with pytest.raises(DataError) as caught:
            predict(runner, [np.zeros(shape, np.int16)])
        assert "x".join(map(str, shape)) in str(caught.value)
        assert "1x32x32" in str(caught.value)
        assert "HU" in str(caught.value)


def test_foreign_model_carries_no_card():
    foreign = Model(registry.part("exporter", "onnx").reference())
    foreign.rehearse()
    with pytest.raises(ExportError, match="metadata"):
        foreign.card()
    with pytest.raises(ExportError, match="metadata"):
        predict(foreign, [np.zeros((1, 48, 48))])


def tampered(path, change):
    """The artefact with its largest learnt tensor changed."""
    proto = onnx.load(path)
    weights = [w for w in proto.graph.initializer if w.data_type == onnx.TensorProto.FLOAT]
    largest = max(weights, key=lambda w: int(np.prod(w.dims)))
    values = change(onnx.numpy_helper.to_array(largest))
    largest.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float32), largest.name))
    return Model(proto.SerializeToString())


def test_verification_refuses_a_tampered_artefact(shipped):
    path, network, parts = shipped
    images = [parts.val.images[:20]]
    wanted = network.outputs(images)
    verify("untouched", outputs(tampered(path, lambda w: w), images), wanted)
    with pytest.raises(ExportError, match=r"it: .*differs from its network by"):
        verify("it", outputs(tampered(path, lambda w: w * 1.2), images), wanted)


def test_verification_refuses_outputs_that_are_not_finite(shipped):
    path, network, parts = shipped
    images = [parts.val.images[:5]]
    wanted = network.outputs(images)
    broken = outputs(tampered(path, lambda w: np.full_like(w, np.nan)), images)
    with pytest.raises(ExportError, match="not finite"):
        verify("it", broken, wanted)
    with pytest.raises(ExportError):
        verify("it", wanted, broken)


def test_verification_refuses_outputs_of_another_shape(shipped):
    _, network, parts = shipped
    wanted = network.outputs([parts.val.images[:5]])
    same = np.repeat(wanted[:1], 5, axis=0)
    with pytest.raises(ExportError, match="shape"):
        verify("it", same[:1], same)


def test_large_values_are_compared_relative_to_themselves():
    pixels = np.array([[800.0, 0.5]], np.float32)
    assert verify("it", pixels + np.array([[0.04, 0]], np.float32), pixels) < MAX_DIFFERENCE
    for wrong in ([[0.2, 0]], [[0, 2e-4]]):
        with pytest.raises(ExportError, match="differs"):
            verify("it", pixels + np.array(wrong, np.float32), pixels)
