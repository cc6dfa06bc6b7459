"""A written label map lies where its image lies."""

import nibabel
import numpy as np
import pytest
from PIL import Image

from automed.data import image_files, pixels
from automed.errors import DataError

AXES = [np.eye(3), np.diag([-1.0, -1, 1]), np.array([[0, 0, 2.0], [-1, 0, 0], [0, 3, 0]])]


def affine(axes):
    full = np.eye(4)
    full[:3, :3], full[:3, 3] = axes, (-5, 7, 9)
    return full


@pytest.mark.parametrize("axes", AXES, ids=["canonical", "flipped", "turned"])
@pytest.mark.parametrize("shape", [(4, 5, 6), (4, 5, 1), (4, 1, 6), (4, 5), (4, 5, 6, 2)])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_nifti_maps_have_the_size_and_affine_of_the_image(tmp_path, axes, shape, ending):
    stored = np.random.default_rng(0).integers(0, 3, shape).astype(np.int16)
    image = nibabel.Nifti1Image(stored, affine(axes))
    image.header["descrip"] = b"Mustermann"
    image.header.set_xyzt_units("mm")
    nibabel.save(image, tmp_path / f"image{ending}")
    read = pixels.read(tmp_path / f"image{ending}").pixels
    path = tmp_path / f"mask{ending}"
    image_files.write(read[0].astype(np.uint8), path, like=tmp_path / f"image{ending}")
    written = nibabel.load(path)
    np.testing.assert_allclose(written.affine, image.affine)
    np.testing.assert_array_equal(
        np.asarray(written.dataobj), stored if stored.ndim < 4 else stored[..., 0]
    )
    assert written.get_data_dtype() == np.uint8
    assert written.header["descrip"].item() == b""
    assert written.header.get_xyzt_units()[0] == "mm"


def test_png_maps_hold_class_numbers(tmp_path):
    labels = np.arange(20, dtype=np.uint8).reshape(4, 5)
    image_files.write(labels, tmp_path / "mask.png", like=tmp_path / "image.jpg")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "mask.png")), labels)


def test_what_cannot_hold_a_map_is_refused_with_what_can(tmp_path):
    flat, deep = np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)
    for labels, path, like, allowed in (
        (flat, "mask.nii.gz", "image.png", r"\.png or \.npy$"),
        (deep, "mask.png", "image.nii", r"\.nii or \.nii\.gz or \.npy$"),
        (flat, "mask.jpg", "image.nii", r"\.nii or \.nii\.gz or \.png or \.npy$"),
    ):
        with pytest.raises(DataError, match=allowed):
            image_files.write(labels, tmp_path / path, like=tmp_path / like)
    with pytest.raises(DataError, match="cannot write"):
        image_files.write(flat, tmp_path / "none" / "mask.png", like=tmp_path / "image.png")
    (tmp_path / "image.png").touch()
    with pytest.raises(DataError, match="image itself"):
        image_files.write(flat, tmp_path / "image.png", like=tmp_path / "image.png")
    assert (tmp_path / "image.png").stat().st_size == 0


def test_images_are_written_in_the_units_they_came_in(tmp_path):
    grey = np.arange(20, dtype=np.uint8).reshape(4, 5)
    Image.fromarray(grey).save(tmp_path / "image.png")
    made = np.stack([grey + 240.4]).astype(np.float32)
    image_files.write(made, tmp_path / "made.png", like=tmp_path / "image.png")
    seen = np.asarray(Image.open(tmp_path / "made.png"))
    np.testing.assert_array_equal(seen, np.minimum(grey.astype(int) + 240, 255))
    image_files.write(made, tmp_path / "made.npy", like=tmp_path / "image.png")
    np.testing.assert_array_equal(np.load(tmp_path / "made.npy"), made[0])
    colour = np.zeros((3, 4, 5), np.float32)
    colour[1] = 200
    image_files.write(colour, tmp_path / "colour.png", like=tmp_path / "image.png")
    assert Image.open(tmp_path / "colour.png").getpixel((0, 0)) == (0, 200, 0)


def test_volumes_of_hounsfield_units_go_to_nifti_and_never_to_png(tmp_path):
    stored = np.random.default_rng(0).normal(-500, 300, (4, 5, 6)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(stored, affine(AXES[2])), tmp_path / "image.nii.gz")
    read = pixels.read(tmp_path / "image.nii.gz").pixels
    image_files.write(read, tmp_path / "made.nii.gz", like=tmp_path / "image.nii.gz")
    written = nibabel.load(tmp_path / "made.nii.gz")
    np.testing.assert_allclose(np.asarray(written.dataobj), stored, rtol=1e-6)
    np.testing.assert_allclose(written.affine, affine(AXES[2]))
    flat = np.zeros((1, 4, 5), np.float32)
    with pytest.raises(DataError, match=r"\.nii or \.nii\.gz or \.npy$"):
        image_files.write(flat, tmp_path / "made.png", like=tmp_path / "image.nii.gz")
