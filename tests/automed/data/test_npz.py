from pathlib import Path

import numpy as np
import pytest

from automed.data import npz
from automed.data.audit import audit
from automed.data.splits import split
from automed.errors import DataError

SHARED = Path(__file__).parents[3].parent / "shared" / "data"
LUNA16 = SHARED / "luna16_patches2d" / "luna16_patches2d_trainval.npz"
NODULE3D = SHARED / "lidc_nodule3d" / "lidc_nodule3d_trainval.npz"
MEDMNIST = SHARED / "medmnist"


def real(path):
    if not path.exists():
        pytest.skip(f"{path.name} is not in ../shared/data")
    return str(path)


def saved(folder, **arrays):
    path = folder / "made.npz"
    np.savez(path, **arrays)
    return str(path)


def images(*shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


def labels(count=12):
    return np.arange(count) % 2


@pytest.mark.parametrize(
    ("shape", "channels", "size"),
    [
        ((12, 20, 24), 1, (20, 24)),
        ((12, 20, 24, 1), 1, (20, 24)),
        ((12, 20, 24, 3), 3, (20, 24)),
        ((12, 3, 20, 24), 3, (20, 24)),
        ((12, 1, 20, 24), 1, (20, 24)),
        ((12, 17, 20, 24), 1, (17, 20, 24)),
        ((12, 1, 17, 20, 24), 1, (17, 20, 24)),
        ((12, 17, 20, 24, 3), 3, (17, 20, 24)),
    ],
)
def test_axes_are_told_apart_by_their_lengths(tmp_path, shape, channels, size):
    dataset = npz.read(saved(tmp_path, images=images(*shape), labels=labels()), {})
    assert dataset.images.shape == (12, channels, *size)
    assert (dataset.sample.image.channels, dataset.sample.image.size) == (channels, size)


def test_channels_last_become_first(tmp_path):
    pixels = images(12, 20, 24, 3)
    dataset = npz.read(saved(tmp_path, images=pixels, labels=labels()), {})
    np.testing.assert_array_equal(dataset.images[5, 2], pixels[5, :, :, 2])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float16, np.float32, ">i2"])
def test_the_dtype_is_kept_in_native_order(tmp_path, dtype):
    pixels = images(12, 20, 20, dtype=dtype)
    dataset = npz.read(saved(tmp_path, images=pixels, labels=labels()), {})
    assert dataset.images.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(dataset.images[:, 0], pixels)


@pytest.mark.parametrize(
    ("given", "codes", "classes"),
    [
        ([0, 1, 2, 0], [0, 1, 2, 0], ("class 0", "class 1", "class 2")),
        ([[1], [5], [1], [5]], [0, 1, 0, 1], ("class 1", "class 5")),
        ([0.0, 1.0, 1.0, 0.0], [0, 1, 1, 0], ("class 0", "class 1")),
        ([True, False, True, False], [1, 0, 1, 0], ("class 0", "class 1")),
        (["b", "a", "b", "a"], [1, 0, 1, 0], ("a", "b")),
        ([b"b", b"a", b"b", b"a"], [1, 0, 1, 0], ("a", "b")),
        (["2", "10", "2", "10"], [0, 1, 0, 1], ("class 2", "class 10")),
    ],
)
def test_labels_become_indices_into_class_names(tmp_path, given, codes, classes):
    dataset = npz.read(saved(tmp_path, images=images(4, 20, 20), labels=np.array(given)), {})
    assert dataset.truth.tolist() == codes
    assert dataset.truth.dtype == np.int64
    assert dataset.sample.target.classes == classes


@pytest.mark.parametrize(
    ("given", "names", "codes"),
    [
        ([0, 1, 0, 1], ["benign", "malignant"], [0, 1, 0, 1]),
        ([1, 2, 1, 2], ["benign", "malignant"], [0, 1, 0, 1]),
        ([0, 2, 0, 2], ["a", "b", "c"], [0, 2, 0, 2]),
        (["z", "a", "z", "a"], ["z", "a"], [0, 1, 0, 1]),
    ],
)
def test_given_class_names_are_used_in_their_order(tmp_path, given, names, codes):
    path = saved(tmp_path, images=images(4, 20, 20), labels=np.array(given), class_names=names)
    dataset = npz.read(path, {})
    assert dataset.truth.tolist() == codes
    assert dataset.sample.target.classes == tuple(names)


