import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from automed.data import pixels
from automed.errors import DataError

SHARED = Path(__file__).parents[3].parent / "shared" / "data"
CHEST_CT = SHARED / "chest_ct_dicom" / "cip_ct-64.nii.gz"


def noise(*shape, dtype=np.uint8, high=256):
    return np.random.default_rng(0).integers(0, high, shape).astype(dtype)


def nifti(path, voxels, affine=None, slope=None, unit="mm"):
    image = nibabel.Nifti1Image(voxels, np.eye(4) if affine is None else affine)
    image.header.set_xyzt_units(unit)
    if slope is not None:
        image.header.set_slope_inter(*slope)
    image.to_filename(path)
    return path


def test_grey_png_has_one_channel(tmp_path):
    grey = noise(20, 24)
    Image.fromarray(grey).save(tmp_path / "a.png")
    picture = pixels.read(tmp_path / "a.png")
    assert picture.pixels.dtype == np.uint8
    assert picture.spacing_mm is None
    np.testing.assert_array_equal(picture.pixels, grey[None])


def test_16_bit_png_keeps_its_bits(tmp_path):
    grey = noise(20, 24, dtype=np.uint16, high=65536)
    Image.fromarray(grey).save(tmp_path / "a.png")
    picture = pixels.read(tmp_path / "a.png")
    assert picture.pixels.dtype == np.uint16
    np.testing.assert_array_equal(picture.pixels, grey[None])


def test_colour_is_grey_only_if_its_channels_are_equal(tmp_path):
    colour = noise(20, 24, 3)
    Image.fromarray(colour).save(tmp_path / "colour.png")
    np.testing.assert_array_equal(
        pixels.read(tmp_path / "colour.png").pixels, np.moveaxis(colour, -1, 0)
    )
    equal = np.repeat(colour[..., :1], 3, axis=-1)
    Image.fromarray(equal).save(tmp_path / "equal.png")
    np.testing.assert_array_equal(pixels.read(tmp_path / "equal.png").pixels[0], equal[..., 0])


@pytest.mark.parametrize(("mode", "channels"), [("1", 1), ("LA", 1), ("P", 3), ("RGBA", 3)])
def test_other_modes_of_png_become_grey_or_colour(tmp_path, mode, channels):
    Image.fromarray(noise(20, 24, 3)).convert(mode).save(tmp_path / "a.png")
    picture = pixels.read(tmp_path / "a.png")
    assert picture.pixels.shape == (channels, 20, 24)
    assert picture.pixels.dtype == np.uint8


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG"])
def test_jpeg(tmp_path, name):
    Image.fromarray(np.full((20, 24), 77, np.uint8)).save(tmp_path / name, format="JPEG")
    np.testing.assert_array_equal(pixels.read(tmp_path / name).pixels, np.full((1, 20, 24), 77))


def test_a_rotation_mark_is_obeyed(tmp_path):
    image = Image.fromarray(noise(20, 24))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.jpg", exif=exif)
    assert pixels.read(tmp_path / "a.jpg").pixels.shape == (1, 24, 20)


