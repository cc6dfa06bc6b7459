import json
import subprocess
import sys

import nibabel
import numpy as np
import pytest
from PIL import Image

from automed.errors import DataError
from automed.exporters.onnx_runtime import Card
from automed.predict import predict
from automed.sample import InputSpec, TargetSpec


@pytest.fixture
def model(tiny_run):
    return sorted((tiny_run.folder / "models").glob("*.onnx"))[0]


@pytest.fixture
def hu():
    return np.random.default_rng(0).integers(-1000, 400, (32, 32))


def png(path, pixels):
    Image.fromarray(pixels).save(path)
    return path


def nifti(path, pixels):
    nibabel.save(nibabel.Nifti1Image(pixels, np.eye(4)), path)
    return path


def test_pictures_of_8_and_16_bits_and_nifti_are_taken(cli, model, hu, tmp_path):
    paths = [
        png(tmp_path / "eight.png", (hu % 256).astype(np.uint8)),
        png(tmp_path / "sixteen.png", (hu + 1000).astype(np.uint16)),
        nifti(tmp_path / "hounsfield.nii.gz", hu.astype(np.int16)),
    ]
    told = cli("predict", model, *paths)
    assert told.code == 0, told.stderr
    lines = told.stdout.splitlines()
    assert len(lines) == 3
    for path, line in zip(paths, lines, strict=True):
        assert line.startswith(str(path))
        assert {"background", "nodule"} <= set(line.split())
    assert "clinical" in told.stderr


def test_pictures_of_8_bits_are_no_hounsfield_units(cli, model, hu, tmp_path):
    byte = png(tmp_path / "eight.png", (hu % 256).astype(np.uint8))
    raw = nifti(tmp_path / "hounsfield.nii.gz", hu.astype(np.int16))
    warning, turned, notice = cli("predict", model, byte, raw).stderr.splitlines()
    assert warning.startswith("automed: 1 of 2 images are 8-bit")
    assert turned == (
        "automed: axes of 1 of 2 images lead towards right, anterior, the model's are not known: "
        "see that they agree"
    )
    assert "clinical" in notice
    assert "8-bit" not in cli("predict", model, raw).stderr
    assert "8-bit" in cli("predict", model, byte, "--json").stderr


def test_json_gives_probabilities_that_add_up(cli, model, hu, tmp_path):
    path = nifti(tmp_path / "hounsfield.nii", hu.astype(np.int16))
    told = cli("predict", model, path, "--json")
    assert told.code == 0
    probabilities = json.loads(told.stdout)[str(path)]
    assert set(probabilities) == {"background", "nodule"}
    assert sum(probabilities.values()) == pytest.approx(1.0, abs=1e-5)


def test_a_prediction_is_that_of_the_graph_fed_with_raw_values(cli, model, hu, tmp_path):
    import onnxruntime

    path = nifti(tmp_path / "hounsfield.nii", hu.astype(np.int16))
    told = json.loads(cli("predict", model, path, "--json").stdout)[str(path)]
    session = onnxruntime.InferenceSession(model)
    given = hu.astype(np.float32)[None, None]
    (probabilities,) = session.run(None, {session.get_inputs()[0].name: given})[0]
    assert list(told.values()) == pytest.approx(probabilities.tolist(), abs=1e-5)


