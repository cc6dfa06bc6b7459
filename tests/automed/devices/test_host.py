"""This machine as a device."""

import threading
import time

import numpy as np
import pytest

from automed.devices import Artefact, called, device
from automed.errors import DeviceError, UnknownNameError
from automed.exporters import onnx_file
from automed.measure import latency


def test_models_are_timed_against_the_reference(model):
    told = device("host").measure({"a/b": model, "c": model}, model, warm_up=3, repeats=20)
    assert list(told) == ["a/b", "c"]
    for known in told.values():
        assert 0 < known.p50_ms <= known.p90_ms <= known.p99_ms
        assert 0.3 < known.relative < 3
        assert (known.repeats, known.warm_up, known.threads) == (20, 3, 1)
        assert known.peak_memory_bytes > 1e5
        assert known.size_bytes == len(model.content)
        assert known.device == f"host CPU: {latency.processor()}"
        assert known.error is None


def test_a_model_without_a_reference(model):
    (known,) = device("host").measure({"it": model}, repeats=3).values()
    assert known.relative is None
    assert known.peak_memory_bytes > 1e5


def test_it_gives_the_outputs_of_the_runtime_in_this_process(model, samples):
    (told,) = device("host").run(model, [samples])
    runner = onnx_file.load(model.content)
    assert np.array_equal(told, np.concatenate([runner(x[None]) for x in samples]))


def test_it_waits_for_whoever_times_on_this_machine(model):
    ended = []

    def run():
        device("host").measure({"it": model}, repeats=1)
        ended.append(time.monotonic())

    with latency.exclusive():
        waiting = threading.Thread(target=run)
        waiting.start()
        time.sleep(1.5)
        released = time.monotonic()
    waiting.join(60)
    assert ended[0] > released


def test_what_is_no_model():
    with pytest.raises(DeviceError, match="host: mine is no model that onnxruntime can load: "):
        device("host").measure({"mine": Artefact(b"none", ".onnx")}, repeats=1)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("host", "host"),
        ("ssh:jane@ct-ward3.hospital.lan:2222", "ssh:ct-ward3:2222"),
        ("ssh:10.0.0.7", "ssh:10.0.0.7"),
        ("predicted:/home/jane/board.json", "predicted:board.json"),
        ("adb:R58M123", "adb:R58M123"),
    ],
)
def test_results_name_devices_without_accounts_networks_and_folders(name, told):
    assert called(name) == told


def test_names_of_devices():
    with pytest.raises(DeviceError, match="device host takes no address, given 'x'"):
        device("host:x")
    with pytest.raises(DeviceError, match="device host takes no address, given 'host:'"):
        device("host:")
    with pytest.raises(UnknownNameError, match="no device named 'hots:x'; did you mean 'host'"):
        device("hots:x")


def test_files_of_models(tmp_path):
    (tmp_path / "a.b.openvino.zip").write_bytes(b"x")
    assert Artefact.read(tmp_path / "a.b.openvino.zip") == Artefact(b"x", ".openvino.zip")
    with pytest.raises(DeviceError, match=r"a.txt is no model that can be run; these are: .onnx"):
        Artefact.read(tmp_path / "a.txt")
    with pytest.raises(DeviceError, match=r"a.onnx cannot be read: No such file"):
        Artefact.read(tmp_path / "a.onnx")
