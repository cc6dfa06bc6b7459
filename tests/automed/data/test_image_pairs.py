from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from automed import data
from automed.data import image_folder, image_pairs, pixels
from automed.data.audit import audit
from automed.errors import DataError

HIPPOCAMPI = Path(__file__).parents[3].parent / "shared" / "data" / "msd_hippocampus"


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith(".png"):
        Image.fromarray(values.astype(np.uint8)).save(path)
    else:
        nibabel.Nifti1Image(values, np.diag([1, 1, 2, 1])).to_filename(path)
    return values


def pair(root, name, size=(20, 24), *, folders=("images", "masks"), end=".png", foreground=255):
    rng = np.random.default_rng(len(name))
    values = save(root / folders[0] / f"{name}{end}", rng.integers(5, 200, size).astype(np.int16))
    mask = np.zeros(size, np.uint8)
    mask[4:9, 4:9] = foreground
    save(root / folders[1] / f"{name}{end}", mask)
    return values, mask


def read(root):
    return image_pairs.read(str(root), {}, "mask")


def test_pairs_are_told_by_name_and_255_is_a_class(tmp_path):
    values, mask = pair(tmp_path, "b")
    pair(tmp_path, "a")
    Image.fromarray(values.astype(np.uint8)).convert("RGB").save(tmp_path / "images" / "c.png")
    (tmp_path / "images" / "c.png").rename(tmp_path / "images" / "c.PNG")
    save(tmp_path / "masks" / "c.png", mask)
    dataset = read(tmp_path)
    np.testing.assert_array_equal(dataset.images[1, 0], values)
    np.testing.assert_array_equal(dataset.truth[1, 0], mask // 255)
    assert dataset.truth.dtype == np.uint8
    assert dataset.sample.target.classes == ("background", "class 255")
    assert dataset.groups is not None
    assert dataset.groups.tolist() == [0, 1, 2]
    assert any("each file is taken for one patient" in note for note in dataset.notes)
    assert not any("padded" in note for note in dataset.notes)
    assert dataset.description == (
        "3 samples of 20x24, 1 channel, 2 classes of pixels, folder of image and mask pairs"
    )


@pytest.mark.parametrize("folders", [("imagesTr", "labelsTr"), ("Image", "Label")])
def test_volumes_of_different_sizes_are_padded_at_the_far_ends(tmp_path, folders):
    small, mask = pair(tmp_path, "s", (16, 17, 20), folders=folders, end=".nii.gz", foreground=2)
    pair(tmp_path, "wide", (18, 16, 16), folders=folders, end=".nii.gz", foreground=1)
    save(tmp_path / folders[0] / "._s.nii.gz", small)
    dataset = read(tmp_path)
    assert dataset.images.shape == dataset.truth.shape == (2, 1, 18, 17, 20)
    assert dataset.sample.image.spacing_mm == (1.0, 1.0, 2.0)
    np.testing.assert_array_equal(dataset.images[0, 0, :16], small)
    assert (dataset.images[0, 0, 16:] == small.min()).all()
    np.testing.assert_array_equal(dataset.truth[0, 0, :16], mask)
    assert not dataset.truth[0, 0, 16:].any()
    assert "images of 2 sizes padded at the far end of each axis to 18x17x20" in dataset.notes[0]


def test_a_mask_that_fills_its_image_is_padded_with_background(tmp_path):
    pair(tmp_path, "a", (20, 30))
    save(tmp_path / "images" / "bb.png", np.full((20, 20), 7))
    save(tmp_path / "masks" / "bb.png", np.full((20, 20), 255))
    dataset = read(tmp_path)
    assert dataset.truth[1, 0, :, :20].all()
    assert not dataset.truth[1, 0, :, 20:].any()


def test_pixel_types_that_differ_become_floats(tmp_path):
    pair(tmp_path, "a", (16, 16, 16), end=".nii.gz")
    save(tmp_path / "images" / "b.nii.gz", np.ones((16, 16, 16), np.float32))
    save(tmp_path / "masks" / "b.nii.gz", np.ones((16, 16, 16), np.float32))
    dataset = read(tmp_path)
    assert dataset.images.dtype == np.float32
    assert dataset.sample.target.classes == ("background", "class 1", "class 255")


def test_masks_without_an_image_are_left_out_and_noted(tmp_path):
    pair(tmp_path, "a")
    save(tmp_path / "masks" / "SMITH.png", np.ones((20, 24)))
    assert "1 masks without an image left out" in read(tmp_path).notes


def without_mask(root):
    save(root / "images" / "SMITH.png", np.ones((20, 24)))


def torn(root):
    save(root / "images" / "SMITH.png", np.ones((20, 24)))
    save(root / "masks" / "SMITH.png", np.ones((20, 20)))


def damaged(root):
    pair(root, "SMITH")
    (root / "masks" / "SMITH.png").write_text("x")


def coloured(root):
    pair(root, "SMITH")
    rgb = np.random.default_rng(0).integers(0, 255, (20, 24, 3))
    save(root / "masks" / "SMITH.png", rgb)


def of_other_axes(root):
    pair(root, "SMITH", (16, 16, 16), end=".nii")


def ambiguous(root):
    pair(root, "SMITH")
    pair(root, "SMITH", end=".nii")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (without_mask, "1 of 2 images have no mask in the folder"),
        (torn, "1 of 2 images differ in size from their masks, as 20x24 with a mask of 20x20"),
        (damaged, "one mask of the folder is damaged"),
        (coloured, "1 of 2 masks have colours or channels"),
        (of_other_axes, "2D and 3D images in one folder"),
        (ambiguous, "1 files of one folder differ from others in the end"),
    ],
)
def test_pairs_that_do_not_fit_are_refused_without_naming_a_patient(tmp_path, spoil, says):
    pair(tmp_path, "a")
    spoil(tmp_path)
    with pytest.raises(DataError, match=says) as caught:
        read(tmp_path)
    assert "SMITH" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_an_empty_pair_of_folders_is_refused(tmp_path):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    with pytest.raises(DataError, match="no image in the folder; each image needs a mask"):
        read(tmp_path)


