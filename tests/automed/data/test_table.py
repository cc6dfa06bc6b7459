import csv
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from automed.data import table
from automed.data.audit import audit
from automed.data.splits import split
from automed.errors import DataError

SHARED = Path(__file__).parents[3].parent / "shared" / "data"
NODULES = SHARED / "lidc_nodule3d"
HIPPOCAMPI = SHARED / "msd_hippocampus" / "images"


def save(path, seed=0, size=(20, 20)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, size).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def write(folder, text, encoding="utf-8"):
    path = folder / "list.csv"
    path.write_text(text, encoding=encoding)
    return str(path)


@pytest.fixture
def folder(tmp_path):
    for number in range(4):
        save(tmp_path / "img" / f"{number}.png", number)
    return tmp_path


ROWS = "img/0.png,sick,SMITH,train\nimg/1.png,well,DOE,val\nimg/2.png,sick,SMITH,train\n"


def test_columns_are_found_in_any_case(folder):
    dataset = table.read(write(folder, "Path,Label,Patient_ID,Split\n" + ROWS), {})
    assert dataset.truth.tolist() == [0, 1, 0]
    assert dataset.sample.target.classes == ("sick", "well")
    assert dataset.groups is not None
    assert dataset.groups.tolist() == [0, 1, 0]
    assert dataset.split is not None
    assert dataset.split.tolist() == ["train", "val", "train"]
    assert dataset.description == "3 samples of 20x20, 1 channel, 2 classes, CSV"
    assert not any(name in repr(dataset) for name in ("SMITH", "DOE", "img/", str(folder)))


@pytest.mark.parametrize(
    "header", ["file,class,subject,split", "filename,diagnosis,case,split", "image,target,group,x"]
)
def test_other_usual_headings(folder, header):
    dataset = table.read(write(folder, header + "\n" + ROWS), {})
    assert len(dataset) == 3
    assert dataset.groups is not None


@pytest.mark.parametrize(
    "keys",
    [
        {"images": "where", "labels": "What", "group": "whose", "split": "half"},
        {"path": "where", "label": "what", "patient": "whose", "split": "half"},
    ],
)
def test_keys_name_the_columns(folder, keys):
    dataset = table.read(write(folder, "Where,What,Whose,Half\n" + ROWS), keys)
    assert dataset.groups is not None
    assert dataset.groups.tolist() == [0, 1, 0]
    assert dataset.split is not None


def test_none_sets_a_column_aside(folder):
    path = write(folder, "path,label,patient,split\n" + ROWS)
    dataset = table.read(path, {"group": "none", "split": "none"})
    assert dataset.groups is None
    assert dataset.split is None


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters_a_byte_order_mark_and_empty_lines(folder, delimiter):
    text = ("path,label,patient,split\n" + ROWS + "\n,,,\n").replace(",", delimiter)
    assert len(table.read(write(folder, text, "utf-8-sig"), {})) == 3


def test_numbers_as_labels_and_rows_without_one(folder):
    text = "path,label\nimg/0.png,1\nimg/1.png,-1\nimg/2.png,0\nimg/3.png,\n"
    dataset = table.read(write(folder, text), {})
    assert dataset.truth.tolist() == [1, 0]
    assert dataset.sample.target.classes == ("class 0", "class 1")
    assert any(note.startswith("2 of 4 rows have no label") for note in dataset.notes)


def test_volumes(tmp_path):
    for number in range(3):
        voxels = np.full((16, 17, 18), number, np.int16)
        nibabel.Nifti1Image(voxels, np.diag([1, 1, 2, 1])).to_filename(
            tmp_path / f"{number}.nii.gz"
        )
    dataset = table.read(write(tmp_path, "path,label\n0.nii.gz,a\n1.nii.gz,b\n2.nii.gz,a\n"), {})
    assert dataset.images.shape == (3, 1, 16, 17, 18)
    assert dataset.sample.image.spacing_mm == (1.0, 1.0, 2.0)


