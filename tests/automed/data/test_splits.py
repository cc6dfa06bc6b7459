import copy
import pickle
from dataclasses import asdict, replace

import numpy as np
import pytest

from automed.data.dataset import Dataset
from automed.data.splits import Sealed, split
from automed.errors import DataError
from automed.sample import InputSpec, SampleSpec, TargetSpec

SEEDS = range(25)


def made(labels, groups=None, parts=None, classes=("well", "sick"), images=None):
    """Samples whose first pixel is their row number, so that rows can be told apart."""
    count = len(labels)
    if images is None:
        images = np.random.default_rng(0).integers(0, 999, (count, 1, 16, 16)).astype(np.int16)
        images[:, 0, 0, 0] = np.arange(count)
    return Dataset(
        sample=SampleSpec(
            inputs=(InputSpec(size=(16, 16)),), targets=(TargetSpec(classes=classes),)
        ),
        inputs={"image": images},
        targets={"label": np.asarray(labels)},
        groups=None if groups is None else np.asarray(groups),
        split=None if parts is None else np.asarray(parts),
    )


def rows(dataset):
    return dataset.images[:, 0, 0, 0].tolist()


def cohort(seed, num_patients=30):
    """Patients of uneven size and uneven class shares."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(num_patients), rng.integers(1, 15, num_patients))
    labels = (rng.random(len(groups)) < rng.uniform(0.1, 0.6, num_patients)[groups]).astype(int)
    return made(labels, groups)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_patient_is_on_two_sides_and_no_row_is_lost(seed):
    dataset = cohort(seed)
    parts = split(dataset, seed=seed)
    opened = (parts.train, parts.val, parts.sealed.open())
    held = [set(part.groups.tolist()) for part in opened]
    assert not held[0] & held[1]
    assert not held[0] & held[2]
    assert not held[1] & held[2]
    assert sorted(row for part in opened for row in rows(part)) == list(range(len(dataset)))
    for part, share in zip(opened, (0.6, 0.2, 0.2), strict=True):
        assert set(part.truth.tolist()) == {0, 1}
        assert len(part) / len(dataset) == pytest.approx(share, abs=0.1)
        assert part.truth.mean() == pytest.approx(dataset.truth.mean(), abs=0.1)
        for row, image in enumerate(rows(part)):
            assert part.truth[row] == dataset.truth[image]
            assert part.groups[row] == dataset.groups[image]


def test_large_patients_are_in_every_part():
    sizes = np.array([8] * 10 + [1] * 80)
    groups = np.repeat(np.arange(90), sizes)
    parts = split(made(groups % 2, groups), seed=0)
    for part in (parts.val, parts.sealed.open()):
        assert 1 <= (np.bincount(part.groups) == 8).sum() <= 3


@pytest.mark.parametrize("seed", SEEDS)
def test_three_patients_are_enough(seed):
    groups = np.repeat([0, 1, 2], 6)
    parts = split(made([0, 1] * 9, groups), seed=seed)
    assert (len(parts.train), len(parts.val), len(parts.sealed)) == (6, 6, 6)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_rare_class_of_three_patients_reaches_every_part(seed):
    groups = np.arange(60)
    parts = split(made([1, 1, 1] + [0] * 57, groups), seed=seed)
    for part in (parts.train, parts.val, parts.sealed.open()):
        assert part.truth.sum() == 1


def test_a_split_that_cannot_be_is_refused_with_patients_per_class():
    with pytest.raises(DataError, match="patients per class are well: 2, sick: 2"):
        split(made([0, 1] * 6, [0] * 6 + [1] * 6), seed=0)
    with pytest.raises(DataError, match="well: 10, sick: 2: each needs 3"):
        split(made([0] * 20 + [1] * 4, [*np.repeat(np.arange(10), 2), 10, 10, 11, 11]), seed=0)


@pytest.mark.parametrize("seed", SEEDS)
def test_without_patients_images_are_split_by_class(seed):
    parts = split(made([0] * 75 + [1] * 25), seed=seed)
    test = parts.sealed.open()
    assert [len(part) for part in (parts.train, parts.val, test)] == [60, 20, 20]
    assert [int(part.truth.sum()) for part in (parts.train, parts.val, test)] == [15, 5, 5]
    assert dict(parts.facts)["split"] == f"by sample, seed {seed}"
    assert "patients or scans" not in dict(parts.facts)


def test_a_class_of_two_images_cannot_be_in_three_parts():
    with pytest.raises(DataError, match="a class of 2 samples"):
        split(made([0] * 20 + [1] * 2), seed=0)


@pytest.mark.parametrize("groups", [None, np.repeat(np.arange(50), 2)])
def test_the_seed_decides_and_nothing_else(groups):
    dataset = made([0, 0, 1, 1] * 25, groups)
    first, again, other = (split(dataset, seed=seed) for seed in (3, 3, 4))
    assert rows(first.train) == rows(again.train)
    assert rows(first.sealed.open()) == rows(again.sealed.open())
    assert rows(first.train) != rows(other.train)
    assert first.facts == again.facts


def test_other_fractions():
    parts = split(made([0, 1] * 50), seed=0, fractions=(0.8, 0.1, 0.1))
    assert (len(parts.train), len(parts.val), len(parts.sealed)) == (80, 10, 10)
    for fractions in ((0.5, 0.2, 0.2), (1.0, 0.0, 0.0), (1.2, -0.1, -0.1)):
        with pytest.raises(DataError, match="add up to 1"):
            split(made([0, 1] * 50), seed=0, fractions=fractions)


def delivered(**counts):
    return np.repeat(list(counts), list(counts.values()))


def test_a_complete_delivered_split_is_honoured():
    names = delivered(val=10, train=30, test=12)
    parts = split(made([0, 1] * 26, parts=names), seed=0)
    assert rows(parts.val) == list(range(10))
    assert rows(parts.train) == list(range(10, 40))
    assert rows(parts.sealed.open()) == list(range(40, 52))
    assert dict(parts.facts)["split"] == "as delivered"
    assert parts.train.split is None


@pytest.mark.parametrize("last", ["val", "test"])
def test_validation_is_cut_from_train_by_patient_if_one_part_is_missing(last):
    names = delivered(train=40, **{last: 12})
    parts = split(made([0, 1] * 26, np.arange(52) // 2, names), seed=0)
    assert rows(parts.sealed.open()) == list(range(40, 52))
    assert sorted(rows(parts.train) + rows(parts.val)) == list(range(40))
    assert not set(parts.train.groups.tolist()) & set(parts.val.groups.tolist())
    assert len(parts.val) == 10
    assert dict(parts.facts)["split"] == (
        f"as delivered; delivered {last} is the sealed test; "
        "validation cut from train by patient, seed 0"
    )


def test_a_delivered_train_alone_is_cut_in_three():
    parts = split(made([0, 1] * 25, parts=delivered(train=50)), seed=0)
    assert len(parts.sealed) == 10
    assert dict(parts.facts)["split"].startswith("delivered as train only; cut by sample")


def test_a_delivered_split_without_train_or_without_a_class_is_refused():
    with pytest.raises(DataError, match="val and test but no train"):
        split(made([0, 1] * 10, parts=delivered(val=10, test=10)), seed=0)
    names = delivered(train=20, val=10, test=2)
    with pytest.raises(DataError, match="no sick in the test part"):
        split(made([0, 1] * 15 + [0, 0], parts=names), seed=0)


def test_facts_say_what_is_where():
    groups = np.repeat(np.arange(20), 5)
    images = np.random.default_rng(0).integers(0, 9, (100, 1, 16, 16))
    facts = dict(split(made([0, 0, 0, 1, 1] * 20, groups, images=images), seed=0).facts)
    assert facts["samples"] == "60 train / 20 val / 20 test"
    assert facts["patients or scans"] == "12 train / 4 val / 4 test"
    assert facts["class share"].startswith("train: 0.60 well, 0.40 sick; val: 0.60 well")
    assert facts["split"] == "by patient, seed 0"
    assert "duplicates" not in facts


def test_images_in_two_parts_are_counted():
    dataset = made([0, 1] * 15, parts=delivered(train=10, val=10, test=10))
    dataset.images[[15, 25]] = dataset.images[3]
    facts = dict(split(dataset, seed=0).facts)
    assert facts["duplicates"] == "images in more than one part, pixel by pixel: 2"


def test_targets_that_are_no_labels_are_split_too():
    dataset = made([0] * 40, np.arange(40) // 4)
    masks = TargetSpec(name="mask", kind="mask")
    dataset = replace(
        dataset,
        sample=replace(dataset.sample, targets=(masks,)),
        targets={"mask": np.zeros((40, 1, 16, 16))},
    )
    parts = split(dataset, seed=0)
    assert (len(parts.train), len(parts.val), len(parts.sealed)) == (24, 8, 8)
    assert "class share" not in dict(parts.facts)


def with_masks(marked, groups=None, parts=None):
    """Samples of which some have a pixel marked."""
    dataset = made([0] * len(marked), groups, parts)
    truth = np.zeros((len(marked), 1, 16, 16), np.uint8)
    truth[np.asarray(marked, bool), 0, 3, 3] = 1
    masks = TargetSpec(name="mask", kind="mask", classes=("background", "nodule"))
    return replace(
        dataset, sample=replace(dataset.sample, targets=(masks,)), targets={"mask": truth}
    )


@pytest.mark.parametrize("groups", [None, np.arange(40)], ids=["samples", "patients"])
@pytest.mark.parametrize("seed", SEEDS)
def test_every_part_has_something_marked(groups, seed):
    parts = split(with_masks([1] * 4 + [0] * 36, groups), seed=seed)
    for part in (parts.train, parts.val, parts.sealed.open()):
        assert part.truth.any()


@pytest.mark.parametrize("groups", [None, np.arange(40)], ids=["samples", "patients"])
def test_fewer_marked_samples_than_parts_are_refused(groups):
    with pytest.raises(DataError, match=r"marked"):
        split(with_masks([1] * 2 + [0] * 38, groups), seed=0)


def test_a_delivered_part_with_nothing_marked_is_refused():
    dataset = with_masks([1] * 20 + [0] * 10, parts=delivered(train=10, val=10, test=10))
    with pytest.raises(DataError, match="nothing is marked in the test part"):
        split(dataset, seed=0)


def test_all_parts_carry_one_spec_and_the_window_is_the_trainings():
    names = delivered(train=20, val=10, test=10)
    dataset = made([0, 1] * 20, parts=names)
    dataset.images[:] = np.random.default_rng(0).integers(0, 100, dataset.images.shape)
    dataset.images[20:] = 30000
    parts = split(dataset, seed=0)
    assert parts.train.sample == parts.val.sample == parts.sealed.open().sample
    assert parts.train.sample.image.units == "a.u."
    assert parts.train.sample.image.window[1] < 100
    chosen = split(dataset, seed=0, window=(1.0, 2.0)).val.sample.image
    assert chosen.window == (1.0, 2.0)


def test_the_seal_shows_nothing_but_its_length_and_a_digest():
    dataset = made([0, 1] * 10)
    sealed = Sealed(dataset)
    assert len(sealed) == 20
    assert repr(sealed) == "Sealed(20 samples)"
    assert sealed.open() is dataset
    assert [name for name in dir(sealed) if not name.startswith("_")] == ["digest", "open"]
    assert sealed.digest() == dataset.digest()
    assert not hasattr(sealed, "__dict__")
    assert not any(isinstance(getattr(sealed, n), np.ndarray | Dataset) for n in dir(sealed))
    with pytest.raises(TypeError):
        iter(sealed)


def test_the_seal_does_not_travel():
    parts = split(made([0, 1] * 25), seed=0)
    assert "Sealed(10 samples)" in repr(parts)
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="sealed"):
            attempt(parts.sealed)
    with pytest.raises(TypeError, match="sealed"):
        asdict(parts)


@pytest.mark.parametrize("delivered", [False, True])
def test_an_unlabelled_image_of_a_patient_outside_train_is_seen_by_nobody(delivered):
    labelled = cohort(3)
    if delivered:
        names = np.array(["train", "val", "test"])[labelled.groups % 3]
        labelled = replace(labelled, split=names)
    others = np.arange(40)  # ten of them have no labelled image at all
    bare = made(np.zeros(40), others, ["train"] * 39 + ["val"] if delivered else None)
    parts = split(replace(labelled, unlabelled=replace(bare, targets={})), seed=0)
    kept = parts.train.unlabelled
    outside = {*parts.val.groups.tolist(), *parts.sealed.open().groups.tolist()}
    assert set(kept.groups.tolist()) == set(others.tolist()) - outside - (
        {39} if delivered else set()
    )
    assert kept.sample == parts.train.sample
    assert parts.val.unlabelled is None
    assert parts.sealed.open().unlabelled is None
    assert dict(parts.facts)["without a label"].startswith(str(len(kept)))
    assert parts.digest() != split(labelled, seed=0).digest()
