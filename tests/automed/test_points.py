"""One small search for a network that finds objects, from the file to the list it tells."""

import base64
import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from PIL import Image

from automed import baselines
from automed.data import Source, open_parts
from automed.exporters import outputs
from automed.exporters.onnx_runtime import Model
from automed.problems.detection import SURE, Hits

SIZE = 32
TASK = """
title: Bright balls in noise
problem: detection
data: none
families: [detector]
objectives: {froc: maximize, latency_ms: minimize}
training: {batch: 8, learning_rate: 0.01, augment: [flip, rotate90]}
baselines: [blob-detector]
"""


DICOM = Path(__file__).parents[2].parent / "shared" / "data" / "chest_ct_dicom"


def balls(number, seed=0):
    """Noisy images (N, H, W) with none to two balls, and their points."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE]
    images = rng.normal(100, 20, (number, SIZE, SIZE))
    points = np.full((number, 2, 3), np.nan)
    for row in range(number):
        for k in range(row % 3):
            radius, down = rng.uniform(2.5, 5), rng.uniform(7, 9) + 16 * k
            across = rng.uniform(6, SIZE - 6)
            images[row] += 60 * (np.hypot(y - down, x - across) < radius)
            points[row, k] = down, across, radius
    return images.clip(0, 255).astype(np.uint8), points


@pytest.fixture(scope="module")
def run(searched):
    images, points = balls(90)
    arrays = {"images": images, "where": points}
    return searched(TASK, arrays, keys={"points": "where"}, trials=1, epochs=10)


def test_the_search_learns_to_find(run):
    best = run.results.front[-1]
    assert best.validation["froc"].value > 0.8
    assert best.sealed["froc"].value > 0.8
    assert best.verified["max_difference"] < 1e-4
    floor = next(m for m in run.results.baselines if m.name == "blob-detector")
    assert floor.sealed["average_precision"].value > 0.3
    assert dict(run.results.data)["objects"].count("none in") == 3
    front = pd.read_csv(run.folder / "pareto.csv")
    wanted = {f"{p}_{m}" for p in ("val", "test") for m in ("froc", "average_precision")}
    assert wanted <= set(front.columns)


def test_the_report_shows_circles(run):
    assert {e.title for e in run.results.examples} == {"Worst", "Median", "Best"}
    assert all(e.outlined for e in run.results.examples)
    page = (run.folder / "report.html").read_text()
    assert "FROC" in page
    for example in run.results.examples:
        assert example.caption in page
        assert Image.open(io.BytesIO(base64.b64decode(example.png))).size == (240, 240)


def test_the_graph_lists_what_its_metrics_are_of(run):
    """Of fixed length and by onnxruntime alone; the metrics read the same list from the maps."""
    path, (images, points) = run.folder / run.best.artefact, balls(6, seed=5)
    session = onnxruntime.InferenceSession(path.read_bytes())
    assert [o.name for o in session.get_outputs()] == ["maps", "centres", "radii", "scores"]
    raw = images[:, None].astype(np.float32)
    hits = Hits.of(outputs(Model(path), [raw]), points)
    for row in range(len(raw)):
        _, centres, radii, scores = session.run(None, {"image": raw[row : row + 1]})
        assert centres.shape == (1, scores.shape[1], 2)
        np.testing.assert_array_equal(scores[0], hits.scores[row])
        known = scores[0] > 0
        np.testing.assert_array_equal(centres[0][known], hits.points[row][known, :2])
        np.testing.assert_array_equal(radii[0][known], hits.points[row][known, 2])


def test_predict_lists_the_sure_objects(cli, run, tmp_path):
    (*_, image), (*_, truth) = balls(3, seed=7)
    Image.fromarray(image).save(tmp_path / "image.png")
    model = run.folder / run.best.artefact
    told = json.loads(cli("predict", model, tmp_path / "image.png", "--json").stdout)
    (answer,) = told.values()
    listed = Model(model).outputs(image[None, None])
    number = int((listed["scores"][0] >= SURE).sum())
    assert [one["score"] for one in answer["objects"]] == listed["scores"][0, :number].tolist()
    assert [one["centre"] for one in answer["objects"]] == listed["centres"][0, :number].tolist()
    assert number >= 1
    strongest = answer["objects"][0]["centre"]
    assert any(np.hypot(*(p[:2] - strongest)) < p[2] for p in truth)
    lines = cli("predict", model, tmp_path / "image.png").stdout.splitlines()
    assert lines[0].endswith(f"found {len(answer['objects'])}")
    assert len(lines) == 1 + len(answer["objects"])
    assert "centre" in lines[1]
    assert "radius" in lines[1]
    refused = cli("predict", model, tmp_path / "image.png", "--out", tmp_path / "mask.png")
    assert refused.code == 2
    assert "gives no map" in refused.stderr


def boxes(path):
    """The tumours of one slice as points: the middles of their boxes, and half the longer side."""
    for box in ElementTree.parse(path).iter("bndbox"):
        left, top, right, low = (float(box.find(k).text) for k in ("xmin", "ymin", "xmax", "ymax"))
        yield (top + low) / 2, (left + right) / 2, max(right - left, low - top) / 2


def test_tumours_in_real_slices_are_taken_from_their_boxes(tmp_path):
    """Uncompressed files of one scanner: the pixels are the last half megabyte of each."""
    slices = sorted((DICOM / "lung_dx_a0002_b40f").glob("*.dcm"))
    if not slices:
        pytest.skip("chest_ct_dicom is not in ../shared/data")
    images = np.empty((len(slices), 512, 512), np.int16)
    points = np.full((len(slices), 3, 3), np.nan)
    for row, path in enumerate(slices):
        content = path.read_bytes()
        images[row] = np.frombuffer(content[-(2 * 512**2) :], "<i2").reshape(512, 512) - 1024
        uid = re.search(rb"\x08\x00\x18\x00UI..([0-9.]+)", content, re.DOTALL)[1].decode()
        marked = DICOM / "lung_dx_a0002_annotation_xml" / f"{uid}.xml"
        found = list(boxes(marked)) if marked.is_file() else []
        points[row, : len(found)] = np.reshape(found, (-1, 3))
    np.savez(tmp_path / "slices.npz", images=images, points=points)
    parts = open_parts(Source(place=str(tmp_path / "slices.npz"), target="points"))
    assert parts.train.sample.image.units == "HU"
    assert np.isfinite(points[..., -1]).sum() == 10
    inside = [
        images[row, round(y), round(x)]
        for row, y, x in (
            (n, *p[:2]) for n in range(len(points)) for p in points[n] if np.isfinite(p).all()
        )
    ]
    assert np.mean(np.array(inside) > -300) > 0.8, "the middle of a tumour is no air"
    model = Model(baselines.fit("blob-detector", parts.train, 0))
    listed = model.outputs(parts.val.images[:1])
    assert listed["centres"].shape == (1, 32, 2)
    assert np.isfinite(listed["radii"]).all()
