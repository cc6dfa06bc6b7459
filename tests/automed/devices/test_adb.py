"""Android phones: no phone is at hand, so adb is a script that answers with written transcripts.

`transcripts/` holds logs written from the formats in the two programs' sources, not recorded ones.
"""

import os
from pathlib import Path

import pytest

from automed.devices import Artefact, adb, device
from automed.errors import DeviceError, UnreachableError

TRANSCRIPTS = Path(__file__).with_name("transcripts")
ADB = """#!/bin/sh
echo "$*" >> {calls}
case "$*" in
  devices) printf 'List of devices attached\\nR58M123\\tdevice\\nX1\\tunauthorized\\n' ;;
  "-s R58M123 shell getprop ro.product.manufacturer") echo Google ;;
  "-s R58M123 shell getprop ro.product.model") echo Pixel 7 ;;
  "-s R58M123 shell getprop ro.build.version.release") echo 14 ;;
  "-s R58M123 push "*) [ -f "$4" ] ;;
  *"./runner "*) cat {log} ;;
  "-s R58M123 shell "*) ;;
  *) echo "error: device '$2' not found" >&2; exit 1 ;;
esac
"""


@pytest.fixture
def phone(tmp_path, monkeypatch):
    """Makes a phone whose binary prints a transcript; the calls of adb are in its file."""

    def make(program, log=None):
        script = tmp_path / "bin" / "adb"
        script.parent.mkdir()
        log = log or TRANSCRIPTS / f"{program}.txt"
        script.write_text(ADB.format(calls=tmp_path / "calls", log=log))
        script.chmod(0o700)
        (tmp_path / program).touch()
        monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
        monkeypatch.setenv(adb.VARIABLE, str(tmp_path / program))
        return device("adb:R58M123")

    return make


def test_executor_runner_tells_a_mean(phone, tmp_path):
    models = {"a": Artefact(b"x", ".pte"), "b": Artefact(b"yy", ".pte")}
    told = phone("executor_runner").measure(models, models["a"], threads=2, repeats=75)
    known = told["b"]
    assert known.p50_ms == pytest.approx(45.75 / 15)
    assert (known.p90_ms, known.p99_ms, known.peak_memory_bytes) == (None, None, None)
    assert (known.relative, known.size_bytes, known.repeats, known.warm_up) == (1, 2, 75, 0)
    assert (known.device, known.os) == ("Google Pixel 7", "Android 14")
    assert known.runtime == "parsed from executor_runner's log"
    calls = (tmp_path / "calls").read_text().splitlines()
    runs = [call for call in calls if "./runner" in call]
    assert len(runs) == 3 * adb.ROUNDS
    assert "--model_path=model-0.pte --cpu_threads=2 --num_executions=15" in runs[0]
    assert "--model_path=model-2.pte" in runs[2]
    assert calls[-1].startswith("-s R58M123 shell rm -rf /data/local/tmp/automed-")


def test_perf_test_tells_percentiles_and_memory(phone, tmp_path):
    model = Artefact(b"x", ".onnx")
    (known,) = phone("onnxruntime_perf_test").measure({"a": model}, threads=1, repeats=50).values()
    assert known.p50_ms == pytest.approx(1.85674)
    assert known.p90_ms == pytest.approx(1.87215)
    assert known.p99_ms == pytest.approx(1.90312)
    assert known.peak_memory_bytes == 36696064
    assert known.relative is None
    assert "-e cpu -I -s -m times -r 10 -x 1 model-0.onnx" in (tmp_path / "calls").read_text()


def test_a_log_without_times_is_refused_and_the_folder_removed(phone, tmp_path):
    (tmp_path / "log").write_text("CANNOT LINK EXECUTABLE\n")
    made = phone("executor_runner", tmp_path / "log")
    with pytest.raises(DeviceError, match="tells no time, it ends with: CANNOT LINK EXECUTABLE"):
        made.measure({"a": Artefact(b"x", ".pte")})
    assert " rm -rf " in (tmp_path / "calls").read_text().splitlines()[-1]


def test_a_file_that_the_binary_does_not_take(phone):
    with pytest.raises(DeviceError, match=r"executor_runner runs .pte, not a.onnx"):
        phone("executor_runner").measure({"a.onnx": Artefact(b"x", ".onnx")})


def test_phones_that_are_seen(phone):
    phone("executor_runner")
    assert adb.found() == ["R58M123"]
    assert device("adb:R58M123").describe()["device"] == "Google Pixel 7"
    with pytest.raises(UnreachableError, match="failed: error: device 'gone' not found"):
        device("adb:gone").describe()


def test_without_adb_or_a_binary(phone, monkeypatch, tmp_path):
    made = phone("executor_runner")
    monkeypatch.setenv(adb.VARIABLE, "")
    with pytest.raises(DeviceError, match="set AUTOMED_ADB_RUNNER to the file of executor_runner"):
        made.measure({"a": Artefact(b"x", ".pte")})
    monkeypatch.setenv("PATH", str(tmp_path))
    assert adb.found() == []
    with pytest.raises(DeviceError, match="there is no adb here; install Android's platform-tools"):
        made.describe()


def test_outputs_are_not_brought_back_and_addresses_are_checked(phone):
    with pytest.raises(DeviceError, match="brings no outputs back"):
        phone("executor_runner").run(Artefact(b"x", ".pte"), [])
    for address in ("", "-x", "a b"):
        with pytest.raises(DeviceError, match="name it adb:SERIAL"):
            device(f"adb:{address}")