def test_16_bit_colour_is_refused_rather_than_cut_to_8(tmp_path):
    Image.fromarray(noise(20, 24, 3)).save(tmp_path / "a.png")
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[24] = 16
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match="16-bit colour"):
        pixels.read(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_nifti_keeps_dtype_and_spacing(tmp_path, name):
    voxels = noise(18, 20, 22, dtype=np.int16) - 1000
    path = nifti(tmp_path / name, voxels, np.diag([0.7, 0.8, 2.5, 1]))
    picture = pixels.read(path)
    assert picture.pixels.dtype == np.int16
    assert picture.spacing_mm == (0.7, 0.8, 2.5)
    np.testing.assert_array_equal(picture.pixels, voxels[None])


def test_nifti_is_scaled_as_its_header_says(tmp_path):
    voxels = noise(18, 20, 22, dtype=np.int16)
    picture = pixels.read(nifti(tmp_path / "a.nii", voxels, slope=(2.0, -1024.0)))
    assert picture.pixels.dtype == np.float32
    np.testing.assert_array_equal(picture.pixels[0], voxels * 2.0 - 1024.0)


def test_nifti_is_turned_to_canonical_axes(tmp_path):
    voxels = noise(18, 20, 22)
    affine = np.array([[0, 0, -3.0, 0], [2.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 0, 1]])
    picture = pixels.read(nifti(tmp_path / "a.nii", voxels, affine))
    assert picture.spacing_mm == (3.0, 2.0, 1.0)
    np.testing.assert_array_equal(picture.pixels[0], voxels.transpose(2, 0, 1)[::-1])


@pytest.mark.parametrize(("shape", "spacing"), [((18, 20, 1), (1, 2)), ((18, 1, 22), (1, 3))])
def test_an_axis_of_one_voxel_is_dropped(tmp_path, shape, spacing):
    voxels = noise(*shape)
    picture = pixels.read(nifti(tmp_path / "a.nii", voxels, np.diag([1, 2, 3, 1])))
    assert picture.spacing_mm == spacing
    np.testing.assert_array_equal(picture.pixels[0], voxels.squeeze())


def test_a_nifti_of_two_axes(tmp_path):
    voxels = noise(18, 20)
    np.testing.assert_array_equal(
        pixels.read(nifti(tmp_path / "a.nii", voxels)).pixels, voxels[None]
    )


def test_a_fourth_axis_holds_channels(tmp_path):
    voxels = noise(18, 20, 22, 2)
    picture = pixels.read(nifti(tmp_path / "a.nii", voxels))
    np.testing.assert_array_equal(picture.pixels, np.moveaxis(voxels, -1, 0))
    with pytest.raises(DataError, match="up to 4 channels"):
        pixels.read(nifti(tmp_path / "series.nii", noise(18, 20, 22, 30)))


def test_spacing_in_other_units_becomes_mm(tmp_path):
    affine = np.diag([50, 50, 100, 1])
    picture = pixels.read(nifti(tmp_path / "a.nii", noise(18, 20, 22), affine, unit="micron"))
    assert picture.spacing_mm == (0.05, 0.05, 0.1)


def test_big_endian_nifti(tmp_path):
    voxels = noise(18, 20, 22, dtype=np.int16)
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    nibabel.Nifti1Image(voxels, np.eye(4), header).to_filename(tmp_path / "a.nii")
    picture = pixels.read(tmp_path / "a.nii")
    assert picture.pixels.dtype.isnative
    np.testing.assert_array_equal(picture.pixels[0], voxels)


def test_nifti_2(tmp_path):
    voxels = noise(18, 20, 22)
    nibabel.Nifti2Image(voxels, np.eye(4)).to_filename(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(pixels.read(tmp_path / "a.nii.gz").pixels[0], voxels)


def test_every_flipped_bit_of_a_gzipped_nifti_is_noticed(tmp_path):
    path = nifti(tmp_path / "a.nii.gz", noise(18, 20, 22))
    content = path.read_bytes()
    for position in np.random.default_rng(0).integers(20, len(content), 40):
        torn = bytearray(content)
        torn[position] ^= 1
        path.write_bytes(torn)
        with pytest.raises(DataError, match="damaged"):
            pixels.read(path)


def test_truncated_files_are_refused(tmp_path):
    Image.fromarray(noise(40, 40)).save(tmp_path / "a.png")
    Image.fromarray(noise(40, 40)).save(tmp_path / "a.jpg")
    nifti(tmp_path / "a.nii", noise(18, 20, 22))
    nifti(tmp_path / "a.nii.gz", noise(18, 20, 22))
    for path in sorted(tmp_path.iterdir()):
        content = path.read_bytes()
        for share in (0.0, 0.01, 0.5, 0.9):
            path.write_bytes(content[: int(share * len(content))])
            with pytest.raises(pixels.ImageError) as caught:
                pixels.read(path)
            assert path.name in str(caught.value)
            assert path.name not in caught.value.reason
            assert str(tmp_path) not in str(caught.value)


def test_content_that_is_not_what_the_name_says_is_refused(tmp_path):
    for name in ("a.png", "a.jpg", "a.nii", "a.nii.gz"):
        (tmp_path / name).write_bytes(b"hello " * 100)
        with pytest.raises(DataError):
            pixels.read(tmp_path / name)
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(b"hello " * 100))
    with pytest.raises(DataError):
        pixels.read(tmp_path / "b.nii.gz")


def test_missing_foreign_and_odd_files_are_refused(tmp_path):
    with pytest.raises(DataError, match="is missing"):
        pixels.read(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(DataError, match="no known format; known: "):
        pixels.read(tmp_path / "a.txt")
    with pytest.raises(DataError, match="complex"):
        pixels.read(nifti(tmp_path / "a.nii", noise(18, 20, 22).astype(np.complex64)))
    with pytest.raises(DataError, match="neither a 2D nor a 3D"):
        pixels.read(nifti(tmp_path / "b.nii", noise(18, 1, 1)))


def test_stack_joins_grey_and_colour(tmp_path):
    grey = pixels.Picture(pixels=noise(1, 20, 20))
    colour = pixels.Picture(pixels=noise(3, 20, 20))
    images, spacing_mm, _, notes = pixels.stack([grey, colour])
    assert images.shape == (2, 3, 20, 20)
    np.testing.assert_array_equal(images[0, 2], grey.pixels[0])
    assert spacing_mm is None
    assert notes == ("1 grey images among colour ones got three equal channels",)


def test_stack_keeps_a_common_spacing_only():
    def picture(*spacing_mm):
        return pixels.Picture(pixels=noise(1, 20, 20), spacing_mm=spacing_mm)

    assert pixels.stack([picture(1.0, 2.0), picture(1.001, 2.0)])[1:] == ((1.0, 2.0), (), ())
    _, spacing_mm, _, notes = pixels.stack([picture(1.0, 2.0), picture(1.5, 2.0)])
    assert spacing_mm is None
    assert "spacing differs" in notes[0]


def test_axes_are_told_where_they_are_known(tmp_path):
    volume = pixels.read(nifti(tmp_path / "a.nii", noise(18, 20, 22)))
    slab = pixels.read(nifti(tmp_path / "b.nii", noise(18, 1, 22)))
    assert volume.axes == ("right", "anterior", "superior")
    assert slab.axes == ("right", "superior")
    plain = pixels.Picture(pixels=volume.pixels)
    assert pixels.stack([volume, volume]).axes == volume.axes
    assert pixels.stack([volume, plain]).axes == ()


def test_stack_refuses_mixed_sizes_and_types():
    made = [pixels.Picture(pixels=noise(1, 20, side)) for side in (20, 20, 21, 22, 23)]
    with pytest.raises(DataError, match="2 of 20x20, 1 of 20x21, 1 of 20x22 and 1 more"):
        pixels.stack(made)
    with pytest.raises(DataError, match="pixel type: 1 of uint8, 1 of uint16"):
        pixels.stack([made[0], pixels.Picture(pixels=noise(1, 20, 20, dtype=np.uint16))])
    with pytest.raises(DataError, match="number of channels"):
        pixels.stack([made[0], pixels.Picture(pixels=noise(2, 20, 20))])


def test_a_real_chest_ct():
    if not CHEST_CT.exists():
        pytest.skip("cip_ct-64.nii.gz is not in ../shared/data")
    picture = pixels.read(CHEST_CT)
    assert picture.pixels.shape == (1, 64, 64, 79)
    assert picture.pixels.dtype == np.int16
    assert picture.spacing_mm == pytest.approx((4.17187, 4.17187, 3.98734), abs=1e-4)
