"""How well latencies repeat from session to session, and how well they are predicted.

    python studies/benchmarks/latency.py [--device host] [--task lung-ct] [--architectures 240]
                                        [--out board.json]

First the default network of every family of the task is timed in five sessions, in processes of
their own; its p50 in each, divided by the reference artefact's, is compared with the median of
the five. Then random architectures of the task are timed twice, as `automed profile` does, and
every one's latency is predicted from architectures of other folds alone; beside it stands how
well the first timing predicts the second, which no predictor can beat. The timings are kept in
--out.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from automed import data, devices, evaluate, registry
from automed.devices import Artefact
from automed.devices.predicted import Predicted
from automed.exporters import onnx_file
from automed.lowering import deployed
from automed.profile import profile

SESSIONS = 5
ALLOWED = 0.15
"""By what share a session may differ from the median of all."""


def main() -> None:
    """Print a line a family and the predictor's table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="host")
    parser.add_argument("--task", default="lung-ct")
    parser.add_argument("--architectures", type=int, default=240)
    parser.add_argument("--repeats", type=int, default=devices.REPEATS)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    repeat(given.device, given.task, given.repeats)
    print()
    with tempfile.TemporaryDirectory() as folder:
        out = given.out or Path(folder) / "board.json"
        profile(
            given.device,
            given.task,
            out,
            architectures=given.architectures,
            repeats=given.repeats,
        )
        accuracy = Predicted(out).accuracy
    print(f"{'architectures':<28} {accuracy.architectures:>7}")
    print(f"{'within 10 %, predicted':<28} {accuracy.within:>7.1%}")
    print(f"{'within 10 %, timed again':<28} {accuracy.noise_within:>7.1%}")
    print(f"{'Spearman, predicted':<28} {accuracy.spearman:>7.3f}")
    print(f"{'90 % are within':<28} {accuracy.error:>7.1%}")


def repeat(device: str, task_name: str, repeats: int) -> None:
    """Print how each family's default network differs between sessions."""
    task, machine = registry.task(task_name), devices.device(device)
    sample = data.open_parts(evaluate.source(evaluate.Job(task=task, data=task.data))).train.sample
    yardstick = Artefact(onnx_file.reference(), onnx_file.SUFFIX)
    print(f"{'family':<12} {'p50 ms':>8} {'sessions, p50 / reference':>40} {'worst':>7}")
    for name in task.families:
        network = registry.family(name)().build(sample).eval()
        graph = onnx_file.export(deployed(network, task, sample), sample.inputs, {})
        known = [
            machine.measure({name: Artefact(graph, yardstick.suffix)}, yardstick, repeats=repeats)
            for _ in range(SESSIONS)
        ]
        relative = np.array([session[name].relative for session in known], dtype=float)
        worst = np.abs(relative / np.median(relative) - 1).max()
        p50 = np.median([session[name].p50_ms for session in known])
        told = " ".join(f"{value:.3f}" for value in relative)
        verdict = "" if worst <= ALLOWED else f"  over {ALLOWED:.0%}"
        print(f"{name:<12} {p50:>8.3f} {told:>40} {worst:>7.1%}{verdict}")


if __name__ == "__main__":
    main()
