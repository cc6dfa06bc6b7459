import math
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from automed.report import page
from automed.report.results import Comparison, Drawn, Example, File, Interval, Model, Results

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJ"
    "RU5ErkJggg=="
)

FAMILIES = {"vgg": 0.915, "inception": 0.927, "resnet": 0.938, "densenet": 0.941, "mobile": 0.93}
BASELINES = {
    "logistic-regression": (0.742, 0.031, 66_000, 4_097, 4_096),
    "random-forest": (0.811, 0.24, 2_400_000, 118_000, 1_200),
    "cnn5": (0.902, 0.39, 410_000, 98_000, 9_100_000),
    "resnet18": (0.944, 6.8, 44_700_000, 11_170_000, 142_000_000),
    "resnet18-w16": (0.937, 0.97, 2_810_000, 700_000, 9_400_000),
    "resnet18-w8": (0.926, 0.46, 710_000, 176_000, 2_500_000),
}


def config_of(family: str, rng: random.Random) -> dict[str, Any]:
    config: dict[str, Any] = {
        "width": rng.choice((8, 16, 24, 32)),
        "stages": rng.choice((2, 3, 4)),
        "depth": rng.choice((1, 2, 3)),
        "activation": rng.choice(("relu", "silu", "hardswish")),
        "attention": rng.choice(("none", "se", "eca")),
        "stem": rng.choice(("plain", "strided", "patch")),
        "resolution": rng.choice((32, 48, 64)),
    }
    if family in ("resnet", "mobile", "vgg"):
        config["separable"] = rng.choice((False, True))
    if family == "densenet":
        config |= {"growth": rng.choice((8, 12, 16)), "compression": rng.choice((0.5, 0.75))}
    if family == "mobile":
        config["expansion"] = rng.choice((2, 4, 6))
    return config


def trial_of(number: int, family: str, rng: random.Random) -> dict[str, Any]:
    config = config_of(family, rng)
    work = config["width"] ** 1.3 * config["stages"] * config["depth"] * config["resolution"] ** 0.8
    latency = 0.00075 * work * rng.uniform(0.8, 1.25) * (0.6 if config.get("separable") else 1.0)
    params = int(config["width"] ** 2 * 4 ** config["stages"] * config["depth"] * 1.7)
    costs = {
        "latency_ms": latency,
        "latency_p95_ms": latency * 1.13,
        "size_bytes": 4 * params + 21_000,
        "params": params,
        "macs": int(work * 31_000),
    }
    trial: dict[str, Any] = {
        "number": number,
        "name": f"{family}-{number:03d}",
        "origin": "search",
        "family": family,
        "config": config,
        "state": "complete",
        "scores": {},
        "costs": costs,
        "violations": {"latency_ms": latency / 6 - 1},
        "refusals": {},
        "failure": None,
        "epochs": 0,
        "curve": [],
        "seconds": {"lower": 1.9, "time": 0.7},
    }
    if number % 11 == 7:
        failure = "RuntimeError: Given input size: (64x1x1). Output size is too small"
        return trial | {"state": "failed", "failure": failure, "costs": {}, "violations": {}}
    if latency > 6:
        return trial | {"state": "infeasible"}
    if number % 13 == 9:
        refused = {"violations": {"runs on executorch": 1.0}, "state": "infeasible"}
        return trial | refused | {"refusals": {"executorch": "no kernel for aten.lstm"}}
    epochs = 4 if number % 9 == 5 else 12
    gain = 0.012 * math.log(work / 200) - 0.004 * max(0.0, math.log(work / 900))
    final = min(0.958, FAMILIES[family] + gain - 0.02 + rng.gauss(0, 0.011))
    curve = [
        {
            "epoch": e,
            "loss": 0.68 * math.exp(-e / 6) + 0.2 + rng.uniform(0, 0.02),
            "auc": final - 0.28 * math.exp(-e / 2.3) + rng.uniform(-0.008, 0),
        }
        for e in range(1, epochs + 1)
    ]
    return trial | {
        "state": "paused" if epochs < 12 else "complete",
        "scores": {"auc": max(c["auc"] for c in curve), "balanced_accuracy": final - 0.08},
        "epochs": epochs,
        "curve": curve,
        "seconds": {"lower": 1.9, "time": 0.7, "train": 4.2 * epochs},
    }


def interval(value: float, half: float) -> Interval:
    return Interval(value=value, low=value - 1.15 * half, high=min(1.0, value + 0.85 * half))


