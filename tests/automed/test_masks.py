"""One small search for a network that outlines, from the file to the mask that it draws."""

import base64
import io
import json
import subprocess
import sys

import nibabel
import numpy as np
import onnx
import pandas as pd
import pytest
from PIL import Image

from automed import api
from automed.errors import TaskError

SIZE = 32
TASK = """
title: Bright blobs in noise
problem: segmentation
data: none
families: [unet]
objectives: {dice: maximize, latency_ms: minimize}
training: {batch: 8, learning_rate: 0.01, augment: [flip]}
"""


def blobs(number, seed=0):
    """Noisy images (N, H, W) and the masks of an ellipse in each."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE]
    cy, cx = rng.uniform(8, SIZE - 8, (2, number, 1, 1))
    ry, rx = rng.uniform(4, 8, (2, number, 1, 1))
    masks = ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1
    images = rng.normal(100, 20, (number, SIZE, SIZE)) + 60 * masks
    return images.clip(0, 255).astype(np.uint8), masks.astype(np.uint8)


@pytest.fixture(scope="module")
def run(searched):
    images, masks = blobs(60)
    arrays = {"images": images, "masks": masks, "classes": ["tissue", "blob"]}
    return searched(TASK, arrays, trials=2, epochs=4)


def test_the_search_learns_to_outline(run):
    best = max(run.results.front, key=lambda m: m.validation["dice"].value)
    assert best.validation["dice"].value > 0.5
    assert best.sealed["dice"].value > 0.5
    assert best.verified["max_difference"] < 1e-4
    assert run.results.errors == ("hd95",)
    assert run.results.units == {"hd95": "pixels"}
    facts = dict(run.results.data)
    assert facts["foreground share"].startswith("train: ")
    assert facts["foreground share"].count(" % blob") == 3
    assert facts["split"] == "by sample, seed 0"


def test_the_table_holds_both_metrics(run):
    front = pd.read_csv(run.folder / "pareto.csv")
    wanted = {
        f"{p}_{m}{e}" for p in ("val", "test") for m in ("dice", "hd95") for e in ("", "_low")
    }
    assert wanted <= set(front.columns)
    assert front["val_dice"].is_monotonic_increasing
    assert front["latency_ms"].is_monotonic_increasing


def test_the_report_shows_the_worst_the_median_and_the_best(run):
    shown = run.results.examples
    assert [e.title for e in shown] == ["Worst"] * 2 + ["Median"] * 2 + ["Best"] * 2
    assert all(e.outlined for e in shown)
    page = (run.folder / "report.html").read_text()
    for example in shown:
        assert example.png in page
        assert example.caption in page
        picture = Image.open(io.BytesIO(base64.b64decode(example.png)))
        assert picture.size == (240, 240)
    assert "HD95 (pixels, less is better)" in page
    assert "less is better" not in page.split("Every metric of every model")[0]
    assert "AUC" not in (run.folder / "model-card.md").read_text()
    run.report()
    assert (run.folder / "report.html").read_text() == page, "results.json holds all of it"


def test_the_model_says_what_it_takes_and_gives(run):
    model = onnx.load(run.folder / run.best.artefact)
    facts = {m.key: m.value for m in model.metadata_props}
    assert facts["problem"] == "segmentation"
    assert json.loads(facts["outputs"]) == ["probabilities", "labels"]
    assert json.loads(facts["target"])["classes"] == ["tissue", "blob"]
    assert [o.name for o in model.graph.output] == ["probabilities", "labels"]


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """An image and its mask that no search has seen, as PNG and as NIfTI with an affine."""
    folder = tmp_path_factory.mktemp("seen")
    (image,), (mask,) = blobs(1, seed=5)
    Image.fromarray(image).save(folder / "image.png")
    affine = np.diag([0.7, 0.7, 5.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(image, affine), folder / "image.nii.gz")
    return folder, mask


def test_predict_writes_the_mask_and_tells_the_shares(cli, run, seen, tmp_path):
    folder, mask = seen
    model = run.folder / run.best.artefact
    for name, out in (("image.png", "mask.png"), ("image.nii.gz", "mask.nii.gz")):
        told = cli("predict", model, folder / name, "--out", tmp_path / out, "--json")
        assert told.code == 0, told.stderr
        if out.endswith(".png"):
            labels = np.asarray(Image.open(tmp_path / out))
        else:
            written = nibabel.load(tmp_path / out)
            labels = np.asarray(written.dataobj)
            np.testing.assert_allclose(written.affine, np.diag([0.7, 0.7, 5.0, 1.0]))
        assert labels.shape == mask.shape
        assert 2 * (labels & mask).sum() / (labels.sum() + mask.sum()) > 0.5
        (shares,) = json.loads(told.stdout).values()
        assert shares == pytest.approx({"tissue": 1 - labels.mean(), "blob": labels.mean()})


def test_predict_without_out_says_how_to_get_the_map_and_needs_no_torch(run, seen):
    code = (
        "import sys\n"
        "from automed.cli import main\n"
        f"sys.argv = ['automed', 'predict', {str(run.folder / run.best.artefact)!r}, "
        f"{str(seen[0] / 'image.png')!r}]\n"
        "main()\n"
        "sys.exit(' '.join({'torch', 'monai', 'onnx', 'pandas'} & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "  tissue 0." in done.stdout
    assert "--out mask.nii.gz" in done.stderr


def test_an_objective_against_its_metric_is_refused(tmp_path, inline):
    turned = tmp_path / "turned.yaml"
    turned.write_text(TASK.replace("dice: maximize", "hd95: maximize"))
    with pytest.raises(TaskError, match="maximize hd95; write hd95: minimize"):
        api.search(task=str(turned), data=tmp_path, out=tmp_path / "run", executor="inline")