@pytest.mark.parametrize("given", [[0, 1, 5, 0], ["a", "b", "c", "a"]])
def test_class_names_that_do_not_fit_are_refused(tmp_path, given):
    path = saved(tmp_path, images=images(4, 20, 20), labels=np.array(given), classes=["a", "b"])
    with pytest.raises(DataError, match="names"):
        npz.read(path, {})


@pytest.mark.parametrize(
    "given", [[0, -1, 1, 0], [0.0, np.nan, 1.0, 0.0], ["a", "", "b", "a"], ["0", "-1", "1", "0"]]
)
def test_rows_without_a_label_are_set_apart_and_noted(tmp_path, given):
    pixels = images(4, 20, 20)
    path = saved(tmp_path, images=pixels, labels=np.array(given), patient=[9, 7, 5, 9])
    dataset = npz.read(path, {})
    np.testing.assert_array_equal(dataset.images[:, 0], pixels[[0, 2, 3]])
    assert dataset.groups is not None
    assert dataset.groups.tolist() == [0, 2, 0]
    bare = dataset.unlabelled
    assert bare is not None
    np.testing.assert_array_equal(bare.images[:, 0], pixels[[1]])
    assert bare.groups is not None
    assert bare.groups.tolist() == [1]
    assert any(note.startswith("1 of 4 rows have no label") for note in dataset.notes)


def test_ids_become_codes_by_first_appearance_and_are_not_kept(tmp_path):
    ids = np.array(["SMITH", "JONES", "SMITH", "DOE"])
    path = saved(tmp_path, images=images(4, 20, 20), labels=labels(4), patient_id=ids)
    dataset = npz.read(path, {})
    assert dataset.groups is not None
    assert dataset.groups.tolist() == [0, 1, 0, 2]
    for name in ("SMITH", "JONES", "DOE", "made", str(tmp_path)):
        assert name not in repr(dataset)


@pytest.mark.parametrize("name", ["group", "subject", "case_id", "series", "scan", "patients"])
def test_usual_names_of_patients_are_found(tmp_path, name):
    path = saved(tmp_path, images=images(4, 20, 20), labels=labels(4), **{name: [1, 1, 2, 2]})
    dataset = npz.read(path, {})
    assert dataset.groups is not None
    assert dataset.groups.tolist() == [0, 0, 1, 1]


def test_the_patient_is_preferred_to_the_scan(tmp_path):
    path = saved(
        tmp_path,
        images=images(4, 20, 20),
        labels=labels(4),
        scan=[1, 2, 3, 4],
        patient=[1, 1, 2, 2],
    )
    dataset = npz.read(path, {})
    assert dataset.groups is not None
    assert dataset.groups.tolist() == [0, 0, 1, 1]


def test_without_ids_a_note_says_so(tmp_path):
    dataset = npz.read(saved(tmp_path, images=images(4, 20, 20), labels=labels(4)), {})
    assert dataset.groups is None
    assert any("patient ids are unknown" in note for note in dataset.notes)


def test_a_group_can_be_derived_or_refused(tmp_path):
    path = saved(
        tmp_path, images=images(4, 20, 20), labels=labels(4), index=[3, 12, 17, 31], group=[0] * 4
    )
    derived = npz.read(path, {"group": "index//10"})
    assert derived.groups is not None
    assert derived.groups.tolist() == [0, 1, 1, 2]
    assert npz.read(path, {"group": "none"}).groups is None


@pytest.mark.parametrize(
    "given", [["train", "valid", "test", "drop"], [b"Train", b"val", b"test", b""]]
)
def test_a_delivered_split_is_kept_and_other_rows_are_left_out(tmp_path, given):
    path = saved(tmp_path, images=images(4, 20, 20), labels=labels(4), split=np.array(given))
    dataset = npz.read(path, {})
    assert dataset.split is not None
    assert dataset.split.tolist() == ["train", "val", "test"]
    assert any(note.startswith("1 rows of no part") for note in dataset.notes)
    assert npz.read(path, {"split": "none"}).split is None


