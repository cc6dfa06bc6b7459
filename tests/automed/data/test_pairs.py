"""Pairs hold two patients, and no patient is ever in two parts."""

import numpy as np
import pytest
from PIL import Image

from automed import data
from automed.data import Source, open_parts
from automed.data.audit import audit
from automed.data.dataset import Dataset
from automed.data.pairs import COHORT, PARTNERS, paired
from automed.data.splits import split
from automed.errors import DataError
from automed.sample import InputSpec, SampleSpec, TargetSpec


def images(patients, each=1, split=None, grouped=True):
    """Images whose pixels, but one, say whose they are, with masks that say it too."""
    codes = np.repeat(np.arange(patients), each)
    values = np.broadcast_to(codes[:, None, None, None], (len(codes), 1, 16, 17)).astype(np.int16)
    values[..., -1, -1] = 99
    return Dataset(
        sample=SampleSpec(
            inputs=(InputSpec(size=(16, 17)),),
            targets=(TargetSpec(name="mask", kind="mask", classes=("background", "a")),),
        ),
        inputs={"image": values},
        targets={"mask": values.astype(np.uint8)},
        groups=codes if grouped else None,
        split=None if split is None else np.repeat(split, each),
    )


def owners(dataset):
    """The patients (M, 2) of the fixed and the moving image of every pair."""
    return np.stack([x[:, 0, 0, 0] for x in dataset.given], 1)


@pytest.mark.parametrize(("patients", "each"), [(12, 1), (13, 1), (50, 1), (16, 3), (7, 2)])
def test_pairs_are_of_two_patients_of_one_cohort(patients, each):
    made = paired(images(patients, each))
    who = owners(made)
    assert (who[:, 0] != who[:, 1]).all()
    assert np.array_equal(made.truth[:, :, 0, 0], who), "labels go with their images"
    cohorts = [set(who[made.groups == code].ravel()) for code in np.unique(made.groups)]
    assert sum(map(len, cohorts)) == patients, "no patient is in two cohorts"
    assert all(2 <= len(cohort) <= 2 * COHORT for cohort in cohorts)
    rows, counts = np.unique(who[:, 0], return_counts=True)
    assert len(rows) == patients
    assert max(counts) <= PARTNERS * each
    assert len(np.unique(np.column_stack([who, np.arange(len(who)) % each]), axis=0)) > patients


@pytest.mark.parametrize("patients", [12, 23, 60])
@pytest.mark.parametrize("seed", range(5))
def test_no_patient_is_in_two_parts(patients, seed):
    parts = split(paired(images(patients, 2)), seed=seed)
    held = [set(owners(p).ravel()) for p in (parts.train, parts.val, parts.sealed.open())]
    assert all(held)
    assert sum(map(len, held)) == patients
    assert len(set.union(*held)) == patients
    facts = dict(parts.facts)
    assert facts["split"].startswith("by cohort")
    assert "cohorts" in facts


def test_delivered_parts_are_kept_apart():
    split = np.array(["train"] * 8 + ["val"] * 5 + ["test"] * 3)
    made = paired(images(16, split=split))
    audit(made)
    for part in ("train", "val", "test"):
        inside = set(owners(made)[made.split == part].ravel())
        assert inside == set(np.flatnonzero(split == part))
    with pytest.raises(DataError, match="one patient in the test part; registration needs pairs"):
        paired(images(16, split=np.array(["train"] * 15 + ["test"])))


def test_it_is_the_same_every_time_and_says_what_it_did():
    one, again = paired(images(20)), paired(images(20))
    assert one.digest() == again.digest()
    assert one.description.startswith("40 pairs out of ")
    assert any("cohorts of about 4" in note for note in one.notes)
    assert [spec.name for spec in one.sample.inputs] == ["fixed", "moving"]
    assert one.sample.target.channels == 2
    neighbours = sum(abs(a - b) == 1 for a, b in owners(one).tolist())
    assert neighbours < len(one) / 2, "files that lie together need not be alike"


def test_rows_of_unknown_patients_are_patients_of_their_own():
    assert len(paired(images(20, grouped=False))) == 40


def test_one_patient_is_refused():
    with pytest.raises(DataError, match="one patient; registration needs pairs of two"):
        paired(images(1, 12))


def folder(root, number, masks=True):
    rng = np.random.default_rng(0)
    for name in ("images", "masks") if masks else ("images",):
        (root / name).mkdir(parents=True)
        for row in range(number):
            picture = np.zeros((20, 20), np.uint8)
            picture[5:12, 4 + row % 5 : 12] = 1 if name == "masks" else 150
            noise = 0 if name == "masks" else rng.integers(0, 40, picture.shape).astype(np.uint8)
            Image.fromarray(picture + noise).save(root / name / f"case{row}.png")
    return str(root)


def test_a_folder_of_images_and_masks_becomes_pairs(tmp_path):
    parts = open_parts(Source(place=folder(tmp_path / "ours", 12), target="field"))
    assert (len(parts.train), len(parts.val), len(parts.sealed)) == (8, 8, 8)
    first, second = parts.train.sample.inputs
    assert first.window == second.window, "images that are compared have one window"


@pytest.mark.parametrize(
    ("number", "masks", "said"),
    [
        (1, True, "1 samples; at least 10 are needed"),
        (12, False, "mask"),
        (6, True, "6 samples; at least 10 are needed"),
    ],
)
def test_folders_that_give_no_pairs_are_refused(tmp_path, number, masks, said):
    with pytest.raises(DataError, match=said):
        data.read(folder(tmp_path / "theirs", number, masks), {}, "field")
