"""Boards over OpenSSH: a real server, real keys, a real Python behind it."""

import os
import signal
import subprocess
import sys
import time
import venv
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from automed.devices import device
from automed.errors import DeviceError
from automed.exporters import onnx_file


def bare_python(folder):
    """A Python without packages."""
    venv.create(folder, with_pip=False)
    return folder / "bin" / "python3"


def test_a_board_times_models_and_keeps_nothing(board, model):
    left = board.left()
    told = device(board.name).measure({"a/b": model, "c": model}, model, warm_up=2, repeats=12)
    assert list(told) == ["a/b", "c"]
    for known in told.values():
        assert 0 < known.p50_ms <= known.p90_ms <= known.p99_ms
        assert 0.2 < known.relative < 5
        assert (known.repeats, known.warm_up, known.threads) == (12, 2, 1)
        assert known.peak_memory_bytes > 100_000
        assert known.size_bytes == len(model.content)
        assert known.device.startswith("127.0.0.1: ")
        assert known.runtime.startswith("onnxruntime ")
    assert board.left() == left


def test_a_board_gives_the_outputs_of_the_runtime_here(board, model, samples):
    (told,) = device(board.name).run(model, [samples])
    runner = onnx_file.load(model.content)
    assert np.array_equal(told, np.concatenate([runner(x[None]) for x in samples]))


def test_a_board_says_what_it_is(board):
    known = device(board.name).describe()
    assert "onnxruntime" in known["runtimes"]
    assert known["device"].startswith("127.0.0.1: ")


def refused(board, model, pattern):
    """The one line of a session that fails; nothing is left on the board."""
    left = board.left()
    with pytest.raises(DeviceError, match=pattern) as raised:
        device(board.name).measure({"it": model}, repeats=1)
    assert "\n" not in str(raised.value)
    assert board.left() == left


def test_a_board_without_python(board, model):
    board.python(None)
    refused(board, model, "127.0.0.1 has no python3 where ssh finds programs; install it there")


def test_a_board_without_numpy(board, model, tmp_path):
    board.python(f'exec {bare_python(tmp_path / "bare")} "$@"')
    refused(board, model, "127.0.0.1: python3 has no numpy; install it there with: pip install")


def test_a_board_without_the_runtime(board, model, tmp_path):
    packages = tmp_path / "packages"
    packages.mkdir()
    site = Path(find_spec("numpy").origin).parents[1]
    for name in ("numpy", "numpy.libs"):
        (packages / name).symlink_to(site / name)
    board.python(f'PYTHONPATH={packages} exec {bare_python(tmp_path / "bare")} "$@"')
    refused(board, model, "python3 has no onnxruntime; install it there with: pip install onnx")


def test_a_board_whose_process_crashes(board, model):
    board.python("kill -SEGV $$")
    refused(board, model, "127.0.0.1: the runtime crashed with exit code 139")


def test_a_board_that_refuses_the_key(board, model):
    (board.folder / "user.pub").write_text("")
    refused(board, model, r"127.0.0.1 cannot be reached: .*Permission denied .*; try: ssh .* true")


def test_a_board_whose_host_key_is_unknown(board, model):
    (board.folder / "known_hosts").write_text("")
    refused(board, model, "127.0.0.1 cannot be reached: Host key verification failed.; try: ssh")


def test_a_board_that_is_not_there(model):
    with pytest.raises(DeviceError, match=r"127.0.0.1 cannot be reached: .*refused; try: ssh"):
        device("ssh:127.0.0.1:9").measure({"it": model}, repeats=1)


@pytest.mark.parametrize("address", ["", "-oProxyCommand=x", "a b", "a@-b", "a:b", "a@b:1:2"])
def test_what_is_no_address(address):
    with pytest.raises(DeviceError, match="name it ssh:USER@BOARD"):
        device(f"ssh:{address}")


def test_an_interrupted_session_ends_on_the_board_too(board, model, tmp_path):
    left = board.left()
    (tmp_path / "it.onnx").write_bytes(model.content)
    command = [sys.executable, "-m", "automed", "bench", tmp_path / "it.onnx"]
    command += ["--device", board.name, "--repeats", "10000000"]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    for _ in range(300):
        new = [f for f in board.left() if f not in left and (f / "pid").exists()]
        if new and (new[0] / "pid").read_text():
            break
        time.sleep(0.1)
    (folder,) = new
    there = int((folder / "pid").read_text())
    os.killpg(running.pid, signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert (running.returncode, said) == (130, "automed: interrupted\n")
    assert board.left() == left
    for _ in range(50):
        if not Path(f"/proc/{there}").exists():
            return
        time.sleep(0.1)
    pytest.fail("the runner goes on")