def test_keys_name_the_arrays(tmp_path):
    path = saved(
        tmp_path,
        volumes=images(12, 16, 16, 16),
        grade=labels(),
        who=np.arange(12),
        half=["train"] * 12,
    )
    keys = {"images": "volumes", "labels": "grade", "group": "who", "split": "half"}
    dataset = npz.read(path, keys)
    assert dataset.sample.dims == 3
    assert dataset.description == "12 samples of 16x16x16, 1 channel, 2 classes, npz"


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (
            {"images": "pixels"},
            "no array named pixels for the images; it holds images, index, labels",
        ),
        ({"group": "whom"}, "no array named whom for the group"),
        ({"group": "index//0"}, "no array named index//0"),
        ({"group": "labels//2"}, "only whole numbers"),
        ({"picture": "images"}, "no role named picture; roles are images, signals"),
    ],
)
def test_wrong_keys_are_answered_with_what_is_there(tmp_path, keys, says):
    path = saved(tmp_path, images=images(4, 20, 20), labels=labels(4) * 1.0, index=np.arange(4))
    with pytest.raises(DataError, match=says):
        npz.read(path, keys)


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"images": images(4, 20, 20)}, "no array named labels for the labels"),
        ({"images": images(4, 20, 20), "labels": np.array([0, "a", None, 1])}, "Python objects"),
        ({"images": images(4, 20, 20), "labels": labels(5)}, "4 images, 5 labels"),
        ({"images": images(4, 20, 20), "labels": np.eye(4)}, r"labels of shape \(4, 4\)"),
        ({"images": images(4, 20, 20), "labels": np.array([0.5, 1, 0, 1])}, "not whole"),
        ({"images": images(4, 20), "labels": labels(4)}, r"images of shape \(4, 20\)"),
        ({"images": images(4, 20, 20) > 9, "labels": labels(4)}, "images of type bool"),
        ({"images": images(0, 20, 20), "labels": labels(0)}, "no images"),
        (
            {"images": images(4, 20, 20), "labels": labels(4), "split": np.arange(4)},
            "no row of the split",
        ),
        (
            {"images": images(4, 20, 20), "labels": labels(4), "patient": ["a", "", "b", "b"]},
            "1 rows have no patient",
        ),
    ],
)
def test_arrays_that_cannot_be_used_are_refused_in_one_line(tmp_path, arrays, says):
    with pytest.raises(DataError, match=says) as caught:
        npz.read(saved(tmp_path, **arrays), {})
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_objects_are_never_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "exploded",))

    bomb = np.empty(4, object)
    bomb[0] = Bomb()
    path = saved(tmp_path, images=bomb, labels=labels(4))
    with pytest.raises(DataError, match="not unpickled"):
        npz.read(path, {})
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("content", [b"", b"no archive at all", b"PK\x03\x04 torn"])
def test_a_file_that_is_no_archive_is_refused(tmp_path, content):
    path = tmp_path / "made.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged, or not an"):
        npz.read(str(path), {})


def test_one_flipped_bit_is_noticed(tmp_path):
    path = Path(saved(tmp_path, images=images(12, 20, 20), labels=labels()))
    content = bytearray(path.read_bytes())
    content[2000] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        npz.read(str(path), {})


def test_a_broken_array_header_is_noticed(tmp_path):
    path = Path(saved(tmp_path, images=images(12, 20, 20), labels=labels()))
    path.write_bytes(path.read_bytes().replace(b"'shape': (12, 20, 20)", b"'shape': (12, 20, (20"))
    with pytest.raises(DataError, match="damaged"):
        npz.read(str(path), {})