@pytest.mark.parametrize(
    ("text", "keys", "says"),
    [
        ("path,label\nimg/0.png,a\nSMITH.png,b\n", {}, "row 3: the image is missing"),
        ("path,label\nimg/0.png,a\nlist.csv,b\n", {}, "row 3: the image is of no known format"),
        ("path,label\nimg/0.png,a\nSMITH.png\n", {}, "row 3 has 1 fields where the header has 2"),
        ("where,label\nimg/0.png,a\n", {}, "no column named path or image or file or filename"),
        ("path,what\nimg/0.png,a\n", {}, "it holds path, what: say which"),
        ("path,label\nimg/0.png,a\n", {"label": "x"}, "no column named x for the labels"),
        ("path,label\nimg/0.png,a\n", {"colour": "x"}, "no role named colour; roles are images"),
        ("path,label,label\nimg/0.png,a,b\n", {}, "two columns share a heading"),
        ("path,label,patient\nimg/0.png,a,\nimg/1.png,b,SMITH\n", {}, "1 rows have no patient"),
        ("path,label,split\nimg/0.png,a,0\nimg/1.png,b,1\n", {}, "no row of the split"),
        ("path,label\n", {}, "no rows"),
        ("", {}, "no rows"),
    ],
)
def test_tables_that_cannot_be_used_are_refused_without_naming_a_patient(folder, text, keys, says):
    with pytest.raises(DataError, match=says) as caught:
        table.read(write(folder, text), keys)
    assert "SMITH" not in str(caught.value)
    assert str(folder) not in str(caught.value)


def test_a_damaged_image_is_named_by_its_row(folder):
    (folder / "SMITH.png").write_text("x")
    with pytest.raises(DataError, match=r"list.csv: row 2: the image is damaged") as caught:
        table.read(write(folder, "path,label\nSMITH.png,a\n"), {})
    assert "SMITH" not in str(caught.value)


def test_mixed_sizes_are_refused(folder):
    save(folder / "img" / "wide.png", size=(20, 30))
    with pytest.raises(DataError, match="1 of 20x20, 1 of 20x30"):
        table.read(write(folder, "path,label\nimg/0.png,a\nimg/wide.png,b\n"), {})


def test_missing_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        table.read(str(tmp_path / "none.csv"), {})
    (tmp_path / "bad.csv").write_bytes(b"\xff\xfe\x00path")
    with pytest.raises(DataError, match="UTF-8"):
        table.read(str(tmp_path / "bad.csv"), {})


def test_accepts_by_name():
    assert table.accepts("a/list.CSV")
    assert not table.accepts("a/list.npz")


def test_real_nodules_as_nifti(tmp_path):
    if not NODULES.exists():
        pytest.skip("lidc_nodule3d is not in ../shared/data")
    with (NODULES / "labels_trainval.csv").open() as file:
        delivered = list(csv.DictReader(file))
    lines = ["path,malignant,patient"]
    for row in delivered:
        path = NODULES / "nifti" / f"{row['name']}_image.nii.gz"
        if path.exists():
            lines.append(f"{path},{row['malignant']},{row['patient']}")
    dataset = table.read(write(tmp_path, "\n".join(lines)), {"label": "malignant"})
    audit(dataset)
    assert dataset.images.shape == (14, 1, 51, 51, 51)
    assert len(split(dataset, seed=0).sealed) >= 2
    archive = np.load(NODULES / "lidc_nodule3d_trainval.npz")
    first = archive["volumes"][archive["names"].tolist().index(delivered[0]["name"])]
    np.testing.assert_array_equal(dataset.images[0, 0], first)


def test_real_brain_crops_differ_in_size(tmp_path):
    if not HIPPOCAMPI.exists():
        pytest.skip("msd_hippocampus is not in ../shared/data")
    paths = sorted(HIPPOCAMPI.glob("*.nii.gz"))[:12]
    text = "path,label\n" + "".join(f"{path},{row % 2}\n" for row, path in enumerate(paths))
    with pytest.raises(DataError, match="more than one size"):
        table.read(write(tmp_path, text), {})


