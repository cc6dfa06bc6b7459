"""Predicted latencies: what is read from a graph, what is learnt from sums, what a file must be."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from small_models import model as small_model
from small_models import sample, scans

from automed import api, data, evaluate, registry
from automed.devices import Artefact, device, predictor
from automed.devices.operators import Operator, operators
from automed.devices.predicted import Accuracy
from automed.errors import DeviceError
from automed.exporters import onnx_file
from automed.lowering import deployed
from automed.measure.counts import num_macs

KINDS = ("Conv", "Conv depthwise", "Conv pointwise", "Add", "MaxPool")


def test_operators_of_the_reference(model):
    convs = [o for o in operators(model.content) if "Conv" in o.kind]
    assert [o.channels_out for o in convs] == [16, 32, 32]
    assert [o.pixels for o in convs] == [48 * 48] * 3
    assert [o.work for o in convs] == [
        48 * 48 * 9 * i * o for i, o in ((1, 16), (16, 32), (32, 32))
    ]
    assert [o.weight_bytes for o in convs] == [
        4 * 9 * i * o for i, o in ((1, 16), (16, 32), (32, 32))
    ]
    assert {o.manner for o in convs} == {"3x3"}


@pytest.mark.parametrize(
    ("task_name", "family"),
    [("lung-ct", "inception"), ("ecg-beats", "cnn-rnn")],
)
def test_work_is_what_torch_counts(task_name, family):
    task = registry.task(task_name)
    job = evaluate.Job(task=task, data=task.data)
    sample = data.open_parts(evaluate.source(job)).train.sample
    network = registry.family(family)().build(sample).eval()
    graph = onnx_file.export(deployed(network, task, sample), sample.inputs, {})
    worked = ("Conv", "Gemm", "MatMul", "LSTM", "GRU")
    found = sum(o.work for o in operators(graph) if any(kind in o.kind for kind in worked))
    zeros = (torch.zeros(1, *spec.shape) for spec in sample.inputs)
    assert found == num_macs(network, *zeros)


def test_what_is_no_graph_has_no_operators():
    with pytest.raises(DeviceError, match="only be predicted of an ONNX file that onnxruntime"):
        operators(b"none")


def cost(o):
    """Milliseconds of an operator, no linear function of its sizes."""
    rate = {"Conv": 4e7, "Conv depthwise": 6e6, "Conv pointwise": 3e7}.get(o.kind, 2e6)
    slow = 1 if o.channels_out % 16 == 0 else 1.7
    return 0.003 + slow * o.work**0.97 / rate + o.moved_bytes / 2e7


@pytest.fixture(scope="module")
def graphs():
    rng = np.random.default_rng(0)

    def operator():
        kind = str(rng.choice(KINDS))
        pixels, out = int(rng.choice([16, 64, 256, 1024])), int(rng.choice([8, 12, 16, 32, 48]))
        inside = 1 if kind in ("Conv depthwise", "Add") else out
        taps = 1 if kind in ("Conv pointwise", "Add") else 9
        return Operator(
            kind=kind,
            manner="3x3" if taps == 9 else "",
            work=pixels * out * inside * taps if kind != "Add" else 0,
            moved_bytes=8 * pixels * out,
            weight_bytes=4 * inside * out * taps if kind.startswith("Conv") else 0,
            channels_in=out,
            channels_out=out,
            pixels=pixels,
        )

    return [[operator() for _ in range(rng.integers(5, 40))] for _ in range(60)]


def test_latencies_of_held_out_graphs(graphs):
    noise = np.random.default_rng(1).normal(0, 0.02, len(graphs))
    timed = np.array([sum(map(cost, graph)) for graph in graphs]) * (1 + noise)
    told = predictor.held_out(graphs, timed)
    assert np.mean(np.abs(told / timed - 1) <= 0.1) > 0.85
    assert spearmanr(told, timed).statistic > 0.97


def test_a_graph_is_never_predicted_from_its_own_latency(graphs):
    timed = np.array([sum(map(cost, graph)) for graph in graphs])
    changed = timed.copy()
    changed[7] *= 10
    before, after = (predictor.held_out(graphs, latencies) for latencies in (timed, changed))
    assert after[7] == pytest.approx(before[7])
    assert not np.allclose(after, before)


@pytest.fixture
def board(tmp_path, graphs):
    """A file as `automed profile` writes it, of graphs whose costs are known."""
    rows = []
    for i, graph in enumerate(graphs):
        relative = sum(map(cost, graph))
        rows.append(
            {
                "name": f"it-{i}",
                "operators": [asdict(o) for o in graph],
                "relative": [relative, relative * 1.05],
                "p50_ms": [relative * 0.5, relative * 1.05 * 0.5],
            }
        )
    facts = {"format": 1, "device": "host CPU: it", "os": "Linux", "runtime": "onnxruntime 1"}
    path = tmp_path / "board.json"
    path.write_text(json.dumps({**facts, "threads": 1, "rows": rows}))
    return path


def test_a_file_is_a_device(board, model):
    it = device(f"predicted:{board}")
    assert it.accuracy.noise_within == 1
    assert it.accuracy.architectures == 60
    assert "held-out architectures within 10%" in it.describe()["accuracy"]
    (known,) = it.measure({"it": model}, model).values()
    assert known.p50_ms == pytest.approx(known.relative * 0.5)
    assert known.error == it.accuracy.error > 0
    assert (known.p90_ms, known.peak_memory_bytes, known.repeats) == (None, None, 0)
    assert known.device == "predicted for host CPU: it"
    assert known.size_bytes == len(model.content)


def test_int8_is_not_told_from_single_precision(board):
    given = small_model(16, 16, width=32)
    quantizer = registry.part("quantizer", "onnx")
    attempts = quantizer.attempts(given, sample(16, 16).inputs, {}, [scans(16, 16, number=8)])
    with pytest.raises(DeviceError, match=r"it is in int8, and board.json .* QLinearConv"):
        device(f"predicted:{board}").measure({"it": Artefact(next(attempts).artefact, ".onnx")})


def test_bench_tells_that_a_latency_is_predicted(cli, board, tmp_path):
    (tmp_path / "it.onnx").write_bytes(onnx_file.reference())
    told = cli("bench", tmp_path / "it.onnx", "--device", f"predicted:{board}")
    assert told.code == 0, told.stderr
    assert "predicted for host CPU: it" in told.stdout
    assert " \u00b1 " in told.stdout
    assert all(len(line) <= 100 for line in told.stdout.splitlines())


def test_a_search_says_that_its_latencies_are_predicted(board, tmp_path, inline):
    name = f"predicted:{board}"
    run = api.search(
        data="phantom:lung-ct?patients=30&seed=1",
        out=tmp_path / "run",
        trials=1,
        epochs=1,
        workers=1,
        executor="inline",
        families=["vgg"],
        baselines=[],
        devices=(name,),
        max_drop=None,
    )
    error = device(name).accuracy.error
    assert run.best.costs["latency_error"] == error
    assert run.results.timed_on == "onnx on predicted:board.json, batch 1"
    page = (run.folder / "report.html").read_text()
    assert str(board.parent) not in page
    assert f"predicted \u00b1 {error:.0%}" in page
    assert f"predicted \u00b1 {error:.0%}" in (run.folder / "model-card.md").read_text()


def test_files_that_are_none(board, model, tmp_path):
    known = json.loads(board.read_text())
    for content, said in (
        ("{", "is no file that `automed profile` wrote"),
        ("[]", "is no file that this `automed profile` wrote"),
        (json.dumps({**known, "rows": known["rows"][:3]}), "holds 3 architectures, too few"),
    ):
        (tmp_path / "other.json").write_text(content)
        with pytest.raises(DeviceError, match=said):
            device(f"predicted:{tmp_path}/other.json").measure({"it": model})
    with pytest.raises(DeviceError, match="is about 1 threads, not 2"):
        device(f"predicted:{board}").measure({"it": model}, threads=2)
    with pytest.raises(DeviceError, match="only be predicted of an ONNX file"):
        device(f"predicted:{board}").measure({"it": Artefact(b"none", ".pte")})
    with pytest.raises(DeviceError, match="runs no model"):
        device(f"predicted:{board}").run(model, [])
    with pytest.raises(DeviceError, match="name a file that `automed profile` wrote"):
        device("predicted")


def test_accuracy_in_words():
    some = Accuracy(within=0.7, noise_within=0.93, spearman=0.98, error=0.2, architectures=60)
    assert str(some) == (
        "70% of 60 held-out architectures within 10% (timed again: 93%), Spearman 0.980, "
        "90% within 20%"
    )


def test_profile_refuses_a_folder_that_is_not_there(cli, tmp_path):
    out = tmp_path / "gone" / "board.json"
    told = cli("profile", "host", "--task", "lung-ct", "--out", out)
    assert (told.code, told.stderr.count("\n")) == (2, 1)
    assert "there is no such folder" in told.stderr
    told = cli("profile", "host", "--task", "lung-ct", "--out", tmp_path)
    assert (told.code, told.stderr.count("\n")) == (2, 1)
    assert "it is a folder" in told.stderr


@pytest.mark.slow
def test_profile_writes_a_file_that_is_a_device(cli, tmp_path):
    out = tmp_path / "board.json"
    options = ("--task", "lung-ct", "--architectures", "12", "--repeats", "5", "--out", out)
    told = cli("profile", "host", *options)
    assert told.code == 0, told.stderr
    assert "of 12 held-out architectures within 10%" in told.stdout
    rows = json.loads(out.read_text())["rows"]
    assert len({row["name"] for row in rows}) == 12
    for row in rows:
        assert len(row["p50_ms"]) == len(row["relative"]) == 2
        assert sum(o["work"] for o in row["operators"]) > 0
    (tmp_path / "it.onnx").write_bytes(onnx_file.reference())
    told = cli("bench", tmp_path / "it.onnx", "--device", f"predicted:{out}", "--json")
    assert json.loads(told.stdout)["it.onnx"]["error"] > 0
