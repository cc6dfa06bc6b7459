"""A target whose library is not installed says how to install it."""

import importlib
import os
import subprocess
import sys

import pytest

from automed import registry
from automed.errors import ExportError


@pytest.mark.parametrize(
    ("kind", "name", "library", "extra"),
    [
        ("exporter", "openvino", "openvino", "openvino"),
        ("quantizer", "openvino", "nncf", "openvino"),
        ("exporter", "monai-bundle", "safetensors.torch", "monai-bundle"),
    ],
)
def test_missing_library_is_named_with_its_cure(kind, name, library, extra, monkeypatch):
    module = registry.places(kind)[name]
    importlib.import_module(module)
    monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ExportError, match=rf"pip install 'automed\[{extra}\]'"):
        registry.part(kind, name)


@pytest.mark.parametrize("name", ["onnx", "ort"])
def test_onnxruntime_reports_nothing_whichever_target_imports_it(name, tmp_path):
    script = f"""
from automed import registry
exporter = registry.part("exporter", {name!r})
exporter.load(exporter.reference()).rehearse()
"""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("ORT_", "XDG_", "CI"))}
    subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        cwd=tmp_path,
        env={**environment, "HOME": str(tmp_path)},
    )
    assert [p.name for p in tmp_path.rglob("*") if p.name in ("deviceid", "onnxruntime.db")] == []