def test_a_lone_array_or_a_missing_file_is_refused(tmp_path):
    with (tmp_path / "lone.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DataError, match="damaged, or not an"):
        npz.read(str(tmp_path / "lone.npz"), {})
    with pytest.raises(DataError, match="no such file"):
        npz.read(str(tmp_path / "none.npz"), {})


def medmnist(parts=("train", "val", "test"), shape=(20, 20, 3)):
    made = {}
    for number, part in enumerate(parts):
        made[f"{part}_images"] = images(10 + number, *shape)
        made[f"{part}_labels"] = labels(10 + number)[:, None]
    return made


def test_medmnist_brings_its_split_and_channels(tmp_path):
    dataset = npz.read(saved(tmp_path, **medmnist()), {})
    assert dataset.images.shape == (33, 3, 20, 20)
    assert dataset.split is not None
    assert dataset.split.tolist() == ["train"] * 10 + ["val"] * 11 + ["test"] * 12


def test_medmnist_takes_no_keys_and_needs_its_labels(tmp_path):
    arrays = medmnist()
    with pytest.raises(DataError, match="names its own arrays"):
        npz.read(saved(tmp_path, **arrays), {"group": "train_labels"})
    with pytest.raises(DataError, match="11 val_images but 3 val_labels"):
        npz.read(saved(tmp_path, **arrays | {"val_labels": labels(3)}), {})
    with pytest.raises(DataError, match="more than one size"):
        npz.read(saved(tmp_path, **arrays | {"val_images": images(11, 22, 20, 3)}), {})
    del arrays["test_labels"]
    with pytest.raises(DataError, match="no array named 'test_labels'"):
        npz.read(saved(tmp_path, **arrays), {})


def test_accepts_by_name():
    assert npz.accepts("some/where.NPZ")
    assert not npz.accepts("some/where.csv")


def test_luna16_patches():
    dataset = npz.read(real(LUNA16), {})
    audit(dataset)
    parts = split(dataset, seed=0)
    assert dataset.description == "6,461 samples of 50x50, 1 channel, 2 classes, npz"
    assert len(parts.sealed) == 1091
    assert parts.train.sample.image.units == "uint8"
    assert "delivered val is the sealed test" in dict(parts.facts)["split"]
    derived = npz.read(str(LUNA16), {"group": "candidate_index//5000"})
    np.testing.assert_array_equal(derived.groups, dataset.groups)


def test_luna16_authors_split_leaks_and_is_refused():
    dataset = npz.read(real(LUNA16), {"split": "original_repo_split"})
    with pytest.raises(DataError, match="88 of 88 patients"):
        audit(dataset)


@pytest.mark.parametrize(("name", "test"), [("pneumoniamnist", 624), ("breastmnist", 156)])
def test_medmnist_files(name, test):
    dataset = npz.read(real(MEDMNIST / f"{name}.npz"), {})
    audit(dataset)
    parts = split(dataset, seed=0)
    assert len(parts.sealed) == test
    assert dict(parts.facts)["split"] == "as delivered"


def test_nodule_volumes():
    keys = {"images": "volumes", "labels": "texture_class", "group": "patient"}
    dataset = npz.read(real(NODULE3D), keys)
    audit(dataset)
    assert dataset.images.shape == (108, 1, 51, 51, 51)
    assert split(dataset, seed=0).train.sample.image.units == "a.u."
    rated = npz.read(str(NODULE3D), keys | {"labels": "malignant"})
    assert any(note.startswith("33 of 108 rows have no label") for note in rated.notes)
    assert len(rated.sample.target.classes) == 2


def test_roles_answer_to_their_usual_names_as_in_a_table(tmp_path):
    path = saved(tmp_path, images=images(12, 20, 24), texture=labels(), whose=np.arange(12) // 2)
    dataset = npz.read(path, {"Labels": "texture", "patient": "whose"})
    np.testing.assert_array_equal(dataset.truth, labels())
    np.testing.assert_array_equal(dataset.groups, np.arange(12) // 2)


def numbers(*shape):
    return np.random.default_rng(1).normal(size=shape)


@pytest.mark.parametrize(("shape", "channels"), [((12, 40), 1), ((12, 3, 40), 3)])
def test_signals(tmp_path, shape, channels):
    given = numbers(*shape)
    dataset = npz.read(saved(tmp_path, signals=given, labels=labels()), {})
    audit(dataset)
    assert dataset.images.shape == (12, channels, 40)
    assert dataset.sample.dims == 1
    np.testing.assert_array_equal(dataset.images.reshape(shape), given)
    plural = "s" if channels > 1 else ""
    assert dataset.description == f"12 samples of 40, {channels} channel{plural}, 2 classes, npz"


def test_a_table_alone_or_beside_images(tmp_path):
    variables = numbers(12, 5)
    alone = npz.read(saved(tmp_path, table=variables, labels=labels()), {})
    audit(alone)
    assert alone.sample.dims == 0
    (spec,) = alone.sample.inputs
    assert (spec.kind, spec.shape) == ("table", (5,))
    given = labels()
    given[3] = -1
    path = saved(tmp_path, who=variables, images=images(12, 20, 20), labels=given)
    beside = npz.read(path, {"table": "who"})
    assert [spec.kind for spec in beside.sample.inputs] == ["image", "table"]
    assert beside.inputs["table"].dtype == np.float32
    np.testing.assert_allclose(beside.inputs["table"], np.delete(variables, 3, axis=0), rtol=1e-6)
    assert len(beside.images) == 11


@pytest.mark.parametrize("size", [(20, 24), (16, 17, 18)])
def test_masks(tmp_path, size):
    given = np.random.default_rng(2).choice([0, 3, 7], (12, *size))
    path = saved(tmp_path, images=images(12, *size), masks=given, labels=labels())
    dataset = npz.read(path, {}, "mask")
    audit(dataset)
    assert dataset.truth.shape == (12, 1, *size)
    assert dataset.truth.dtype == np.uint8
    np.testing.assert_array_equal(dataset.truth[:, 0], np.searchsorted([0, 3, 7], given))
    assert dataset.sample.target.classes == ("background", "class 3", "class 7")
    named = saved(tmp_path, images=images(12, *size), masks=given, classes=["rest", "a", "b"])
    assert npz.read(named, {}, "mask").sample.target.classes == ("rest", "a", "b")


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"signals": numbers(12, 2, 3, 40)}, r"signals of shape \(12, 2, 3, 40\)"),
        ({"signals": numbers(12, 40) > 0}, "signals of shape .*, bool"),
        ({"table": numbers(12)}, r"a table of shape \(12,\)"),
        ({"table": np.full((12, 2), "x")}, "one row a sample"),
        ({"table": numbers(11, 2)}, "11 table, 12 labels"),
    ],
)
def test_inputs_that_cannot_be_used_are_refused(tmp_path, arrays, says):
    with pytest.raises(DataError, match=says):
        npz.read(saved(tmp_path, labels=labels(), **arrays), {})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (numbers(12, 20, 20), "a mask holds 0 for background"),
        (images(12, 20, 20) % 90, "masks of 90 values from 0 to 89"),
        (-(images(12, 20, 20) % 2).astype(int), "values from -1 to 0"),
        (images(11, 20, 20) % 2, "12 images, 11 masks"),
        (None, "no array named masks for the masks"),
    ],
)
def test_masks_that_cannot_be_used_are_refused(tmp_path, given, says):
    arrays = {} if given is None else {"masks": given}
    with pytest.raises(DataError, match=says):
        npz.read(saved(tmp_path, images=images(12, 20, 20), **arrays), {}, "mask")


