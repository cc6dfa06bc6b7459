"""What a file in ORT format is beside the contract of every target."""

import onnx
import pytest
from small_models import TELLTALES, model, sample, scans

from automed.errors import ExportError
from automed.exporters import MAX_DIFFERENCE, onnx_file, ort_format, outputs, verify

FACTS = {"task": "lung-ct", "notice": "naïve"}


@pytest.fixture(scope="module")
def network():
    return model(16, 16)


@pytest.fixture(scope="module")
def artefact(network):
    return ort_format.export(network, sample(16, 16).inputs, FACTS)


def test_metadata_is_kept(artefact):
    facts = ort_format.load(artefact).metadata
    assert {name: facts[name] for name in FACTS} == FACTS


def test_it_computes_what_its_network_does(artefact, network):
    images = [scans(16, 16)]
    given = outputs(ort_format.load(artefact), images)
    assert verify("it", given, network.outputs(images)) <= MAX_DIFFERENCE


def test_file_is_not_onnx_and_onnx_is_not_taken_for_it(artefact, network):
    assert artefact[4:8] == b"ORTM"
    with pytest.raises(Exception, match="parsing"):
        onnx.load_from_string(artefact)
    with pytest.raises(ExportError, match="not in ORT format"):
        ort_format.load(onnx_file.export(network, sample(16, 16).inputs, FACTS))


def test_it_runs_on_processors_of_any_make(artefact):
    assert b"ReorderOutput" not in artefact  # from the layout of Intel's processors


def test_file_tells_nothing_of_the_machine_it_was_made_on(artefact):
    content = artefact.replace(b"org.pytorch.aten", b"")  # a set of operators
    assert [t for t in TELLTALES if t.encode() in content] == []


def test_digest_is_that_of_the_graph_in_onnx(artefact, network):
    graph = onnx_file.export(network, sample(16, 16).inputs, {})
    assert ort_format.digest(artefact) == onnx_file.digest(graph)
