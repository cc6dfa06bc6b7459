"""A search for two targets, to its end: files, int8, exports, the bundle for an app."""

import json
import os
import resource
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import distribution, requires
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

from automed import api, bundle, devices, registry
from automed.errors import RunError, TaskError, UnknownNameError

pytestmark = pytest.mark.usefixtures("inline")
DATA = "phantom:lung-ct?patients=30&seed=1"
OPTIONS = {
    "trials": 1,
    "epochs": 1,
    "workers": 1,
    "executor": "inline",
    "families": ["mobile"],
    "baselines": [],
    "examples": False,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory, inline):
    out = tmp_path_factory.mktemp("targets") / "run"
    return api.search(data=DATA, out=out, targets=("onnx", "openvino"), max_drop=1.0, **OPTIONS)


def by_label(model):
    return {(f.target, f.precision): f for f in model.files}


def test_every_front_model_has_a_verified_file_for_each_target(run):
    for model in run.results.front:
        files = by_label(model)
        for target in ("onnx", "openvino"):
            file = files[target, "fp32"]
            assert file.max_difference <= 1e-4
            assert (run.folder / file.path).stat().st_size == file.costs["size_bytes"]
            assert file.validation.value == pytest.approx(model.validation["auc"].value, abs=1e-3)
            assert file.sealed is not None
            assert file.change is None
        assert files["onnx", "fp32"].path == model.artefact
        assert model.costs["latency_ms@openvino"] == files["openvino", "fp32"].costs["latency_ms"]


def test_int8_is_faster_and_told_with_its_change_or_rejected_with_a_reason(run):
    for model in run.results.front:
        files = by_label(model)
        for target in ("onnx", "openvino"):
            small, full = files[target, "int8"], files[target, "fp32"]
            if small.rejected:
                assert small.path is None
                assert "not faster" in small.rejected or "worse" in small.rejected
            else:
                assert small.costs["latency_ms"] < full.costs["latency_ms"]
                assert small.costs["size_bytes"] < full.costs["size_bytes"]
                assert small.change.low <= small.change.value <= small.change.high
                assert small.sealed_change is not None


def test_trials_tell_what_they_cost_on_both(run):
    (trial,) = run.results.trials
    assert {"latency_ms", "latency_ms@openvino", "size_bytes@openvino"} <= trial["costs"].keys()
    assert trial["refusals"] == {}


def test_a_file_is_exported_by_target_and_precision(run, tmp_path):
    path = run.export(tmp_path / "it.zip", target="openvino")
    assert registry.part("exporter", "openvino").load(path)
    with pytest.raises(RunError, match="there are: onnx fp32"):
        run.export(tmp_path / "it.bin", target="onnx", precision="int4")
    assert not (tmp_path / "it.bin").exists()


def test_a_file_is_not_named_as_one_of_another_kind(run, tmp_path):
    for name, target in (("it.pte", None), ("it.onnx", "openvino")):
        with pytest.raises(RunError, match=rf"{name} ends as a \.\w+ file does, and this is "):
            api.export(run.folder, tmp_path / name, target=target)
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_the_search_was_not_for_is_made_and_verified(run, tmp_path):
    path = api.export(run.folder, tmp_path / "it.ort", target="ort")
    given = np.random.default_rng(0).normal(size=(2, 1, 32, 32)).astype(np.float32)
    (first,) = devices.device("host").run(devices.Artefact.read(path), [given])
    onnx = run.folder / run.best.artefact
    (second,) = devices.device("host").run(devices.Artefact.read(onnx), [given])
    np.testing.assert_allclose(first, second, atol=1e-5)
    with pytest.raises(UnknownNameError, match="no exporter named 'coreml'"):
        api.export(run.folder, tmp_path / "it.coreml", target="coreml")


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"targets": ("onnx", "coreml")}, UnknownNameError, "known: .*onnx"),
        ({"targets": ()}, UnknownNameError, "no exporter"),
        ({"devices": ("moon",)}, UnknownNameError, "no device named 'moon'"),
        (
            {"objectives": ["auc", "latency_ms@openvino"]},
            TaskError,
            "give --target onnx,... or --device host,...",
        ),
    ],
)
def test_what_is_not_there_is_refused_before_the_search(tmp_path, options, error, said):
    with pytest.raises(error, match=said):
        api.search(data=DATA, out=tmp_path / "run", **OPTIONS | options)
    assert not (tmp_path / "run").exists()


def test_other_places_can_be_objectives(tmp_path, inline):
    run = api.search(
        data=DATA,
        out=tmp_path / "run",
        targets=("onnx", "openvino"),
        objectives=["auc", "latency_ms", "latency_ms@openvino"],
        max_drop=None,
        **OPTIONS,
    )
    assert list(run.results.objectives) == ["auc", "latency_ms", "latency_ms@openvino"]
    assert {f.precision for f in run.best.files} == {"fp32"}
    assert api.export(run.folder, tmp_path / "it.ort", target="ort").exists()


# The bundle.


