import numpy as np
import pytest
from PIL import Image

from automed.data import image_folder
from automed.errors import DataError


def save(path, seed=0, size=(20, 20)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, size).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def test_sub_folders_are_classes_at_any_depth(tmp_path):
    save(tmp_path / "nodule" / "a.png", 1)
    deep = save(tmp_path / "background" / "x" / "y" / "b.png", 2)
    save(tmp_path / "nodule" / "c.jpg", 3)
    dataset = image_folder.read(str(tmp_path), {})
    assert dataset.sample.target.classes == ("background", "nodule")
    assert dataset.truth.tolist() == [0, 1, 1]
    np.testing.assert_array_equal(dataset.images[0, 0], deep)
    assert dataset.description == "3 samples of 20x20, 1 channel, 2 classes, image folder"
    assert dataset.groups is None
    assert dataset.split is None
    assert any("patient ids are unknown" in note for note in dataset.notes)


def test_class_names_that_are_numbers_stay_names(tmp_path):
    save(tmp_path / "0" / "a.png")
    save(tmp_path / "3" / "b.png")
    dataset = image_folder.read(str(tmp_path), {})
    assert dataset.sample.target.classes == ("0", "3")
    assert dataset.truth.tolist() == [0, 1]


def test_hidden_files_are_ignored_and_foreign_or_broken_ones_counted(tmp_path):
    save(tmp_path / "a" / "1.png")
    save(tmp_path / "b" / "2.png")
    save(tmp_path / ".hidden" / "3.png")
    save(tmp_path / "__MACOSX" / "4.png")
    (tmp_path / "a" / ".DS_Store").write_text("x")
    (tmp_path / "a" / "notes.txt").write_text("x")
    (tmp_path / "b" / "Thumbs.db").write_text("x")
    (tmp_path / "b" / "broken.png").write_text("x")
    (tmp_path / "readme.md").write_text("x")
    dataset = image_folder.read(str(tmp_path), {})
    assert len(dataset) == 2
    assert "2 files that are no image in a class folder left out" in dataset.notes
    assert "1 images that could not be read left out" in dataset.notes


@pytest.mark.parametrize(
    ("folders", "parts"),
    [
        (("train", "val", "test"), ["test", "test", "train", "train", "val", "val"]),
        (("Training", "validation", "testing"), ["train", "train", "test", "test", "val", "val"]),
        (("train", "test"), ["test", "test", "train", "train"]),
    ],
)
def test_a_delivered_split_is_kept(tmp_path, folders, parts):
    for folder in folders:
        save(tmp_path / folder / "sick" / "a.png")
        save(tmp_path / folder / "well" / "a.png")
    dataset = image_folder.read(str(tmp_path), {})
    assert dataset.split is not None
    assert dataset.split.tolist() == parts
    assert dataset.sample.target.classes == ("sick", "well")


def test_no_note_names_a_file(tmp_path):
    save(tmp_path / "a" / "SMITH_john.png")
    save(tmp_path / "b" / "DOE_jane.png")
    (tmp_path / "b" / "ROE_rick.png").write_text("x")
    shown = repr(image_folder.read(str(tmp_path), {}))
    assert not any(name in shown for name in ("SMITH", "DOE", "ROE", str(tmp_path)))


def test_mixed_sizes_are_refused(tmp_path):
    for number, side in enumerate([20, 20, 24]):
        save(tmp_path / "a" / f"{number}.png", size=(side, side))
    with pytest.raises(DataError, match="2 of 20x20, 1 of 24x24"):
        image_folder.read(str(tmp_path), {})


def test_folders_without_usable_images_are_refused(tmp_path):
    with pytest.raises(DataError, match="no image found"):
        image_folder.read(str(tmp_path), {})
    save(tmp_path / "loose.png")
    with pytest.raises(DataError, match="one sub-folder per class"):
        image_folder.read(str(tmp_path), {})
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "SMITH.png").write_text("x")
    with pytest.raises(DataError, match="none of 1 images can be read") as caught:
        image_folder.read(str(tmp_path), {})
    assert "SMITH" not in str(caught.value)


def test_keys_are_refused(tmp_path):
    with pytest.raises(DataError, match="takes no keys"):
        image_folder.read(str(tmp_path), {"labels": "x"})


def test_accepts_folders_only(tmp_path):
    assert image_folder.accepts(str(tmp_path))
    assert not image_folder.accepts(str(tmp_path / "missing"))
    assert not image_folder.accepts("phantom:lung-ct")