def model_of(trial: dict[str, Any], rng: random.Random) -> Model:
    auc, name = trial["scores"]["auc"], trial["name"]
    searched = trial["origin"] == "search"
    return Model(
        name=name,
        origin=trial["origin"],
        trial=trial["number"] if searched else None,
        family=trial["family"],
        validation={
            "auc": interval(auc, 0.016),
            "balanced_accuracy": interval(auc - 0.07, 0.024),
        },
        sealed={
            "auc": interval(auc + rng.uniform(-0.012, 0.004), 0.018),
            "balanced_accuracy": interval(auc - 0.08, 0.026),
        },
        costs={k: v * 1.02 if "latency" in k else v for k, v in trial["costs"].items()},
        artefact=f"models/{name}/{name}.onnx" if searched else None,
        verified={"max_difference": 2.4e-6 * rng.uniform(0.4, 2), "samples": 64}
        if searched
        else None,
        config=trial["config"] if searched else None,
    )


def baseline_trial(number: int, name: str, rng: random.Random) -> dict[str, Any]:
    auc, latency, size, params, macs = BASELINES[name]
    trained = "net" in name or "cnn" in name
    curve = [
        {"epoch": e, "loss": 0.7 * math.exp(-e / 6), "auc": auc - 0.25 * math.exp(-e / 2.5)}
        for e in range(1, 13)
    ]
    return {
        "number": number,
        "name": name,
        "origin": "baseline",
        "family": name,
        "config": {},
        "state": "complete",
        "scores": {"auc": auc, "balanced_accuracy": auc - 0.08},
        "costs": {
            "latency_ms": latency,
            "latency_p95_ms": latency * 1.1,
            "size_bytes": size,
            "params": params,
            "macs": macs,
        },
        "violations": {},
        "refusals": {},
        "failure": None,
        "epochs": 12 if trained else 0,
        "curve": curve if trained else [],
        "seconds": {"train": rng.uniform(3, 70)},
    }


def files_of(name: str, path: str, score: Interval) -> tuple[File, ...]:
    """A model for two targets, in int8 on one of them."""
    costs = {"size_bytes": 400_000.0, "latency_ms": 0.31, "latency_p95_ms": 0.4}
    full = File(
        target="onnx",
        precision="fp32",
        path=path,
        costs=costs,
        max_difference=3e-7,
        validation=score,
        sealed=score,
    )
    lower = Interval(-0.004, -0.006, -0.001)
    return (
        full,
        replace(full, target="openvino", path=f"models/{name}.openvino.zip"),
        replace(
            full,
            precision="int8",
            how="per channel, 2 of 12 layers in fp32",
            path=f"models/{name}.int8.onnx",
            max_difference=None,
            costs=costs | {"speedup": 1.9},
            change=lower,
            sealed_change=lower,
        ),
        File(target="openvino", precision="int8", rejected="slower: 0.42 ms against 0.31 ms"),
    )


@pytest.fixture(scope="session")
def results() -> Results:
    """A finished search as a real one looks: 32 trials, a front of six and six baselines."""
    rng = random.Random(24)
    baselines = [baseline_trial(i, name, rng) for i, name in enumerate(BASELINES)]
    names = list(FAMILIES)
    searched = [trial_of(i, names[i % 5], rng) for i in range(6, 38)]
    front: list[dict[str, Any]] = []
    complete = [t for t in searched if t["state"] == "complete"]
    for trial in sorted(complete, key=lambda t: t["costs"]["latency_ms"]):
        if not front or trial["scores"]["auc"] > front[-1]["scores"]["auc"]:
            front.append(trial)
    models = [model_of(t, rng) for t in (*front, *baselines)]
    models = [
        m
        if m.artefact is None
        else replace(m, files=files_of(m.name, m.artefact, m.validation["auc"]))
        for m in models
    ]
    chosen = models[3].name
    sealed = models[3].sealed["auc"].value
    return Results(
        task="lung-ct",
        title="Malignant or benign lung nodule on a chest CT patch",
        simulated="The images are simulated: nodules were drawn into a phantom, no patient was "
        "scanned, and the scores say nothing about patients.",
        score="auc",
        objectives={"auc": "maximize", "latency_ms": "minimize"},
        limits={"latency_ms": 6.0},
        models=tuple(models),
        trials=tuple(baselines + searched),
        chosen=chosen,
        reason=f"{chosen}, the knee among the 4 models not significantly worse than the best: "
        "validation AUC 0.913 at 0.810 ms; the most accurate has 0.921 for 2.0 times the latency.",
        data=(
            ("Images", "2,400 patches of 64 by 64, one channel"),
            ("Patients", "600 (simulated)"),
            ("Classes", "benign 1,420, malignant 980"),
            ("Split", "by patient: 60 % training, 20 % validation, 20 % sealed test"),
            ("Audit", "no patient and no image in two parts"),
        ),
        run=(
            ("Strategy", "nsga2, 32 trials, up to 12 epochs each"),
            ("Seed", "0"),
            ("Device", "trained on 1 GPU; timed on the host CPU, one thread"),
            ("Versions", "torch 2.13.0, onnxruntime 1.31.1, optuna 5.0.0"),
            ("Wall time", "14 min 20 s"),
        ),
        contenders=tuple(m.name for m in models[2:6]),
        comparisons=tuple(
            Comparison(
                model=chosen,
                baseline=m.name,
                difference=interval(sealed - m.sealed["auc"].value, 0.013),
                speedup=m.costs["latency_ms"] / models[3].costs["latency_ms"],
            )
            for m in models[6:]
        ),
        resampled_by="patient",
        metrics={"auc": "area under the ROC curve", "balanced_accuracy": "mean recall"},
        drawn=Drawn(
            title="Found and falsely found",
            x="1 - specificity",
            y="Sensitivity",
            joined=True,
            logarithmic=False,
            diagonal=True,
            traces={
                name: (
                    tuple(n / 20 for n in range(21)),
                    tuple((n / 20) ** power for n in range(21)),
                )
                for name, power in [(chosen, 0.15), *((m.name, 0.3) for m in models[6:])]
            },
        ),
        timed_on="host CPU, onnx in onnxruntime 1.31.1, 1 thread, batch 1",
        examples=tuple(
            Example(title=title, caption=f"nodule; the model says background, 0.{n}", png=PIXEL)
            for n, title in enumerate(("Most wrong", "Least sure", "Most sure"), start=7)
        ),
    )


