"""What an exported program is beside the contract of every target, and that it is safe to load."""

import io
import json
import os
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest
import torch
from small_models import TELLTALES, model, sample, scans

from automed import devices
from automed.errors import ExportError
from automed.exporters import archive, torch_archive, torch_export

FACTS = {"task": "lung-ct", "notice": "naïve"}
SAMPLE_INPUTS = "archive/data/sample_inputs/model.pt"
WEIGHTS = "archive/data/weights/model_weights_config.json"


@pytest.fixture(scope="module")
def artefact():
    return torch_export.export(model(16, 16), sample(16, 16).inputs, FACTS)


@pytest.mark.slow
def test_file_runs_where_there_is_torch_alone(artefact, tmp_path):
    images = scans(16, 16, number=1).astype(np.float32)
    (tmp_path / "it.pt2").write_bytes(artefact)
    np.save(tmp_path / "images.npy", images)
    script = """
import sys, numpy as np, torch
program = torch.export.load("it.pt2")
print(program.module()(torch.from_numpy(np.load("images.npy")))[0].tolist())
assert "automed" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    wanted = torch_export.load(artefact)(images)
    np.testing.assert_allclose(json.loads(done.stdout), wanted, atol=1e-6)


def test_metadata_and_names_of_outputs_are_kept(artefact):
    runner = torch_export.load(artefact)
    assert runner.metadata == FACTS
    assert list(runner.outputs(scans(16, 16, number=1))) == ["probabilities"]


def test_file_tells_nothing_of_the_machine_it_was_made_on(artefact):
    assert [t for t in TELLTALES if t.encode() in artefact] == []
    assert b"automed" not in artefact


def test_equal_models_make_equal_files(artefact):
    again = torch_export.export(model(16, 16), sample(16, 16).inputs, FACTS)
    assert again == artefact


def test_threads_of_the_session_are_left_as_they_were(artefact):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        torch_export.load(artefact).rehearse()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return os.mkdir, (self.place,)


def pickled(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def in_graph(change):
    def changed(parts, place):
        model = json.loads(parts[torch_archive.GRAPH])
        change(model, place)
        parts[torch_archive.GRAPH] = json.dumps(model).encode()

    return changed


def pickled_weight(parts, place):
    config = json.loads(parts[WEIGHTS])
    first = next(iter(config["config"].values()))
    first["use_pickle"] = True
    parts[WEIGHTS] = json.dumps(config).encode()
    parts[f"archive/data/weights/{first['path_name']}"] = pickled(Trap(place))


def pickled_inputs(parts, place):
    parts[SAMPLE_INPUTS] = pickled(((Trap(place),), {}))


def compiled_code(parts, place):
    parts["archive/data/aotinductor/model/model.so"] = place.encode()


def legacy_weights(parts, place):
    parts["archive/data/weights/model.pt"] = pickled({"it": Trap(place)})


def node(model):
    return model["graph_module"]["graph"]["nodes"][0]


def foreign_call(model, place):
    node(model)["target"] = "torch.os.mkdir"


def file_operator(model, place):
    node(model)["target"] = "torch.ops.aten.from_file.default"


def packet(model, place):
    node(model)["target"] = "torch.ops.aten.sub.__class__"


def code_in_a_name(model, place):
    for given in model["graph_module"]["graph"]["inputs"]:
        given["as_tensor"]["name"] = f"x=__import__('os').mkdir({place!r})"


def entries(model):
    return filter(None, (e["signature"] for e in model["graph_module"]["module_call_graph"]))


def code_in_an_argument(place):
    """It is pasted twice: what lies between becomes a string."""
    return f'x=""", y=__import__("os").mkdir({place!r})):\n    pass\n    #'


def code_in_an_argument_name(model, place):
    for entry in entries(model):
        entry["forward_arg_names"] = [code_in_an_argument(place)]


def code_in_a_keyword(model, place):
    leaf = {"type": None, "context": None, "children_spec": []}
    for entry in entries(model):
        version, spec = json.loads(entry["in_spec"])
        words = {"context": json.dumps([code_in_an_argument(place)]), "children_spec": [leaf]}
        spec["children_spec"][1] |= words
        entry["in_spec"], entry["forward_arg_names"] = json.dumps([version, spec]), None


def code_in_a_key(model, place):
    values = model["graph_module"]["graph"]["tensor_values"]
    values[code_in_an_argument(place)] = next(iter(values.values()))


def guard(model, place):
    model["guards_code"] = [f"__import__('os').mkdir({place!r}) is None"]


def expression(model, place):
    values = model["graph_module"]["graph"]["tensor_values"]
    size = next(iter(values.values()))["sizes"]
    size[0] = {"as_expr": {"expr_str": f"__import__('os').mkdir({place!r})", "hint": None}}


def enum_of_a_module(model, place):
    spec = {"type": "builtins.dict", "context": '{"__enum__": true, "fqn": "antigravity:x"}'}
    for entry in entries(model):
        entry["in_spec"] = json.dumps([1, {**spec, "children_spec": []}])


ATTACKS = [
    pickled_weight,
    pickled_inputs,
    compiled_code,
    legacy_weights,
    *map(
        in_graph,
        [
            foreign_call,
            file_operator,
            packet,
            code_in_a_name,
            code_in_an_argument_name,
            code_in_a_keyword,
            code_in_a_key,
            guard,
            expression,
            enum_of_a_module,
        ],
    ),
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_file_that_could_run_code_is_refused_unrun(artefact, attack, tmp_path):
    parts = archive.unpack(artefact)
    attack(parts, str(tmp_path / "trapped"))
    with pytest.raises(ExportError, match=r"\(it |\(a tensor of it|\(its example"):
        torch_export.load(archive.pack(parts))
    assert list(tmp_path.iterdir()) == []


def test_a_device_gets_what_was_looked_at(artefact, tmp_path):
    """Of two archives in one file zipfile reads the last, and PyTorch the first."""
    parts = archive.unpack(artefact)
    pickled_weight(parts, str(tmp_path / "trapped"))
    path = tmp_path / "both.pt2"
    path.write_bytes(archive.pack(parts) + artefact)
    assert devices.Artefact.read(path).content == artefact


@pytest.mark.parametrize("attack", [pickled_weight, in_graph(code_in_an_argument_name)])
def test_the_traps_do_spring(artefact, attack, tmp_path):
    parts = archive.unpack(artefact)
    attack(parts, str(tmp_path / "trapped"))
    with suppress(Exception):  # only the trap is of interest
        torch.export.load(io.BytesIO(archive.pack(parts))).module()
    assert [p.name for p in tmp_path.iterdir()] == ["trapped"]
