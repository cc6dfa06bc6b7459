"""Runs and times exported models on the machine it is started on: boards, phones, this one.

It stands alone, needs Python 3.10, NumPy and the models' runtime: `python3 runner.py job.json`
prints one JSON object; without a job, what this machine is. A job is JSON, its files beside it:

    models     [{"name": ..., "file": ...}, ...]; the end of a file's name tells what runs it
    reference  file of a model that is timed in turn with the others, or null
    inputs     .npz of raw inputs (N, ...), in the order in which the models take them, or null
    outputs    folder for <name>.npz: all that each model returns for each of the N, or null
    threads    CPU threads; warm_up: calls of a model that do not count; repeats: those that do
"""

import contextlib
import importlib
import io
import json
import os
import platform
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, NamedTuple

try:
    import numpy as np
except ImportError:
    sys.exit("python3 has no numpy; install it there with: pip install numpy")


class Model(NamedTuple):
    """A model in its runtime: from raw inputs in order to outputs in order."""

    run: Callable[[list[Any]], list[Any]]
    shapes: list[list[int]]


def onnx(ort: Any, content: bytes, threads: int) -> Model:
    """An .onnx or .ort file, or the one in a .zip, in onnxruntime."""
    if content.startswith(b"PK"):
        bundle = zipfile.ZipFile(io.BytesIO(content))
        content = next(bundle.read(n) for n in bundle.namelist() if n.endswith(".onnx"))
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    inputs = session.get_inputs()
    shapes = [[d if isinstance(d, int) else 1 for d in i.shape] for i in inputs]
    names = [i.name for i in inputs]
    return Model(lambda given: session.run(None, dict(zip(names, given, strict=True))), shapes)


def openvino(ov: Any, content: bytes, threads: int) -> Model:
    """A .zip of model.xml and model.bin in OpenVINO."""
    files, core = zipfile.ZipFile(io.BytesIO(content)), ov.Core()
    model = core.read_model(files.read("model.xml"), files.read("model.bin"))
    shapes = [[max(1, d.get_min_length()) for d in i.partial_shape] for i in model.inputs]
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    return Model(lambda given: list(request.infer(given, share_inputs=True).values()), shapes)


def executorch(runtime: Any, content: bytes, threads: int) -> Model:
    """A .pte file in ExecuTorch, whose Python takes and gives PyTorch's tensors."""
    torch = importlib.import_module("torch")
    torch.set_num_threads(threads)
    library = importlib.import_module("executorch.extension.pybindings.portable_lib")
    library._unsafe_reset_threadpool(threads)
    held = runtime.Runtime.get().load_program(content)  # a method does not keep its program alive
    method, about = held.load_method("forward"), held.metadata("forward")
    shapes = [list(about.input_tensor_meta(i).sizes()) for i in range(about.num_inputs())]
    return Model(lambda x: held and method.execute([*map(torch.from_numpy, x)]), shapes)


def exported(torch: Any, content: bytes, threads: int) -> Model:
    """A .pt2 file in PyTorch."""
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    program, leaves = torch.export.load(io.BytesIO(content)), torch.utils._pytree.tree_leaves
    module, shapes = program.module(), [list(x.shape) for x in program.example_inputs[0]]
    return Model(lambda given: leaves(module(*map(torch.from_numpy, given))), shapes)


# Ends of files' names: what loads them, from which module, of which package.
LOADERS: dict[tuple[str, ...], tuple[Callable[[Any, bytes, int], Model], str, str]] = {
    (".onnx", ".ort", ".bundle.zip"): (onnx, "onnxruntime", "onnxruntime"),
    (".openvino.zip",): (openvino, "openvino", "openvino"),
    (".pte",): (executorch, "executorch.runtime", "executorch"),
    (".pt2",): (exported, "torch", "torch"),
}