@pytest.fixture(scope="module")
def unpacked(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    zipfile.ZipFile(bundle.write(run, folder / "it.zip")).extractall(folder / "it")
    return folder / "it"


def environment(folder, *packages):
    """A Python that has these packages and what they need, and nothing else."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = (folder / "lib").glob("python*/site-packages")
    wanted, seen = list(packages), set()
    while wanted:
        name = wanted.pop()
        if name in seen:
            continue
        seen.add(name)
        for file in distribution(name).files or ():
            top = file.parts[0]
            source = Path(str(distribution(name).locate_file(top)))
            if top != ".." and source.exists() and not (site / top).exists():
                (site / top).symlink_to(source)
        for line in requires(name) or ():
            need = Requirement(line)
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                wanted.append(need.name)
    return folder / "bin" / "python"


def checked(python, folder):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return subprocess.run(
        [python, "check.py"], cwd=folder, env=clean, capture_output=True, text=True, check=False
    )


def test_vectors_pass_where_there_is_onnxruntime_only(unpacked, tmp_path):
    done = checked(environment(tmp_path / "env", "onnxruntime"), unpacked)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith("ok") and ".onnx" in line for line in lines)
    assert any(line.startswith("skipped") and "pip install openvino" in line for line in lines)


def test_no_number_is_no_agreement(unpacked):
    script = (
        "import check, json, numpy as np\n"
        "m = json.load(open('manifest.json'))['models'][0]\n"
        "check.answers = lambda *_: ([check.array(r) * np.nan for r in m['expected']], '')\n"
        "assert check.checked(m, {}) is False\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=unpacked, check=True)


def test_models_tell_what_runs_them(unpacked):
    models = json.loads((unpacked / "manifest.json").read_text())["models"]
    assert {m["target"]: m["runtime"].split()[0] for m in models} == {
        "onnx": "onnxruntime",
        "openvino": "openvino",
    }


def test_nothing_to_run_with_is_told(unpacked, tmp_path):
    done = checked(environment(tmp_path / "env", "numpy"), unpacked)
    assert done.returncode == 2
    assert "pip install onnxruntime" in done.stdout


def test_a_damaged_model_fails_its_vectors(unpacked, tmp_path):
    python = environment(tmp_path / "env", "onnxruntime")
    path = next(p for p in (unpacked / "models").glob("*.onnx") if "int8" not in p.name)
    whole = path.read_bytes()
    import onnx

    proto = onnx.load_from_string(whole)
    for weight in proto.graph.initializer:
        if weight.data_type == onnx.TensorProto.FLOAT and weight.dims:
            turned = -onnx.numpy_helper.to_array(weight)
            weight.CopyFrom(onnx.numpy_helper.from_array(turned, weight.name))
    try:
        path.write_bytes(proto.SerializeToString())
        done = checked(python, unpacked)
        assert done.returncode == 1
        assert "FAILED" in done.stdout
        path.write_bytes(whole[:1000])
        assert checked(python, unpacked).returncode == 1
    finally:
        path.write_bytes(whole)


def test_the_manifest_tells_what_an_app_must_know(unpacked, run):
    manifest = json.loads((unpacked / "manifest.json").read_text())
    (given,) = manifest["inputs"]
    assert (given["units"], given["size"], given["dtype"]) == ("HU", [32, 32], "float32")
    assert manifest["labels"] == (unpacked / "labels.txt").read_text().split()
    assert manifest["simulated"] is True
    assert "not for clinical use" in manifest["notice"]
    kept = [f for f in run.best.files if not f.rejected]
    assert len(manifest["models"]) == len(kept)
    assert {m["target"] for m in manifest["models"]} == {"onnx", "openvino"}
    everything = b"".join(p.read_bytes() for p in unpacked.rglob("*") if p.is_file())
    assert str(run.folder).encode() not in everything
    assert os.fsencode(Path.home()) not in everything


def test_only_the_front_can_be_packed(run, tmp_path):
    with pytest.raises(UnknownNameError, match="no model of the front named 'nobody'"):
        bundle.write(run, tmp_path / "it.zip", "nobody")
    assert not (tmp_path / "it.zip").exists()


def test_a_full_disk_is_one_line_and_leaves_nothing(run, tmp_path, cli):
    """A limit on the size of files, which a write meets as it meets a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        done = cli("bundle", run.folder, tmp_path / "it.zip")
        exported = cli("export", run.folder, tmp_path / "it.onnx")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    for told in (done, exported):
        assert told.code == 2
        assert told.stderr.startswith("automed: cannot write")
        assert len(told.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_at_the_end_is_one_line_and_the_search_resumes(tmp_path, inline):
    """What is trained stays; a model's file is larger than any file may be."""
    out = tmp_path / "run"
    api.search(data=DATA, out=out, max_drop=None, **OPTIONS)
    shutil.rmtree(out / "models")
    (out / "results.json").unlink()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        with pytest.raises(RunError, match=r"File too large; make room, then `automed resume"):
            api.resume(out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not [*out.rglob("*.tmp"), *out.rglob("*.onnx")]
    assert api.resume(out).best.files


@pytest.mark.slow
def test_vectors_pass_where_there_is_executorch_only(tmp_path, inline):
    options = OPTIONS | {"families": ["vgg"]}
    run = api.search(data=DATA, out=tmp_path / "run", targets=("executorch",), **options)
    assert run.results.timed_on.startswith("host CPU, executorch in executorch 1.5")
    assert run.best.artefact.endswith(".pte")
    zipfile.ZipFile(bundle.write(run, tmp_path / "it.zip")).extractall(tmp_path / "it")
    done = checked(environment(tmp_path / "env", "executorch", "torch"), tmp_path / "it")
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(line.startswith("ok") for line in done.stdout.splitlines())
    done = checked(environment(tmp_path / "bare", "executorch"), tmp_path / "it")
    assert "pip install executorch (" in done.stdout, "its package does not bring PyTorch along"
