"""What a MONAI bundle is beside the contract of every target: MONAI's own tools accept it."""

import io
import json
import subprocess
import sys
import zipfile
from dataclasses import replace

import nibabel
import numpy as np
import pytest
import safetensors.torch
import torch
from monai.bundle import ConfigParser, verify_metadata, verify_net_in_out
from monai.bundle.utils import load_bundle_config
from monai.data import get_track_meta, set_track_meta
from PIL import Image
from small_models import TASK, TELLTALES, model, sample, scans

from automed import registry
from automed.data import pixels
from automed.errors import ExportError
from automed.exporters import archive, monai_bundle
from automed.exporters.deployed import Deployed
from automed.sample import InputSpec, TargetSpec

FACTS = {
    "name": "resnet-007",
    "task": TASK.name,
    "problem": "classification",
    "target": json.dumps({"classes": ["background", "nodule"]}),
    "notice": "Not for clinical use.",
}
TENSOR = {
    "type": "object",
    "required": [
        "type", "format", "modality", "num_channels", "spatial_shape", "dtype", "value_range",
        "is_patch_data", "channel_def",
    ],
    "properties": {
        "type": {"enum": ["image", "series", "tuples", "probabilities"]},
        "format": {
            "enum": [
                "magnitude", "hounsfield", "kspace", "raw", "labels", "classes", "segmentation",
                "points", "normals", "indices", "sequence", "latent", "gradient",
            ]
        },
        "modality": {"type": "string"},
        "num_channels": {"type": "integer"},
        "spatial_shape": {"type": "array"},
        "dtype": {"type": "string"},
        "value_range": {"type": "array"},
        "is_patch_data": {"type": "boolean"},
        "channel_def": {"type": "object"},
    },
}  # fmt: skip
TENSORS = {"type": "object", "additionalProperties": TENSOR, "minProperties": 1}
TEXTS = [
    "version", "monai_version", "pytorch_version", "numpy_version", "task", "description",
    "authors", "copyright",
]  # fmt: skip
SCHEMA = {  # of what docs.monai.io/en/stable/mb_specification.html calls mandatory
    "type": "object",
    "required": [*TEXTS, "required_packages_version", "network_data_format"],
    "properties": {
        **{name: {"type": "string"} for name in TEXTS},
        "changelog": {"type": "object"},
        "required_packages_version": {"type": "object"},
        "network_data_format": {
            "type": "object",
            "required": ["inputs", "outputs"],
            "properties": {"inputs": TENSORS, "outputs": TENSORS},
        },
    },
}


def unzipped(artefact, folder):
    with zipfile.ZipFile(io.BytesIO(artefact)) as file:
        file.extractall(folder)
    (bundle,) = folder.iterdir()
    return bundle


@pytest.fixture(scope="module")
def artefact():
    return monai_bundle.export(model(24, 24), sample(24, 24).inputs, FACTS)


@pytest.fixture(scope="module")
def bundle(artefact, tmp_path_factory):
    return unzipped(artefact, tmp_path_factory.mktemp("bundle"))


def test_layout_is_that_of_monai(bundle):
    held = {str(p.relative_to(bundle)) for p in bundle.rglob("*") if p.is_file()}
    assert held == {
        "configs/metadata.json",
        "configs/inference.json",
        "models/model.onnx",
        "models/model.pt2",
        "models/model.safetensors",
        "docs/README.md",
        "LICENSE",
    }


def test_monai_verifies_the_metadata(bundle, tmp_path):
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))  # it is not fetched if it is there
    meta = str(bundle / "configs/metadata.json")
    verify_metadata(meta_file=meta, filepath=tmp_path / "schema.json")
    broken = json.loads((bundle / "configs/metadata.json").read_text())
    del broken["network_data_format"]["outputs"]["pred"]["dtype"]
    (tmp_path / "broken.json").write_text(json.dumps(broken))
    with pytest.raises(ValueError, match="dtype"):
        verify_metadata(meta_file=str(tmp_path / "broken.json"), filepath=tmp_path / "schema.json")


def segmenter(*size):
    given = sample(*size)
    problem = registry.part("problem", "segmentation").PROBLEM
    return Deployed(registry.family("unet")(width=4).build(given), given, problem)


def detector_of_anomalies(*size):
    given = replace(sample(*size), targets=(TargetSpec(name="target", kind="image"),))
    problem = registry.part("problem", "anomaly").PROBLEM
    return Deployed(registry.family("autoencoder")(width=4).build(given), given, problem)


