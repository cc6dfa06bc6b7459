"""One small search for findings and one for values, from the file to what they say."""

import json

import numpy as np
import pytest
from PIL import Image

SIZE = 16
TASK = """
title: Blobs
problem: {problem}
data: none
families: [{families}]
objectives: {{{objective}, latency_ms: minimize}}
training: {{batch: 8, learning_rate: 0.01, augment: [intensity]}}
baselines: [{baselines}]
"""
NUM = 90


def drawn(radii, corners, seed=0):
    """Images (N, H, W) of a disc of a radius, and of bright corners where there are any."""
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    images = 150.0 * (np.hypot(y, x) <= np.reshape(radii, (-1, 1, 1)))
    images[:, :3, :3] += 200 * corners[:, :1, None]
    images[:, -3:, -3:] += 200 * corners[:, 1:2, None]
    noise = np.random.default_rng(seed).normal(20, 8, images.shape)
    return (images + noise).clip(0, 255).astype(np.uint8)


RNG = np.random.default_rng(0)
RADII, CORNERS = RNG.uniform(2, 6, NUM), RNG.integers(0, 2, (NUM, 2))
IMAGES = drawn(RADII, CORNERS)


@pytest.fixture(scope="module")
def labelled(searched):
    labels = np.column_stack([CORNERS, RADII > 4])
    labels[::9, 1] = -1  # nobody knows
    arrays = {"images": IMAGES, "labels": labels, "classes": ["upper", "lower", "large"]}
    task = TASK.format(
        problem="multilabel",
        families="vgg, dsn",
        objective="auc: maximize",
        baselines="logistic-regression, random-forest",
    )
    return searched(task, arrays, trials=2, epochs=8)


@pytest.fixture(scope="module")
def measured(searched):
    area = 100 + np.pi * RADII**2
    values = np.column_stack([1000 * RADII, np.where(np.arange(NUM) % 9 > 0, area, np.nan)])
    arrays = {"images": IMAGES, "values": values, "classes": ["radius", "area"]}
    task = TASK.format(
        problem="regression",
        families="vgg, dsn",
        objective="mae: minimize",
        baselines="training-mean, ridge, random-forest",
    )
    return searched(task, arrays, trials=2, epochs=8)


def test_a_search_finds_several_findings_and_its_floors_are_in_the_run(labelled):
    results = labelled.results
    assert {"logistic-regression", "random-forest"} <= {m.name for m in results.models}
    assert labelled.best.sealed["auc"].value > 0.9
    assert labelled.best.verified["max_difference"] < 1e-4
    assert "0.5" in results.metrics["balanced_accuracy"]
    assert "large" in dict(results.data)["share with each finding"]
    assert {e.title for e in results.examples} == {"Worst", "Median", "Best"}
    assert not dict(results.run).get("not exported")


def test_less_error_is_better_all_the_way(measured):
    results = measured.results
    scores = {m.name: m.sealed["mae"].value for m in results.models}
    assert {"training-mean", "ridge", "random-forest"} <= set(scores)
    assert scores[measured.best.name] < 0.6 * scores["training-mean"]
    assert measured.best.verified["max_difference"] < 1e-4
    front = [m.validation["mae"].value for m in results.front]
    assert front == sorted(front, reverse=True)  # the slower, the less error
    assert not dict(results.run).get("not exported")
    floor = next(m for m in results.models if m.name == "training-mean")
    assert floor.sealed["pearson"].value == 0
    assert floor.sealed["r2"].value < 0.1
    page = (measured.folder / "report.html").read_text()
    assert "MAE (own units, less is better)" in page


@pytest.mark.parametrize("radius", [3.0, 5.0])
def test_predict_tells_values_in_their_own_units(cli, measured, tmp_path, radius):
    (image,) = drawn([radius], np.zeros((1, 2)), seed=7)
    Image.fromarray(image).save(tmp_path / "one.png")
    model = measured.folder / measured.best.artefact
    told = cli("predict", model, tmp_path / "one.png", "--json")
    assert told.code == 0, told.stderr
    (values,) = json.loads(told.stdout).values()
    assert values["radius"] == pytest.approx(1000 * radius, abs=800)
    assert values["area"] == pytest.approx(100 + np.pi * radius**2, abs=25)
    plain = cli("predict", model, tmp_path / "one.png").stdout
    assert plain.index("radius") < plain.index("area")


def test_predict_tells_a_probability_of_every_finding(cli, labelled, tmp_path):
    (image,) = drawn([2.5], np.array([[1, 0]]), seed=7)
    Image.fromarray(image).save(tmp_path / "one.png")
    told = cli("predict", labelled.folder / labelled.best.artefact, tmp_path / "one.png", "--json")
    (values,) = json.loads(told.stdout).values()
    assert list(values) == ["upper", "lower", "large"]
    assert values["upper"] > max(values["lower"], values["large"])
