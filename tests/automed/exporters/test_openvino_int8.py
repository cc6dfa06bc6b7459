"""What OpenVINO's models in 8-bit integers must be."""

import itertools
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_models import TASK, TELLTALES, model, model_of, raw_of, sample, scans

from automed import registry
from automed.exporters import archive, openvino_file, openvino_int8, outputs
from automed.lowering import deployed
from automed.sample import InputSpec

FACTS = {"task": "lung-ct"}
INPUTS = sample(24, 24).inputs


def attempts(network, number=16):
    return openvino_int8.attempts(network, INPUTS, FACTS, [scans(24, 24, number=number, seed=1)])


@pytest.fixture(scope="module")
def network():
    return model(24, 24, width=16)


@pytest.fixture(scope="module")
def made(network):
    return list(attempts(network))


def error(artefact, network):
    """Of the first output, on average over images that were not calibrated with."""
    images = [scans(24, 24, number=40, seed=2)]
    return np.abs(outputs(openvino_file.load(artefact), images) - network.outputs(images)).mean()


def test_attempts_go_from_the_boldest_to_the_gentlest(made, network):
    hows = [attempt.how for attempt in made]
    assert hows[:3] == ["int8 per tensor", "int8 per channel", "int8 per channel, biases corrected"]
    assert all(how.endswith("layers in fp32") for how in hows[3:])
    numbers = [int(how.split()[3]) for how in hows[3:]]
    assert len(numbers) >= 2
    assert numbers == sorted(set(numbers))
    errors = [error(attempt.artefact, network) for attempt in made]
    assert errors[-1] < 0.6 * errors[0]
    assert max(errors) < 0.05


def test_weights_take_a_quarter(made, network):
    full = openvino_file.export(network, INPUTS, FACTS)
    sizes = [len(archive.unpack(a)["model.bin"]) for a in (full, made[0].artefact)]
    assert sizes[1] < 0.35 * sizes[0]


def test_every_attempt_computes_otherwise_or_has_other_weights(made, network):
    assert len({attempt.artefact for attempt in made}) == len(made)
    full = openvino_file.export(network, INPUTS, FACTS)
    assert openvino_file.digest(full) not in {openvino_file.digest(a.artefact) for a in made}


def test_windowing_and_activation_stay_in_fp32(made):
    runner = openvino_file.load(made[0].artefact)
    image = scans(24, 24, number=1).astype(np.float32)
    extreme = image.copy()
    extreme[0, 0, :12], image[0, 0, :12] = 32767, 400  # rounded before, nothing else would be left
    np.testing.assert_allclose(runner(extreme), runner(image), atol=1e-6)
    np.testing.assert_allclose(runner(image).sum(), 1.0, atol=1e-6)
    assert runner.outputs(image)["probabilities"].dtype == np.float32
    assert runner.metadata == FACTS


def test_columns_of_a_table_are_told_apart():
    table = InputSpec(name="table", kind="table", channels=3)
    given = replace(sample(), inputs=(table,))
    network = registry.family("dnn")().build(given)
    rng = np.random.default_rng(0)
    rows = (rng.normal(0, 1, (256, 3)) * [1e4, 1.0, 1e-2]).astype(np.float32)
    labels = torch.from_numpy(rows[:, 2] > 0).long()  # what only the finest column tells
    with torch.random.fork_rng():
        torch.manual_seed(0)
        optimiser = torch.optim.Adam(network.parameters(), 0.01)
        for _ in range(60):
            loss = torch.nn.functional.cross_entropy(network(torch.from_numpy(rows)), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    model = deployed(network, TASK, given)
    wanted = model.outputs([rows])
    assert ((wanted[:, 1] > 0.5) == labels.numpy()).mean() > 0.9
    first = next(openvino_int8.attempts(model, given.inputs, {}, [rows]))
    answers = outputs(openvino_file.load(first.artefact), [rows])
    assert np.abs(answers - wanted).mean() < 0.05


def test_attempt_is_made_when_it_is_asked_for_and_always_alike(made, network):
    first, second = itertools.islice(attempts(network), 2)
    assert (first, second) == tuple(made[:2])


def test_files_tell_nothing_of_the_machine(made):
    assert [t for a in made for t in TELLTALES if t.encode() in a.artefact] == []


def test_volumes_are_quantized():
    network = model(12, 12, 12)
    images = scans(12, 12, 12, number=8)
    first = next(openvino_int8.attempts(network, sample(12, 12, 12).inputs, {}, [images]))
    given = outputs(openvino_file.load(first.artefact), [images])
    np.testing.assert_allclose(given, network.outputs([images]), atol=0.1)


@pytest.mark.parametrize("size", [(32, 32), (16, 18, 20)], ids=str)
def test_displacements_are_not_rounded(size):
    network, pair = model_of("registration", "registration", size)
    images = raw_of(pair, 6)
    wanted = network.outputs(images)
    first = next(openvino_int8.attempts(network, pair.inputs, {}, images))
    differs = outputs(openvino_file.load(first.artefact), images) - wanted
    assert np.sqrt(np.mean(differs**2)) < 0.04 * wanted.std()


@pytest.mark.slow
def test_nothing_is_printed_written_or_sent(tmp_path, tmp_path_factory):
    script = """
import sys
def watched(event, _):
    if event.startswith(("socket.connect", "socket.getaddrinfo")):
        print("sent", event, flush=True)
sys.addaudithook(watched)
from small_models import model, sample, scans
from automed.exporters import openvino_int8
images = [scans(16, 16, number=4)]
next(openvino_int8.attempts(model(16, 16), sample(16, 16).inputs, {}, images))
"""
    shared = [p for p in sys.path if p.endswith("shared")]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={
            "HOME": str(tmp_path),
            "MPLCONFIGDIR": str(tmp_path_factory.mktemp("fonts")),
            "PATH": "",
            "PYTHONPATH": ":".join(shared),
        },
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert list(tmp_path.iterdir()) == []
