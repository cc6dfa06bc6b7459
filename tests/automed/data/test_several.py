"""Findings and values: several numbers a sample, from files to split parts."""

import numpy as np
import pytest

from automed.data import Source, npz, open_parts, table
from automed.data.audit import audit
from automed.data.columns import Columns, assemble
from automed.data.splits import split
from automed.errors import DataError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 255, (12, 16, 16)).astype(np.uint8)
FINDINGS = np.array([[1, 0], [0, 1], [0, 0], [1, 1]] * 3)


def saved(folder, **arrays):
    np.savez(folder / "x.npz", **arrays)
    return str(folder / "x.npz")


def rows_of(values, target, groups=None, parts=None, names=()):
    """Rows of a table with findings or values to learn."""
    given = np.asarray(values, np.float64)
    return assemble(
        Columns(
            table=np.arange(len(given), dtype=float)[:, None],
            findings=given if target == "labels" else None,
            values=given if target == "value" else None,
            groups=groups,
            split=parts,
            classes=names,
        ),
        source="x",
        form="test",
    )


def test_findings_of_an_archive(tmp_path):
    labels = FINDINGS.copy()
    labels[0, 1], labels[5] = -1, (-1, -7)
    data = npz.read(saved(tmp_path, images=IMAGES, labels=labels, classes=["a", "b"]), {}, "labels")
    audit(data)
    assert data.sample.target.classes == ("a", "b")
    assert data.truth.dtype == np.float32
    assert np.isnan(data.truth[0, 1])
    assert len(data) == 11
    assert any(note.startswith("1 of 12 rows have no label") for note in data.notes)
    assert "2 findings each" in data.description


def test_medmnist_of_several_findings(tmp_path):
    labels = np.tile([[1, 0, 1], [0, 1, 0]], (6, 1))
    arrays = {f"{p}_images": IMAGES for p in ("train", "val", "test")}
    arrays |= {f"{p}_labels": labels for p in ("train", "val", "test")}
    path = saved(tmp_path, **arrays)
    assert npz.read(path, {}, "labels").truth.shape == (36, 3)
    with pytest.raises(DataError, match="several findings a row to problem multilabel"):
        npz.read(path, {})


def test_values_of_an_archive(tmp_path):
    values = RNG.normal(60, 9, 12)
    values[3] = np.nan
    data = npz.read(saved(tmp_path, images=IMAGES, values=values), {}, "value")
    assert data.sample.target.classes == ("value",)
    assert data.truth.shape == (11, 1)
    by_name = {"values": "ages"}
    data = npz.read(saved(tmp_path, images=IMAGES, ages=FINDINGS * 7), by_name, "value")
    assert data.sample.target.classes == ("value 0", "value 1")


def test_columns_of_a_csv(tmp_path):
    lines = [f"{n},{n % 2},{'' if n == 2 else n // 2 % 2},{40 + n}" for n in range(12)]
    path = tmp_path / "x.csv"
    path.write_text("\n".join(["x,Edema,mass,age", *lines]))
    keys = {"table": "x", "labels": "edema+mass"}
    findings = table.read(str(path), keys, "labels")
    assert findings.sample.target.classes == ("edema", "mass")
    assert np.isnan(findings.truth[2, 1])
    assert np.isfinite(findings.truth).sum() == 23
    values = table.read(str(path), {"table": "x+mass", "values": "age"} | {"table": "x"}, "value")
    assert values.sample.target.classes == ("age",)
    assert values.truth[:, 0].tolist() == list(range(40, 52))
    with pytest.raises(DataError, match=r"labels=edema\+mass are several columns.*multilabel"):
        table.read(str(path), keys)
    with pytest.raises(DataError, match="row 4: the variable mass is no number; fill it in"):
        table.read(str(path), {"table": "mass", "labels": "edema"})


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (np.arange(12), "one class a row is for problem classification"),
        (FINDINGS[:, :1], "one class a row is for problem classification"),
        (2 * FINDINGS, "labels hold 2; allowed are 1 where a finding is there"),
        (FINDINGS.astype(str), "columns \\(N, K\\) of numbers"),
    ],
)
def test_labels_that_are_no_findings_are_refused(tmp_path, labels, says):
    with pytest.raises(DataError, match=says):
        npz.read(saved(tmp_path, images=IMAGES, labels=labels), {}, "labels")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (["a"] * 12, "code words as numbers"),
        (np.full(12, np.inf), "12 rows hold infinite values"),
        (np.zeros((12, 2, 2)), "allowed are numbers"),
    ],
)
def test_values_that_are_no_numbers_are_refused(tmp_path, values, says):
    with pytest.raises(DataError, match=says):
        npz.read(saved(tmp_path, images=IMAGES, values=values), {}, "value")


