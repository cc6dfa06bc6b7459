"""One small search for a network that registers, from the folder of images to what it says."""

import json

import numpy as np
import onnx
import pytest
from PIL import Image

from automed import api, draft, registry

SIZE = 20
TASK = """
title: Boxes onto boxes
problem: registration
data: none
families: [registration, unet]
objectives: {dice: maximize, latency_ms: minimize}
training: {batch: 4, learning_rate: 0.01, augment: [flip]}
networks:
  affine: {family: registration, transform: affine, width: 4, stages: 3, depth: 1}
baselines: [identity, affine]
"""


def boxes(number, seed=0):
    """Images (N, H, W) of a box anywhere near the middle, and its mask."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE]
    cy, cx = rng.uniform(8, SIZE - 8, (2, number, 1, 1))
    masks = (np.abs(y - cy) < 5) & (np.abs(x - cx) < 4)
    images = rng.normal(60, 5, masks.shape) + 120 * masks
    return images.clip(0, 255).astype(np.uint8), masks.astype(np.uint8)


@pytest.fixture(scope="module")
def run(searched):
    images, masks = boxes(60)
    return searched(TASK, {"images": images, "masks": masks}, trials=2, epochs=12)


@pytest.fixture
def seen(tmp_path):
    """Two images that no search has seen."""
    paths = []
    for name, image in zip(("fixed", "moving"), boxes(2, seed=9)[0], strict=True):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
        paths.append(tmp_path / f"{name}.png")
    return paths


def test_the_search_learns_to_register_and_its_floors_are_in_the_run(run):
    results = run.results
    scores = {m.name: m.sealed["dice"].value for m in results.models}
    assert {"identity", "affine"} <= set(scores)
    assert max(scores[m.name] for m in results.front) > scores["identity"] + 0.1
    assert {t["family"] for t in results.trials} == {"registration", "unet"}
    assert run.best.verified["max_difference"] < 1e-4
    assert run.best.sealed["folding"].value < 0.1
    assert results.errors == ("folding",)
    assert results.resampled_by == "cohort"


def test_the_report_shows_fixed_moving_and_warped(run):
    shown = run.results.examples
    assert [e.title for e in shown] == ["Worst", "Median", "Best"]
    assert all(e.panels == 3 and e.outlined for e in shown)
    page = (run.folder / "report.html").read_text()
    assert "fixed, moving, warped" in page
    assert "draw whole cohorts, not samples" in page
    assert "Folding (share of voxels, less is better)" in page


def test_predict_lays_one_image_onto_the_other(cli, run, seen, tmp_path):
    model = run.folder / run.best.artefact
    assert [i.name for i in onnx.load(model).graph.input] == ["fixed", "moving"]
    made, moves = tmp_path / "warped.png", tmp_path / "field.npy"
    told = cli("predict", model, *seen, "--out", made, "--field", moves, "--json")
    assert told.code == 0, told.stderr
    fixed, moving, warped = (np.asarray(Image.open(p)).astype(float) for p in (*seen, made))
    assert np.abs(warped - fixed).mean() < np.abs(moving - fixed).mean()
    field = np.load(moves)
    assert field.shape == (2, SIZE, SIZE)
    ((name, values),) = json.loads(told.stdout).items()
    assert name == f"{seen[0]} + {seen[1]}"
    assert values["greatest displacement"] == pytest.approx(np.linalg.norm(field, axis=0).max())
    several = cli("predict", model, *seen, *seen[::-1], "--json")
    assert len(json.loads(several.stdout)) == 2


def test_predict_refuses_what_is_no_pair(cli, run, seen, tmp_path):
    model = run.folder / run.best.artefact
    for options, said in (
        (seen[:1], "1 images for a model that takes 2"),
        ((*seen, seen[0]), "1 images for a model that takes 2"),
        ((*seen, *seen, "--out", tmp_path / "x.png"), "of the 2 images of one sample; given 4"),
        ((*seen, "--out", seen[1]), "moving.png is an image that was given"),
    ):
        told = cli("predict", model, *options)
        assert told.code == 2
        assert said in told.stderr
        assert told.stderr.count("\n") == 1


def test_a_draft_for_a_folder_is_searched_as_it_is(tmp_path, inline):
    for kind, pictures in zip(("images", "masks"), boxes(16), strict=True):
        (tmp_path / "data" / kind).mkdir(parents=True)
        for number, picture in enumerate(pictures):
            Image.fromarray(picture).save(tmp_path / "data" / kind / f"{number}.png")
    path = tmp_path / "mine.yaml"
    task = draft.write(path, "registration", str(tmp_path / "data"), {})
    assert task.families == ("registration", "unet")
    assert task.baselines == ("identity", "plain")
    assert task.score == "dice"
    assert set(task.families) <= set(registry.names("family"))
    run = api.search(str(path), out=tmp_path / "run", trials=1, epochs=1, executor="inline")
    assert run.results.front