def test_masks_are_files_beside_the_images(folder):
    for number in range(4):
        outline = np.zeros((20, 20), np.uint8)
        outline[number : number + 5, 3:9] = 255
        Image.fromarray(outline).save(folder / "img" / f"{number}_mask.png")
    lines = [f"img/{n}.png,img/{n}_mask.png,{n // 2}" for n in range(4)]
    dataset = table.read(write(folder, "path,Mask,patient\n" + "\n".join(lines)), {}, "mask")
    assert dataset.sample.target.kind == "mask"
    assert dataset.sample.target.classes == ("background", "class 255")
    assert dataset.truth.shape == (4, 1, 20, 20)
    assert dataset.truth.dtype == np.uint8
    assert dataset.truth.sum(axis=(1, 2, 3)).tolist() == [30] * 4
    assert dataset.truth[2, 0, 2, 3] == 1
    assert dataset.description == "4 samples of 20x20, 1 channel, 2 classes of pixels, CSV"


def test_masks_are_named_by_a_key_and_labels_need_not_be_there(folder):
    text = "path,outline\nimg/0.png,img/1.png\nimg/1.png,SMITH.png\n"
    path = write(folder, text)
    with pytest.raises(DataError, match="no column named mask for the masks"):
        table.read(path, {}, "mask")
    with pytest.raises(DataError, match="row 3: the image is missing") as caught:
        table.read(path, {"masks": "outline"}, "mask")
    assert "SMITH" not in str(caught.value)
    with pytest.raises(DataError, match="no column named label"):
        table.read(path, {"mask": "outline"})


CLINIC = "path,label,Age,smoker\nimg/0.png,a,61,1\nimg/1.png,b,47.5,0\nimg/2.png,a,70,0\n"


def test_variables_stand_beside_the_images(folder):
    dataset = table.read(write(folder, CLINIC), {"table": "Age+smoker"})
    image, variables = dataset.sample.inputs
    assert (image.kind, variables.kind, variables.channels) == ("image", "table", 2)
    assert dataset.inputs["table"].dtype == np.float32
    assert dataset.inputs["table"].tolist() == [[61.0, 1.0], [47.5, 0.0], [70.0, 0.0]]
    assert [len(array) for array in dataset.given] == [3, 3]
    assert "20x20, 1 channel and 2 variables" in dataset.description


def test_variables_alone_need_no_image(folder):
    text = CLINIC.replace("path,", "number,").replace("img/", "")
    dataset = table.read(write(folder, text), {"table": "age"})
    (variables,) = dataset.sample.inputs
    assert (variables.kind, variables.shape) == ("table", (1,))
    assert dataset.sample.dims == 0
    assert dataset.truth.tolist() == [0, 1, 0]


def test_variables_follow_their_rows(folder):
    text = "path,label,age\nimg/0.png,a,1\nimg/1.png,,2\nimg/2.png,b,3\n"
    dataset = table.read(write(folder, text), {"table": "age"})
    assert dataset.inputs["table"].tolist() == [[1.0], [3.0]]


@pytest.mark.parametrize(
    ("keys", "text", "says"),
    [
        ({"table": "age+weight"}, CLINIC, r"no column named age\+weight for the table"),
        ({"table": "age"}, CLINIC.replace("47.5", ""), "row 3: the variable age is no number"),
        ({"table": "smoker"}, CLINIC.replace("61,1", "61,SMITH"), "row 2: the variable smoker"),
    ],
)
def test_variables_that_cannot_be_used_are_refused(folder, keys, text, says):
    with pytest.raises(DataError, match=says) as caught:
        table.read(write(folder, text), keys)
    assert "SMITH" not in str(caught.value)


def test_points_are_listed_in_a_column(folder):
    rows = "img/0.png,3 4 2|10 11 1.5\nimg/1.png,\nimg/2.png,5.5 6 3\n"
    dataset = table.read(write(folder, "path,points\n" + rows), {}, "points")
    assert dataset.sample.target.kind == "points"
    assert dataset.sample.target.channels == 4
    nan = [np.nan] * 3
    wanted = [[[3, 4, 2], [10, 11, 1.5]], [nan, nan], [[5.5, 6, 3], nan]]
    np.testing.assert_array_equal(dataset.truth, wanted)
    assert "3 objects" in dataset.description


@pytest.mark.parametrize(
    ("cell", "told"),
    [("3 4 two", "row 2: points hold something else"), ("3 4", "objects of 2 and 3 numbers")],
)
def test_points_that_are_none_are_refused(folder, cell, told):
    text = f"path,points\nimg/0.png,{cell}\nimg/1.png,3 4 2\n"
    with pytest.raises(DataError, match=told):
        table.read(write(folder, text), {}, "points")