def objects(count, most, dims):
    """As many objects as the row's number, at most all, each after a row of NaN."""
    points = np.full((count, 2 * most, dims + 1), np.nan)
    for row in range(count):
        points[row, 1 : 2 * min(row, most) : 2] = np.arange(dims + 1) + row
    return points


@pytest.mark.parametrize("size", [(20, 24), (17, 20, 24)])
@pytest.mark.parametrize("keys", [{}, {"points": "where"}])
def test_points_come_first_and_as_many_as_the_fullest_image_has(tmp_path, size, keys):
    given = objects(12, 3, len(size))
    path = saved(tmp_path, images=images(12, *size), **{keys.get("points", "points"): given})
    dataset = npz.read(path, keys, "points")
    assert dataset.truth.shape == (12, 3, len(size) + 1)
    assert dataset.truth.dtype == np.float32
    assert np.isfinite(dataset.truth[..., -1]).sum(axis=1).tolist() == [0, 1, 2] + [3] * 9
    assert np.isfinite(dataset.truth[5]).all()
    assert dataset.sample.target.channels == len(size) + 2
    assert dataset.description.endswith("30 objects, npz")
    audit(dataset)


@pytest.mark.parametrize(
    ("points", "told"),
    [
        (np.zeros((12, 3)), r"points of shape \(12, 3\)"),
        (np.zeros((12, 1, 4)), r"allowed are numbers of shape \(N,M,3\)"),
        (np.full((12, 1, 3), "a"), "allowed are numbers"),
        (np.zeros((11, 1, 3)), "12 images, 11 points"),
    ],
)
def test_points_of_another_shape_are_refused(tmp_path, points, told):
    with pytest.raises(DataError, match=told):
        npz.read(saved(tmp_path, images=images(12, 20, 24), points=points), {}, "points")


@pytest.mark.parametrize("role", ["images", "signals"])
def test_target_images_are_laid_out_as_the_images_are(tmp_path, role):
    shape = (12, 20, 24, 3) if role == "images" else (12, 2, 40)
    given = images(*shape)
    path = saved(tmp_path, **{role: given, "clean": given[::-1]})
    dataset = npz.read(path, {"targets": "clean"}, "image")
    audit(dataset)
    np.testing.assert_array_equal(dataset.truth, dataset.images[::-1])
    assert dataset.sample.target.kind == "image"
    assert dataset.sample.target.channels == dataset.sample.image.channels
    assert "each with a target image" in dataset.description
    parts = split(dataset, seed=0)
    assert parts.train.truth.dtype == np.float32
    assert 0 <= parts.train.truth.min() < parts.train.truth.max() <= 1
    with pytest.raises(DataError, match="no array named targets for the targets"):
        npz.read(path, {}, "image")


def test_target_images_of_another_shape_are_refused(tmp_path):
    path = saved(tmp_path, images=images(12, 20, 24), targets=images(12, 20, 22))
    with pytest.raises(DataError, match="target images of 1x20x22 for images of 1x20x24"):
        audit(npz.read(path, {}, "image"))