def test_no_torch_is_imported(model, hu, tmp_path):
    path = png(tmp_path / "sixteen.png", (hu + 1000).astype(np.uint16))
    code = (
        "import sys\n"
        "from automed.cli import main\n"
        f"sys.argv = ['automed', 'predict', {str(model)!r}, {str(path)!r}]\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        "heavy = {'torch', 'monai', 'optuna', 'ray', 'onnx', 'sklearn', 'pandas'}\n"
        "sys.exit(' '.join(sorted(heavy & set(sys.modules))) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "nodule" in done.stdout


@pytest.mark.parametrize("shape", [(20, 32), (32, 32, 3)])
def test_a_wrong_size_is_told_with_both_shapes(cli, model, tmp_path, shape):
    pixels = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    told = cli("predict", model, png(tmp_path / "wrong.png", pixels))
    assert told.code == 2
    assert ("1x20x32" if len(shape) == 2 else "3x32x32") in told.stderr
    assert "1x32x32" in told.stderr
    assert told.stderr.startswith("automed: ")
    assert told.stderr.count("\n") == 1
    assert not told.stdout


def test_pixels_that_are_not_finite_are_refused(cli, model, hu, tmp_path):
    broken = hu.astype(np.float32)
    broken[3, 4] = np.nan
    told = cli("predict", model, nifti(tmp_path / "broken.nii", broken))
    assert told.code == 2
    assert "NaN" in told.stderr
    assert not told.stdout


def test_a_missing_image_or_model_and_a_file_that_is_no_model(cli, model, tmp_path):
    other = tmp_path / "other.onnx"
    other.write_bytes(b"not a model")
    image = png(tmp_path / "image.png", np.zeros((32, 32), np.uint8))
    for given, image_given, word in (
        (model, tmp_path / "none.png", "missing"),
        (tmp_path / "none.onnx", image, "no model"),
        (other, image, "no ONNX model"),
    ):
        told = cli("predict", given, image_given)
        assert told.code == 2
        assert word in told.stderr
        assert told.stderr.count("\n") == 1


class Stub:
    """A model of these inputs that answers with the means of what it is given."""

    def __init__(self, *inputs):
        self._inputs = inputs

    def card(self):
        return Card(
            task="t",
            problem="classification",
            inputs=self._inputs,
            target=TargetSpec(classes=("a", "b")),
            outputs=("probabilities",),
            notice="",
        )

    def outputs(self, *raw):
        for x, spec in zip(raw, self._inputs, strict=True):
            assert x.shape == (1, *spec.shape)
        return {"probabilities": np.array([[raw[0].mean(), raw[-1].mean()]], np.float32)}


IMAGE = InputSpec(size=(4, 4), channels=3)
TABLE = InputSpec(name="table", kind="table", channels=3)


def test_a_grey_picture_suits_a_model_of_colour_images():
    assert predict(Stub(IMAGE), [np.ones((1, 4, 4), np.uint8)]).values == {"a": 1.0, "b": 1.0}


def test_a_table_goes_beside_or_instead_of_the_image():
    image = np.zeros((3, 4, 4))
    assert predict(Stub(IMAGE, TABLE), [image], (61, 1, 1)).values == {"a": 0.0, "b": 21.0}
    assert predict(Stub(TABLE), [], (61, 1, 1)).values == {"a": 21.0, "b": 21.0}


@pytest.mark.parametrize(
    ("inputs", "images", "table", "told"),
    [
        ((IMAGE, TABLE), 1, None, "table of 3 numbers, given 0; .*--table 61,1,0"),
        ((IMAGE, TABLE), 1, (61, 1), "table of 3 numbers, given 2"),
        ((IMAGE, TABLE), 1, (61, 1, float("nan")), "NaN or Inf; fill in"),
        ((IMAGE,), 1, (61,), "takes no table"),
        ((IMAGE,), 0, None, "0 images for a model that takes 1"),
        ((TABLE,), 1, (1, 2, 3), "1 images for a model that takes 0"),
    ],
)
def test_an_input_too_many_or_too_few_is_refused(inputs, images, table, told):
    with pytest.raises(DataError, match=told):
        predict(Stub(*inputs), [np.zeros((3, 4, 4))] * images, table)


def test_options_that_do_not_suit_a_classifier(cli, model, hu, tmp_path):
    path = png(tmp_path / "image.png", (hu + 1000).astype(np.uint16))
    for options, told in (
        ((path, "--out", tmp_path / "mask.png"), "gives no map"),
        ((path, path, "--out", tmp_path / "mask.png"), "one image; given 2"),
        ((path, "--table", "61,1"), "takes no table"),
        ((path, "--table", "61,old"), "numbers such as 61,1,0"),
        ((), "0 images for a model that takes 1"),
    ):
        said = cli("predict", model, *options)
        assert said.code == 2
        assert told in said.stderr
        assert said.stderr.count("\n") == 1
        assert not said.stdout
    assert not (tmp_path / "mask.png").exists()
