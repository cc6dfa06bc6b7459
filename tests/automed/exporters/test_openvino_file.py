"""What an OpenVINO artefact is beside the contract of every target."""

import io
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from small_models import TELLTALES, model, model_of, raw_of, sample

from automed.errors import ExportError
from automed.exporters import MAX_DIFFERENCE, archive, openvino_file, outputs, verify, volumes

FACTS = {"task": "lung-ct", "notice": "naïve"}


@pytest.fixture(scope="module")
def artefact():
    return openvino_file.export(model(16, 16), sample(16, 16).inputs, FACTS)


def test_file_is_a_plain_zip_of_graph_weights_and_metadata(artefact):
    with zipfile.ZipFile(io.BytesIO(artefact)) as file:
        parts = file.infolist()
    assert [part.filename for part in parts] == ["model.xml", "model.bin", "metadata.json"]
    assert {part.compress_type for part in parts} == {zipfile.ZIP_STORED}
    assert {part.date_time for part in parts} == {(1980, 1, 1, 0, 0, 0)}
    assert openvino_file.load(artefact).metadata == FACTS


def test_file_tells_nothing_of_the_machine_it_was_made_on(artefact):
    assert [t for t in TELLTALES if t.encode() in artefact] == []


@pytest.mark.parametrize("lost", ["model.xml", "model.bin", "metadata.json"])
def test_file_without_one_of_its_parts_is_refused(artefact, lost):
    parts = archive.unpack(artefact)
    del parts[lost]
    with pytest.raises(ExportError, match="no OpenVINO model"):
        openvino_file.load(archive.pack(parts))


def test_damaged_weights_are_refused(artefact):
    place = artefact.index(archive.unpack(artefact)["model.bin"])
    damaged = artefact[: place + 64] + bytes([artefact[place + 64] ^ 1]) + artefact[place + 65 :]
    with pytest.raises(ExportError, match="no OpenVINO model"):
        openvino_file.load(damaged)


def test_volumes_are_warped():
    network, pair = model_of("registration", "registration", (16, 18, 20))
    runner = openvino_file.load(openvino_file.export(network, pair.inputs, {}))
    raw = raw_of(pair)
    wanted = network.outputs(raw)
    assert np.ptp(wanted) > 1, "nothing moves: agreement would mean nothing"
    assert verify("it", outputs(runner, raw), wanted) <= MAX_DIFFERENCE


def test_operation_that_openvino_lacks_is_named(monkeypatch):
    network, pair = model_of("registration", "registration", (16, 16, 16))
    monkeypatch.setattr(volumes, "READ", None)
    with pytest.raises(ExportError, match=r"GridSample.*onnx"):
        openvino_file.export(network, pair.inputs, {})


def test_nothing_is_printed_written_or_sent(tmp_path):
    script = """
import sys
def watched(event, _):
    if event.startswith(("socket.connect", "socket.getaddrinfo")):
        print("sent", event, flush=True)
sys.addaudithook(watched)
from automed.exporters import openvino_file
openvino_file.load(openvino_file.reference()).rehearse()
import openvino_telemetry  # whoever wants it still has it
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "PATH": ""},
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert list(tmp_path.iterdir()) == []
