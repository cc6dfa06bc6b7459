"""What is known of a candidate on every target before it is trained."""

import signal
import time

import pytest
import torch
from small_models import TASK, sample
from torch import nn

from automed import registry
from automed.errors import DeviceError, UnreachableError
from automed.lowering import Lowered, limited, lowered, memo_key
from automed.timing import PATIENCE_S, Loaded, Place, places, runtime, timed

BOTH = ("onnx", "openvino")
SAMPLE = sample(16, 16)


class Det(nn.Module):
    """Has an operation that onnxruntime knows and OpenVINO does not."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1, 2)

    def forward(self, x):
        return self.linear(torch.linalg.det(x[:, :, :4, :4]))


def lower(network=None, targets=BOTH, *, slow=False, before=None, latencies=None):
    network = network or registry.family("vgg")(width=4, stages=2, depth=1).build(SAMPLE)
    return lowered(
        network,
        TASK,
        SAMPLE,
        places(targets, ("host",)),
        name="it",
        slow=slow,
        before=before,
        latencies=latencies or {},
    )


def test_a_device_that_is_gone_is_waited_for(monkeypatch):
    pauses = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    place = Place("onnx", "ssh:127.0.0.1:9", "")
    with pytest.raises(UnreachableError, match=r"cannot be reached|no ssh here"):
        timed(place, {"it": Loaded(b"", None)})
    assert pauses == [*PATIENCE_S]


def test_what_a_device_cannot_run_is_refused(monkeypatch):
    def crashed(place, files):
        raise DeviceError("board: the runtime crashed with exit code 139")

    monkeypatch.setattr("automed.lowering.timed", crashed)
    known = lower(targets=("onnx",))
    assert known.refusals == {"onnx": "board: the runtime crashed with exit code 139"}
    assert "latency_ms" not in known.costs


@pytest.fixture(scope="module")
def known():
    return lower()


def test_the_first_target_gives_plain_costs_and_others_give_theirs(known):
    each = {"latency_ms", "latency_p95_ms", "latency_relative", "size_bytes"}
    wanted = each | {f"{name}@openvino" for name in each} | {"params", "macs"}
    assert known.costs.keys() == wanted
    assert all(value > 0 for value in known.costs.values())
    assert known.refusals == {}
    turned = lower(targets=("openvino", "onnx"))
    assert turned.costs.keys() == {name.replace("openvino", "onnx") for name in wanted}
    assert turned.costs["size_bytes"] == known.costs["size_bytes@openvino"]


def test_what_is_known_is_not_done_again(known):
    assert lower(before=known) == known
    half = Lowered(graph="g", costs={"latency_ms": 1.0, "params": 1.0, "macs": 1.0})
    more = lower(before=half)
    assert (more.graph, more.costs["latency_ms"]) == ("g", 1.0)
    assert "latency_ms@openvino" in more.costs


def test_a_slow_target_waits_unless_it_is_the_first(monkeypatch):
    monkeypatch.setattr(registry.part("exporter", "openvino"), "SLOW", True)
    assert "latency_ms@openvino" not in lower().costs
    assert "latency_ms@openvino" in lower(slow=True).costs
    assert "latency_ms" in lower(targets=("openvino",)).costs


def test_a_target_that_lacks_an_operation_refuses():
    there = lower(Det())
    assert there.refusals.keys() == {"openvino"}
    assert "OpenVINO cannot run" in there.refusals["openvino"]
    assert "latency_ms" in there.costs
    alone = lower(Det(), ("openvino",))
    assert (alone.graph, alone.costs.keys()) == ("", {"params", "macs"})
    assert lower(Det(), before=there) == there


def test_known_latencies_are_taken_for_the_target_they_are_of(known):
    made_up = {"latency_ms": 5.0, "latency_p95_ms": 6.0, "latency_relative": 7.0}
    told = lower(latencies={memo_key(known.graph, places(("onnx",), ("host",))[0]): made_up})
    assert told.costs["latency_ms"] == 5.0
    assert told.costs["latency_ms@openvino"] != 5.0


def test_a_runtime_is_told_with_its_version():
    assert runtime("onnx").startswith("onnxruntime 1.")
    assert runtime("openvino").startswith("openvino 20")


def test_a_limit_ends_what_takes_longer_and_leaves_other_alarms():
    rung = []
    usual = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(number))
    before, _ = signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        late = pytest.raises(TimeoutError, match=r"lowering to it took more than 0.05 s")
        with late, limited(0.05, "lowering to it"):
            time.sleep(10)
        assert rung == []
        time.sleep(0.5)
        assert rung == [signal.SIGALRM]
    finally:
        signal.signal(signal.SIGALRM, usual)
        signal.setitimer(signal.ITIMER_REAL, before)


def test_what_takes_too_long_to_lower_is_refused(monkeypatch):
    monkeypatch.setattr("automed.lowering.LIMIT_S", 0.001)
    there = lower(targets=("onnx",))
    assert "lowering to onnx took more than 0.001 s" in there.refusals["onnx"]
