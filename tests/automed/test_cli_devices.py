"""`automed devices` and `automed bench`."""

import json
import os
import subprocess
import sys

import pytest
import torch

from automed.exporters import onnx_file
from automed.measure import latency


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "nodule.onnx"
    path.write_bytes(onnx_file.reference())
    return path


def test_devices_shows_this_machine_and_how_others_are_named(cli):
    told = cli("devices")
    assert told.code == 0, told.stderr
    assert latency.processor() in told.stdout
    assert "onnxruntime" in told.stdout
    for name in ("host", "ssh:USER@BOARD[:PORT]", "adb:SERIAL", "predicted:FILE"):
        assert name in told.stdout
    assert all(len(line) <= 100 for line in told.stdout.splitlines())


def test_devices_by_name_and_machine_readable(cli):
    told = json.loads(cli("devices", "host", "--json").stdout)
    assert set(told["devices"]["host"]) == {"device", "os", "runtimes"}
    assert told["kinds"] == {}


def test_bench_prints_a_table_that_fits(cli, model):
    told = cli("bench", model, "--repeats", "10")
    assert told.code == 0, told.stderr
    assert f"host CPU: {latency.processor()}" in told.stdout
    assert "10 timed inferences each, after 10 more" in " ".join(told.stdout.split())
    (row,) = (line for line in told.stdout.splitlines() if "nodule.onnx" in line)
    assert "onnxruntime" in row
    assert all(len(line) <= 100 for line in told.stdout.splitlines())


def test_bench_machine_readable(cli, model):
    told = json.loads(cli("bench", model, "--repeats", "10", "--json").stdout)
    known = told["nodule.onnx"]
    assert known["repeats"] == 10
    assert 0.3 < known["relative"] < 3
    assert known["size_bytes"] == model.stat().st_size


def test_bench_of_an_onnx_file_loads_no_torch(model):
    code = (
        "import sys\nfrom automed.cli import main\n"
        f"sys.argv = ['automed', 'bench', {str(model)!r}, '--repeats', '1']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "sys.exit('torch' in sys.modules or 'optuna' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gone.onnx"], "gone.onnx cannot be read: No such file or directory"),
        (["{tmp}/notes.txt"], "notes.txt is no model that can be run; these are: .onnx, .ort"),
        (["{tmp}/bad.onnx"], "host: bad.onnx is no model that onnxruntime can load"),
        (["{tmp}/nodule.onnx", "--device", "hots"], "no device named 'hots'; did you mean 'host'"),
        (["{tmp}/nodule.onnx", "--device", "ssh:127.0.0.1:9"], "127.0.0.1 cannot be reached: "),
        (["{tmp}/nodule.onnx", "--device", "ssh:"], "no address of a board: ''"),
        (["{tmp}/nodule.onnx", "--device", "predicted:gone.json"], "gone.json cannot be read"),
    ],
)
def test_what_a_user_can_mend_is_one_line(cli, tmp_path, model, arguments, said):
    (tmp_path / "notes.txt").write_text("none")
    (tmp_path / "bad.onnx").write_bytes(b"none")
    told = cli("bench", *(text.format(tmp=tmp_path) for text in arguments))
    assert told.code == 2
    assert told.stderr.startswith("automed: ")
    assert said in told.stderr
    assert told.stderr.count("\n") == 1


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return os.mkdir, (self.place,)


def test_bench_runs_no_code_of_a_foreign_program(cli, tmp_path):
    torch.save({"it": Trap(str(tmp_path / "trapped"))}, tmp_path / "it.pt2")
    told = cli("bench", tmp_path / "it.pt2")
    assert told.code == 2
    assert told.stderr.startswith("automed: it.pt2 is no exported program of automed")
    assert [path.name for path in tmp_path.iterdir()] == ["it.pt2"]