def test_it_accepts_such_folders_only_and_is_asked_before_folders_of_classes(tmp_path):
    for number in range(12):
        pair(tmp_path / "pairs", "x" * (number + 1))
    source = str(tmp_path / "pairs")
    assert image_pairs.accepts(source)
    assert image_folder.accepts(source)
    assert data.read(source, {}, "mask").sample.target.kind == "mask"
    with pytest.raises(DataError, match="has masks, but no label"):
        data.read(source, {}, "label")
    with pytest.raises(DataError, match="takes no keys"):
        data.read(source, {"masks": "x"}, "mask")
    (tmp_path / "classes" / "images").mkdir(parents=True)
    assert not image_pairs.accepts(str(tmp_path / "classes"))
    (tmp_path / "classes" / "masks").mkdir()
    (tmp_path / "classes" / "labels").mkdir()
    assert not image_pairs.accepts(str(tmp_path / "classes"))
    assert not image_pairs.accepts(str(tmp_path / "none"))


def test_real_brain_crops(tmp_path):
    if not HIPPOCAMPI.exists():
        pytest.skip("msd_hippocampus is not in ../shared/data")
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
        for path in sorted((HIPPOCAMPI / kind).glob("*.nii.gz"))[:12]:
            (tmp_path / kind / path.name).symlink_to(path)
    dataset = read(tmp_path)
    audit(dataset)
    assert len(dataset) == 12
    assert dataset.sample.target.classes == ("background", "class 1", "class 2")
    first = sorted((HIPPOCAMPI / "labels").glob("*.nii.gz"))[0]
    expected = pixels.read(first).pixels
    corner = tuple(slice(0, n) for n in expected.shape[1:])
    np.testing.assert_array_equal(dataset.truth[(0, slice(None), *corner)], expected)
