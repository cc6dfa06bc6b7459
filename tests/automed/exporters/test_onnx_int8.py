"""int8 for onnxruntime: which nodes it takes, what it leaves alone, and that it is worth it."""

import tempfile
import timeit

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from automed import registry
from automed.exporters import onnx_file, onnx_int8, outputs
from automed.exporters.deployed import Deployed
from automed.sample import InputSpec, SampleSpec, TargetSpec

PAIR = ("QuantizeLinear", "DequantizeLinear")
PROBLEMS = {"unet": "segmentation"}
NETS = [
    ("vgg", (32, 32), {}),
    ("resnet", (32, 32), {"stem": "stride4", "activation": "silu", "attention": "se"}),
    ("mobile", (32, 32), {"convolution": "separable", "attention": "cbam"}),
    ("inception", (32, 32), {"activation": "hardswish"}),
    ("cnn-rnn", (8, 24, 24), {"units": 16}),
    ("resnet", (12, 12, 12), {}),
    ("unet", (32, 32), {}),
]


def sample(*size, kind="label", channels=1):
    image = InputSpec(size=size, channels=channels, window=(-1000.0, 400.0))
    return SampleSpec(inputs=(image,), targets=(TargetSpec(kind=kind, classes=("a", "b")),))


def deployed(network, given, problem="classification"):
    """A network with statistics of its own in its norms, as training leaves them."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        for _ in range(3):
            network.train()(torch.rand(8, *given.image.shape))
    return Deployed(network.eval(), given, registry.part("problem", problem).PROBLEM)


def model(family, size, **config):
    problem = PROBLEMS.get(family, "classification")
    given = sample(*size, kind="mask" if problem == "segmentation" else "label")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = registry.family(family)(**({"width": 8, "stages": 3} | config)).build(given)
    return deployed(network, given, problem), given.inputs


def raw(*shape, number=12, seed=3):
    return np.random.default_rng(seed).uniform(-1500, 800, (number, *shape)).astype(np.float32)


def every(network, inputs, samples, metadata=None):
    return list(onnx_int8.attempts(network, inputs, metadata or {}, samples))


def as_run(artefact, tmp_path):
    """The nodes onnxruntime makes of a file, as (operation, types of inputs)."""
    path = tmp_path / "optimised.onnx"
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 4
    onnxruntime.InferenceSession(artefact, options, providers=["CPUExecutionProvider"])
    return list(onnx.load(path).graph.node)


def int8_weights(artefact):
    weights = onnx.load_from_string(artefact).graph.initializer
    return sum(w.data_type == onnx.TensorProto.INT8 and len(w.dims) > 1 for w in weights)


def sources(graph):
    return {output: node for node in graph.node for output in node.output}


@pytest.fixture(scope="module", params=NETS, ids=str)
def made(request):
    """Raw samples, the file in fp32, and every attempt at int8."""
    family, size, config = request.param
    network, inputs = model(family, size, **config)
    samples = [raw(*inputs[0].shape)]
    return samples, onnx_file.export(network, inputs, {}), every(network, inputs, samples)


def test_layers_run_in_int8_and_the_rest_in_fp32(made, tmp_path):
    _, _, attempts = made
    for attempt in attempts:
        told = attempt.how.split(", ")
        in_fp32 = int(told[1].split()[0]) if len(told) > 1 else 0
        graph = onnx.load_from_string(attempt.artefact).graph
        source = sources(graph)
        whole = {w.name for w in graph.initializer if w.data_type == onnx.TensorProto.INT8}
        layers = [n for n in graph.node if n.op_type in onnx_int8.LAYERS]
        int8 = [
            n
            for n in layers
            if n.input[1] in source
            and source[n.input[1]].op_type == "DequantizeLinear"
            and source[n.input[1]].input[0] in whole
            and source[n.input[0]].op_type == "DequantizeLinear"
        ]
        assert len(layers) - len(int8) == in_fp32
        ran = [n.op_type for n in as_run(attempt.artefact, tmp_path)]
        assert ran.count("QLinearConv") == sum(n.op_type == "Conv" for n in int8)
        assert ran.count("Conv") + ran.count("FusedConv") == sum(
            n.op_type == "Conv" for n in layers if n not in int8
        )


def test_windowing_and_activation_at_the_end_are_in_fp32(made):
    samples, _, attempts = made
    for attempt in attempts[:2]:
        graph = onnx.load_from_string(attempt.artefact).graph
        first = next(n for n in graph.node if n.op_type == "Conv")
        before = list(graph.node)[: list(graph.node).index(first)]
        windowing = [n.op_type for n in before if n.op_type in ("Sub", "Mul", "Clip")]
        assert windowing == ["Sub", "Mul", "Clip"]
        rounded = {o for n in before if n.op_type == "DequantizeLinear" for o in n.output}
        assert all(
            rounded.isdisjoint(n.input) for n in before if n.op_type in ("Sub", "Mul", "Clip")
        )
        assert sources(graph)[graph.output[0].name].op_type == "Softmax"
        given = outputs(onnx_file.load(attempt.artefact), samples)
        np.testing.assert_allclose(given.sum(axis=1), 1.0, atol=1e-5)


def test_it_is_smaller_and_answers_nearly_alike(made):
    samples, fp32, given = made
    wanted = outputs(onnx_file.load(fp32), samples)
    assert given[0].how.startswith("int8 per tensor")
    assert all(attempt.how.startswith("int8 per channel") for attempt in given[1:])
    assert all(len(attempt.artefact) < 0.7 * len(fp32) for attempt in given[:2])
    in_int8 = [int8_weights(attempt.artefact) for attempt in given[1:]]
    assert in_int8 == sorted(in_int8, reverse=True)
    assert in_int8[-1] < in_int8[0] == int8_weights(given[0].artefact)
    for attempt in given:
        np.testing.assert_allclose(
            outputs(onnx_file.load(attempt.artefact), samples), wanted, atol=0.1
        )


def test_metadata_inputs_and_outputs_are_those_of_the_file_in_fp32():
    network, inputs = model("unet", (16, 16))
    facts = {"task": "it", "automed": "0.1.0", "classes": '["a", "b"]'}
    fp32 = onnx.load_from_string(onnx_file.export(network, inputs, facts))
    for attempt in every(network, inputs, [raw(1, 16, 16)], facts):
        int8 = onnx.load_from_string(attempt.artefact)
        assert {p.key: p.value for p in int8.metadata_props} == facts
        assert (int8.producer_name, int8.producer_version) == ("automed", "0.1.0")
        assert list(int8.graph.input) == list(fp32.graph.input)
        assert list(int8.graph.output) == list(fp32.graph.output)
        onnx.checker.check_model(int8)
        assert attempt.artefact.count(b"onnx.infer") == 0


BAD = 500.0


def greatest(artefact):
    """The largest number of every weight in float32."""
    weights = onnx.load_from_string(artefact).graph.initializer
    return [float(onnx.numpy_helper.to_array(w).max()) for w in weights if w.data_type == 1]


def bad_layer():
    """Five layers; in the fourth, weights of a channel that is always 0 take up the whole scale."""
    layers = [nn.Conv2d(8, 8, 3, padding=1) for _ in range(3)]
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(),
        layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2], nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2),
    )  # fmt: skip
    with torch.no_grad():
        layers[1].weight[0], layers[1].bias[0] = 0, -1
        layers[2].weight[:, 0] = BAD
    given = sample(24, 24)
    return Deployed(
        network, given, registry.part("problem", "classification").PROBLEM
    ), given.inputs


def test_the_layer_that_hurts_most_goes_to_fp32_first():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network, inputs = bad_layer()
    samples = [raw(1, 24, 24)]
    fp32 = onnx_file.export(network, inputs, {})
    wanted = outputs(onnx_file.load(fp32), samples)
    given = every(network, inputs, samples)
    moved = [np.abs(outputs(onnx_file.load(a.artefact), samples) - wanted).max() for a in given]
    kept = [BAD in greatest(a.artefact) for a in given]
    assert [a.how for a in given[:3]] == [
        "int8 per tensor, 1 of 5 layers in fp32",
        "int8 per channel, 1 of 5 layers in fp32",
        "int8 per channel, 2 of 5 layers in fp32",
    ]
    assert kept == [False, False, *[True] * len(given[2:])]
    assert moved[2] < moved[1] / 5


def test_calibration_sees_the_given_samples_and_no_others():
    network = nn.Sequential(
        nn.Conv2d(4, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)
    )
    given = sample(12, 12, channels=4)
    network = deployed(network, given)

    def first_scale(*greatest):
        samples = np.stack([np.full((4, 12, 12), high, np.float32) for high in greatest])
        attempt = next(onnx_int8.attempts(network, given.inputs, {}, [samples]))
        graph = onnx.load_from_string(attempt.artefact).graph
        first = next(n for n in graph.node if n.op_type == "QuantizeLinear")
        weights = {w.name: onnx.numpy_helper.to_array(w) for w in graph.initializer}
        return float(weights[first.input[1]])

    half, quarter = -300.0, -650.0
    assert first_scale(quarter, half, quarter) == pytest.approx(0.5 / 255)
    assert first_scale(quarter, quarter) == pytest.approx(0.25 / 255)
    assert first_scale(9000.0) == pytest.approx(1 / 255)


def test_a_pool_beside_a_layer_in_fp32_reads_what_is_exact():
    network, inputs = model("inception", (32, 32), width=16)
    for attempt in every(network, inputs, [raw(1, 32, 32)])[:2]:
        graph = onnx.load_from_string(attempt.artefact).graph
        made = sources(graph)
        pool = next(n for n in graph.node if n.op_type == "MaxPool")
        assert made[pool.input[0]].op_type not in PAIR


def test_nothing_to_gain_gives_no_attempt():
    class Bare(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)

        def forward(self, x):
            return self.conv(x).mean((2, 3))

    given = sample(12, 12)
    network = Deployed(Bare(), given, registry.part("problem", "classification").PROBLEM)
    assert every(network, given.inputs, [raw(1, 12, 12)]) == []


def test_nothing_is_left_behind_and_nothing_said(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    network, inputs = model("vgg", (16, 16))
    capfd.readouterr()
    artefacts = [a.artefact for a in every(network, inputs, [raw(1, 16, 16)])]
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []
    assert not [a for a in artefacts if str(tmp_path).encode() in a]


def test_files_are_the_same_twice():
    first, second = (
        [a.artefact for a in every(*model("mobile", (16, 16)), [raw(1, 16, 16)])] for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize(("family", "size"), [("resnet", (64, 64)), ("resnet", (24, 24, 24))])
def test_it_is_faster_where_there_is_much_to_multiply(family, size):
    network, inputs = model(family, size, width=32, stages=3)
    int8 = next(onnx_int8.attempts(network, inputs, {}, [raw(*inputs[0].shape, number=2)]))
    files = (int8.artefact, onnx_file.export(network, inputs, {}))
    runs = [onnx_file.load(content).rehearse for content in files]
    seconds = np.array([[timeit.timeit(run, number=3) for run in runs] for _ in range(10)])
    in_int8, in_fp32 = np.median(seconds[1:], axis=0)
    assert in_int8 < in_fp32


class Tied(nn.Module):
    """An encoder whose weights the decoder reads too, transposed, between layers with their own."""

    def __init__(self):
        super().__init__()
        self.before, self.link, self.after = nn.Linear(144, 32), nn.Linear(32, 24), nn.Linear(32, 2)

    def forward(self, x):
        hidden = self.link(self.before(x.flatten(1)).relu()).relu()
        return self.after((hidden @ self.link.weight).relu())


def test_weights_that_nodes_share_stay_in_fp32():
    given = sample(12, 12)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Deployed(Tied(), given, registry.part("problem", "classification").PROBLEM)
    samples = [raw(1, 12, 12)]
    wanted = outputs(onnx_file.load(onnx_file.export(network, given.inputs, {})), samples)
    attempts = every(network, given.inputs, samples)
    assert attempts[0].how == "int8 per tensor, 2 of 4 layers in fp32"
    for attempt in attempts:
        in_int8 = outputs(onnx_file.load(attempt.artefact), samples)
        np.testing.assert_allclose(in_int8, wanted, atol=0.02)