@pytest.fixture(scope="session")
def empty(results: Results) -> Results:
    """An interrupted search that finished nothing."""
    return replace(
        results,
        models=(),
        trials=(),
        chosen=None,
        contenders=(),
        comparisons=(),
        reason="Nothing was trained before the interruption.",
        complete=False,
        resampled_by="sample",
        examples=(),
    )


@pytest.fixture(scope="session")
def hostile(results: Results) -> Results:
    """Names and facts that are markup for whoever forgets to escape; a small search."""
    evil = "<script>alert(1)</script>\"'&|`"
    broken = dict(results.trials[-1]) | {"state": "failed", "failure": evil, "name": evil}
    broken["config"] = {evil: evil, "width": 8}
    return replace(
        results,
        title=evil,
        simulated=evil,
        reason=evil,
        models=tuple(
            replace(
                m,
                name=evil,
                family=evil,
                note=evil,
                artefact="javascript:alert(1)",
                files=tuple(
                    replace(f, target=evil, how=evil, rejected=f.rejected and evil) for f in m.files
                ),
            )
            if m.name == results.chosen
            else m
            for m in (*results.front[2:], *results.baselines[3:])
        ),
        chosen=evil,
        trials=(*results.trials[:12], broken),
        examples=tuple(
            replace(e, title=evil, caption=evil, outlined=True) for e in results.examples
        ),
        metrics={"auc": evil},
        units={"auc": evil},
        data=((evil, evil),),
        run=((evil, evil),),
    )


@pytest.fixture(scope="session")
def errors(results: Results) -> Results:
    """The same search by a score of which less is better: the share that AUC leaves to 1."""

    def turned(scores: Mapping[str, Interval]) -> dict[str, Interval]:
        auc = scores["auc"]
        return {"hd95": Interval(10 * (1 - auc.value), 10 * (1 - auc.high), 10 * (1 - auc.low))}

    return replace(
        results,
        score="hd95",
        objectives={"hd95": "minimize", "latency_ms": "minimize"},
        errors=("hd95",),
        units={"hd95": "pixels"},
        metrics={"hd95": "distance between surfaces"},
        models=tuple(
            replace(m, validation=turned(m.validation), sealed=turned(m.sealed))
            for m in results.models
        ),
        trials=tuple(
            dict(t)
            | {
                "scores": {"hd95": 10 * (1 - t["scores"]["auc"])} if t["scores"] else {},
                "curve": [{**e, "hd95": 10 * (1 - e["auc"])} for e in t["curve"]],
            }
            for t in results.trials
        ),
        contenders=(),
        comparisons=(),
        examples=tuple(replace(e, outlined=True) for e in results.examples),
    )


@pytest.fixture(scope="session")
def source(results: Results, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of the finished search, written once for all tests that only read it."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    page.write(results, path)
    return path.read_text(encoding="utf-8")