def answer(file: Path) -> dict[str, Any]:
    """What a job asks for; memory of an only model, as what it adds to a fresh process."""
    os.chdir(file.resolve().parent)
    job, every, told = json.loads(Path(file.name).read_text()), [], {}
    for asked in job["models"]:
        name = asked["name"]
        model, told[name] = loaded(name, asked["file"], job["threads"])
        every.append(model)
        if job["inputs"]:
            raw = list(np.load(job["inputs"]).values())
            each = [called(name, model, [x[i : i + 1] for x in raw]) for i in range(len(raw[0]))]
            outputs = [np.concatenate(ys) for ys in zip(*each, strict=True)]
            np.savez(f"{job['outputs']}/{name}.npz", *outputs)
        if len(job["models"]) > 1:  # the first would pay for its runtime's start
            told[name]["peak_memory_bytes"] = None
    if not job["repeats"]:
        return machine() | {"models": told}
    if job["reference"]:
        every.append(loaded("the reference", job["reference"], job["threads"])[0])
    times = times_ms(every, job["warm_up"], job["repeats"])
    yardstick = float(np.median(times[-1])) if job["reference"] else None
    for facts, known in zip(told.values(), times, strict=False):
        p50, p90, p99 = np.percentile(known, [50, 90, 99]).tolist()
        facts |= {"p50_ms": p50, "p90_ms": p90, "p99_ms": p99, "repeats": len(known)}
        facts |= {"relative": p50 / yardstick if yardstick else None, "warm_up": job["warm_up"]}
    return machine() | {"models": told}


def loaded(name: str, file: str, threads: int) -> tuple[Model, dict[str, Any]]:
    """A model that has run once, and what is known of it without a clock."""
    row = next((row for suffixes, row in LOADERS.items() if file.endswith(suffixes)), None)
    make, module, package = row or sys.exit(f"{file} ends in none of {', '.join(sum(LOADERS, ()))}")
    try:
        runtime = importlib.import_module(module)
    except ImportError as e:  # of it, or of what it needs
        sys.exit(f"python3 has no {package}; install it there with: pip install {package} ({e})")
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before = memory_bytes("VmRSS")
    with blaming(f"{name} is no model that {package} can load"):
        model = make(runtime, Path(file).read_bytes(), threads)
    called(name, model, made_up(model))
    number = machine()["runtimes"].get(package) or runtime.__version__
    peak, size = max(0, memory_bytes("VmHWM") - before) or None, os.path.getsize(file)
    facts = {"peak_memory_bytes": peak, "size_bytes": size, "threads": threads}
    return model, facts | {"runtime": f"{package} {number}"}


def called(name: str, model: Model, given: list[Any]) -> list[Any]:
    """One sample's outputs."""
    with blaming(f"{name} takes {model.shapes}, fails on {[list(x.shape) for x in given]}"):
        return [np.array(y.numpy() if hasattr(y, "numpy") else y) for y in model.run(given)]


def made_up(model: Model) -> list[Any]:
    """Inputs of the right shapes."""
    return [np.random.default_rng(0).normal(size=s).astype(np.float32) for s in model.shapes]


def times_ms(models: list[Model], warm_up: int, repeats: int) -> list[list[float]]:
    """Milliseconds of every call, in turns of a few, so that a change of pace meets all alike."""
    turns: list[tuple[Model, list[Any], list[float]]] = [(m, made_up(m), []) for m in models]
    for model, given, _ in turns:
        for _ in range(warm_up):
            model.run(given)
    for first in range(0, repeats, 5):
        for model, given, times in turns:
            model.run(given)  # the model before left its own data in the caches
            for _ in range(min(5, repeats - first)):
                start = time.perf_counter_ns()
                model.run(given)
                times.append((time.perf_counter_ns() - start) / 1e6)
    return [times for _, _, times in turns]


def machine() -> dict[str, Any]:
    """What this machine is, and the runtimes that its Python has."""
    packages = {package for _, _, package in LOADERS.values()}
    runtimes = {d.name: d.version for d in distributions() if d.name in packages}
    device = line_of("/proc/cpuinfo", "Model", "model name") or platform.machine()
    return {"device": device, "os": platform.platform(terse=True), "runtimes": runtimes}


def line_of(path: str, *beginnings: str) -> str:
    """What follows the colon of a line in a file of Linux; nothing on other systems."""
    lines = Path(path).read_text().splitlines() if os.path.exists(path) else []
    return next((x.partition(":")[2].strip() for x in lines if x.startswith(beginnings)), "")


def memory_bytes(kind: str) -> int:
    """What this process holds now (VmRSS) or has held at most (VmHWM)."""
    return int((line_of("/proc/self/status", kind) or "0 kB").split()[0]) * 1024


@contextlib.contextmanager
def blaming(what: str) -> Iterator[None]:
    """Whatever breaks inside is told in one line."""
    try:
        yield
    except Exception as error:
        sys.exit(f"{what}: {' '.join(str(error).split())[:200] or type(error).__name__}")


if __name__ == "__main__":
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # runtimes report what they run, but for these
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    print(json.dumps(answer(Path(sys.argv[1])) if sys.argv[1:] else machine()))