def test_what_cannot_be_learnt_is_refused(tmp_path):
    with pytest.raises(DataError, match="finding 1 is there in 1"):
        audit(rows_of([[n % 2, n == 3] for n in range(12)], "labels"))
    with pytest.raises(DataError, match="the value age is the same in every sample"):
        audit(rows_of([[5.0]] * 12, "value", names=("age",)))
    with pytest.raises(DataError, match="2 columns of findings but 3 names"):
        rows_of(FINDINGS, "labels", names=("a", "b", "c"))
    with pytest.raises(DataError, match="no array named values or value for the values"):
        open_parts(Source(place=saved(tmp_path, images=IMAGES, labels=FINDINGS), target="value"))


@pytest.mark.parametrize("by_patient", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_every_part_has_its_share_of_every_finding(by_patient, seed):
    rng = np.random.default_rng(seed)
    truth = (rng.random((300, 4)) < [0.5, 0.2, 0.1, 0.06]).astype(float)
    groups = rng.integers(0, 100, 300) if by_patient else None
    parts = split(rows_of(truth, "labels", groups), seed=seed)
    every = [p.truth for p in (parts.train, parts.val, parts.sealed.open())]
    for part, share in zip(every, (0.6, 0.2, 0.2), strict=True):
        assert len(part) == pytest.approx(300 * share, abs=30)
        assert ((part == 1).any(axis=0) & (part == 0).any(axis=0)).all()
        assert part.mean(axis=0) == pytest.approx(truth.mean(axis=0), abs=0.07)
    assert "finding 3" in dict(parts.facts)["share with each finding"]


def test_a_finding_too_rare_for_three_parts_is_named():
    truth = [[n % 2, n in (3, 5)] for n in range(40)]
    with pytest.raises(DataError, match=r"finding 1: 2.*each needs 3 or more.*leave out"):
        split(rows_of(truth, "labels"), seed=0)
    parts = np.repeat(["train", "val", "test"], [20, 10, 10])
    with pytest.raises(DataError, match="no finding 1 in the val part of the split"):
        split(rows_of(truth, "labels", parts=parts), seed=0)


@pytest.mark.parametrize("seed", range(5))
def test_values_are_spread_over_the_parts_and_scaled_by_training_alone(seed):
    rng = np.random.default_rng(seed)
    truth = rng.lognormal(3, 1, (120, 2))
    truth[rng.random((120, 2)) < 0.1] = np.nan
    dataset = rows_of(truth, "value", rng.integers(0, 60, 120))
    parts = split(dataset, seed=seed)
    target = parts.train.sample.target
    assert target.centre == pytest.approx(np.nanmean(parts.train.truth, axis=0), rel=1e-5)
    assert target.scale == pytest.approx(np.nanstd(parts.train.truth, axis=0), rel=1e-5)
    assert parts.val.sample.target == parts.sealed.open().sample.target == target
    medians = [np.nanmedian(p.truth, axis=0) for p in (parts.train, parts.val)]
    assert medians[0] == pytest.approx(medians[1], rel=0.5)


def test_few_or_tied_values_are_split_too():
    few = split(rows_of(np.arange(10.0), "value"), seed=0)
    assert min(len(few.train), len(few.val), len(few.sealed)) >= 2
    ratings = np.repeat([1.0, 5.0], [50, 10])
    parts = split(rows_of(ratings, "value"), seed=0)
    assert all((part.truth == 5).sum() >= 2 for part in (parts.train, parts.val))
    halves = np.repeat(["train", "val", "test"], [20, 20, 20])
    with pytest.raises(DataError, match="the value value does not vary in the train part"):
        split(rows_of(ratings, "value", parts=halves), seed=0)
