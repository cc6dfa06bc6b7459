"""One small search that denoises and one that finds anomalies, from the file to what they say."""

import json

import numpy as np
import onnx
import pytest
from PIL import Image

SIZE = 16
TASK = """
title: Blobs
problem: {problem}
data: none
families: [{families}]
objectives: {{{score}: maximize, latency_ms: minimize}}
training: {{batch: 8, learning_rate: 0.01, augment: [flip]}}
baselines: [{baselines}]
"""


def blobs(number, odd=False, seed=0):
    """Images (N, H, W) of a blob; an odd one is a grid."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE]
    cy, cx = rng.uniform(4, SIZE - 4, (2, number, 1, 1))
    blob = 200 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 18)
    return 30 + (100 * ((x + y) % 2) if odd else 0) + blob / (2 if odd else 1)


@pytest.fixture(scope="module")
def denoised(searched):
    clean = blobs(60)
    noisy = clean + np.random.default_rng(1).normal(0, 25, clean.shape)
    arrays = {
        name: x.clip(0, 255).astype(np.uint8)
        for name, x in zip(("images", "targets"), (noisy, clean), strict=True)
    }
    task = TASK.format(
        problem="reconstruction", families="unet", score="psnr", baselines="identity, gaussian"
    )
    return searched(task, arrays, trials=1, epochs=12)


@pytest.fixture(scope="module")
def found(searched):
    arrays = {
        "images": np.concatenate([blobs(60), blobs(20, odd=True)]).astype(np.uint8),
        "labels": np.repeat(["blob", "grid"], (60, 20)),
        "classes": ["blob", "grid"],
    }
    task = TASK.format(
        problem="anomaly", families="autoencoder", score="auc", baselines="mean-intensity, pca"
    )
    return searched(task, arrays, trials=1, epochs=4)


def test_a_search_denoises_and_its_floors_are_in_the_run(denoised):
    results = denoised.results
    scores = {m.name: m.sealed["psnr"].value for m in results.models}
    assert scores[denoised.best.name] > scores["identity"] + 2
    assert {"identity", "gaussian"} <= set(scores)
    assert denoised.best.verified["max_difference"] < 1e-4
    assert results.units["psnr"] == "dB"
    assert [e.title for e in results.examples] == ["Worst", "Median", "Best"]
    assert all(e.panels == 3 for e in results.examples)
    page = (denoised.folder / "report.html").read_text()
    assert page.count('class="panels"') == 3
    assert "PSNR (dB)" in page


def test_predict_writes_the_image(cli, denoised, tmp_path):
    (clean,) = blobs(1, seed=7)
    noisy = (clean + np.random.default_rng(2).normal(0, 25, clean.shape)).clip(0, 255)
    Image.fromarray(noisy.astype(np.uint8)).save(tmp_path / "noisy.png")
    model = denoised.folder / denoised.best.artefact
    told = cli("predict", model, tmp_path / "noisy.png", "--out", tmp_path / "made.png", "--json")
    assert told.code == 0, told.stderr
    made = np.asarray(Image.open(tmp_path / "made.png")).astype(float)
    assert np.abs(made - clean).mean() < np.abs(noisy - clean).mean()
    (values,) = json.loads(told.stdout).values()
    assert values["mean"] == pytest.approx(made.mean(), abs=1)
    facts = {m.key: m.value for m in onnx.load(model).metadata_props}
    assert json.loads(facts["outputs"]) == ["windowed", "reconstruction"]


def test_a_search_finds_what_training_never_saw(found):
    results = found.results
    assert {"mean-intensity", "pca"} <= {m.name for m in results.models}
    assert found.best.sealed["auc"].value > 0.9
    assert dict(results.data)["learnt from"].endswith("samples of blob in train alone")
    assert [e.title for e in results.examples][:2] == ["Normal, most error"] * 2


def test_predict_tells_the_score_and_writes_the_error(cli, found, tmp_path):
    scores = {}
    for name, odd in (("blob", False), ("grid", True)):
        Image.fromarray(blobs(1, odd, seed=7)[0].astype(np.uint8)).save(tmp_path / f"{name}.png")
        model, out = found.folder / found.best.artefact, tmp_path / f"{name}.npy"
        told = cli("predict", model, tmp_path / f"{name}.png", "--out", out, "--json")
        assert told.code == 0, told.stderr
        ((scores[name],),) = (v.values() for v in json.loads(told.stdout).values())
        assert np.load(out).mean() == pytest.approx(100 * scores[name], rel=1e-3)
    assert scores["grid"] > scores["blob"]