@pytest.mark.parametrize(
    ("network", "size"),
    [
        (model, (24, 24)),
        (model, (16, 16, 16)),
        (segmenter, (24, 24)),
        (detector_of_anomalies, (24, 24)),
    ],
)
def test_monai_verifies_the_network_by_its_configs_alone(network, size, tmp_path):
    artefact = monai_bundle.export(network(*size), sample(*size).inputs, {})
    bundle = unzipped(artefact, tmp_path)
    configs = {
        "meta_file": str(bundle / "configs/metadata.json"),
        "config_file": str(bundle / "configs/inference.json"),
    }
    verify_net_in_out(net_id="network", device="cpu", bundle_root=str(bundle), **configs)
    wrong = {"_meta_#network_data_format#outputs#pred#num_channels": 7}
    with pytest.raises(ValueError, match="channel"):
        verify_net_in_out(
            net_id="network", device="cpu", bundle_root=str(bundle), **configs, **wrong
        )


def scanned(folder):
    """A volume of a scanner that counts from the right and from the front."""
    voxels = np.random.default_rng(0).normal(size=(6, 6, 6)).astype(np.float32)
    path = folder / "scan.nii.gz"
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([-1.0, -1.0, 1.0, 1.0])), path)
    return path


def pictured(folder):
    path = folder / "patch.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (6, 6)).astype(np.uint8)).save(path)
    return path


@pytest.mark.parametrize(("made", "size"), [(scanned, (6, 6, 6)), (pictured, (6, 6))])
def test_monai_reads_images_as_automed_does(made, size, tmp_path):
    bundle = unzipped(monai_bundle.export(model(*size), sample(*size).inputs, {}), tmp_path)
    path = made(tmp_path)
    parser = ConfigParser()
    parser.read_config(bundle / "configs/inference.json")
    parser["images"] = [str(path)]
    tracked = get_track_meta()
    set_track_meta(True)  # as in a process of MONAI's own; a training here switches it off
    try:
        given = parser.get_parsed_content("dataset")[0]
    finally:
        set_track_meta(tracked)
    np.testing.assert_array_equal(np.asarray(given), pixels.read(path).pixels)


def test_of_several_inputs_monai_gets_the_network_alone():
    inputs = (*sample(24, 24).inputs, InputSpec(name="age", kind="table", size=(), units="years"))
    assert "run" in monai_bundle._inference(inputs[:1])
    assert "run" not in monai_bundle._inference(inputs)
    assert "config_file" not in monai_bundle._page(inputs, {})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "raw HU; values outside (-1000.0, 400.0) are clipped"),
        ({"standardised": True, "window": (-3.0, 3.0)}, "own standard deviations"),
        ({"kind": "table", "size": ()}, "raw HU; as they are"),
    ],
)
def test_page_says_what_becomes_of_values(changes, says):
    (spec,) = (replace(spec, **changes) for spec in sample(24, 24).inputs)
    assert says in monai_bundle._page([spec], {})
    told = monai_bundle._input(spec)["value_range"]
    assert told == ([] if changes else [-1000.0, 400.0])


@pytest.mark.slow
def test_monai_runs_it_where_there_is_no_automed(bundle, artefact, tmp_path):
    images = scans(24, 24, number=2)
    paths = [str(tmp_path / f"{i}.npy") for i in range(2)]
    for path, image in zip(paths, images, strict=True):
        np.save(path, image[0])
    script = f"""
import sys
from monai.bundle import run
run(config_file="configs/inference.json", images={paths!r}, output_file={str(tmp_path / "y.npy")!r})
assert "automed" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], cwd=bundle, capture_output=True, check=True)
    runner = monai_bundle.load(artefact)
    wanted = [runner(image[None])[0] for image in images]
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), wanted, atol=1e-5)


def test_monai_reads_the_zip_under_its_own_name(artefact, tmp_path):
    path = tmp_path / f"resnet-007{monai_bundle.SUFFIX}"
    path.write_bytes(artefact)
    told = load_bundle_config(str(path), "inference.json")
    assert told.get("_meta_")["name"] == "resnet-007"
    assert told.get("_meta_")["automed"] == FACTS
    pred = told.get("_meta_")["network_data_format"]["outputs"]["pred"]
    assert pred["channel_def"] == {"0": "background", "1": "nodule"}


def test_weights_are_all_there_without_a_pickle(bundle):
    weights = safetensors.torch.load_file(bundle / "models/model.safetensors")
    network = model(24, 24).state_dict()
    assert set(weights) == set(network)
    assert all(torch.equal(weights[name], x) for name, x in network.items())


def test_bundle_tells_nothing_of_the_machine_it_was_made_on(artefact):
    content = artefact.replace(b"project-monai", b"")
    assert [t for t in TELLTALES if t.encode() in content] == []


def test_page_says_what_it_takes_and_what_for(bundle):
    page = (bundle / "docs/README.md").read_text()
    assert FACTS["notice"] in page
    assert "raw HU" in page


def test_metadata_is_kept_and_a_bundle_without_its_model_is_refused(artefact):
    assert monai_bundle.load(artefact).metadata == FACTS
    parts = {n: c for n, c in archive.unpack(artefact).items() if not n.endswith(".onnx")}
    with pytest.raises(ExportError, match=r"0 files models/model\.onnx"):
        monai_bundle.load(archive.pack(parts))
