"""Archives of images with labels, patients and splits."""

from pathlib import Path

import numpy as np
import pytest
from made_arrays import images, labels, saved

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
