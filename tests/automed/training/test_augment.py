"""Augmentation changes images and nothing else, and the same seed changes them alike."""

import itertools

import numpy as np
import pytest
import torch

from automed.sample import InputSpec, SampleSpec, TargetSpec
from automed.task import AUGMENTATIONS
from automed.training.augment import SLAB, Augmentation
from automed.training.tensors import Part

EVERY = AUGMENTATIONS
sizes = pytest.mark.parametrize("size", [(16, 16), (12, 20), (20, 12), (8, 10, 10), (8, 9, 10)])


def images(*size, number=40, channels=1):
    return torch.rand(number, channels, *size, generator=torch.Generator().manual_seed(0))


@sizes
@pytest.mark.parametrize("names", [EVERY, *((name,) for name in EVERY)])
def test_shape_dtype_and_input_are_kept(names, size):
    given = images(*size)
    before = given.clone()
    augmented = Augmentation(names, size).epoch(given, 0)[0]
    assert augmented.shape == given.shape
    assert augmented.dtype == torch.float32
    assert type(augmented) is torch.Tensor
    assert torch.equal(given, before), "the tensors are shared by all trials of a worker"
    assert augmented.isfinite().all()


@sizes
def test_a_seed_decides(size):
    given = images(*size)
    first = Augmentation(EVERY, size).epoch(given, 5)[0]
    used = Augmentation(EVERY, size)
    used.epoch(given, 1)
    assert torch.equal(first, used.epoch(given, 5)[0]), "earlier epochs must not matter"
    assert not torch.equal(first, used.epoch(given, 6)[0])
    assert not torch.equal(first, given)


def test_global_random_state_is_neither_read_nor_moved():
    import random

    import numpy as np

    given = images(16, 16)
    first = Augmentation(EVERY, (16, 16)).epoch(given, 5)[0]
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        states = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())
        assert torch.equal(first, Augmentation(EVERY, (16, 16)).epoch(given, 5)[0])
        assert torch.equal(states[0], torch.get_rng_state())
        assert (states[1] == np.random.get_state()[1]).all()
        assert states[2] == random.getstate()


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_every_seed_of_32_bits_works(seed):
    Augmentation(EVERY, (16, 16)).epoch(images(16, 16), seed)


@sizes
def test_geometry_moves_pixels_and_keeps_their_values(size):
    given = images(*size, channels=2)
    augmented = Augmentation(("flip", "rotate90"), size).epoch(given, 0)[0]
    moved = (augmented != given).flatten(1).any(dim=1)
    assert moved.float().mean() > 0.3
    for row in range(len(given)):
        for channel in range(2):
            before, after = given[row, channel], augmented[row, channel]
            assert torch.equal(before.flatten().sort()[0], after.flatten().sort()[0])
    # channels of one sample move together: the map from place to place is the same
    together = torch.stack([given[:, 0], given[:, 0] + 1], dim=1)
    both = Augmentation(("flip", "rotate90"), size).epoch(together, 0)[0]
    assert torch.equal(both[:, 1], both[:, 0] + 1)


def test_rotation_turns_square_images_by_quarters_and_leaves_others():
    given = images(16, 16, number=8 * SLAB)
    turned = Augmentation(("rotate90",), (16, 16)).epoch(given, 0)[0]
    kinds = set()
    for before, after in zip(given, turned, strict=True):
        kind = [k for k in range(4) if torch.equal(torch.rot90(before, k, (-2, -1)), after)]
        assert len(kind) == 1
        kinds.add(kind[0])
    assert 0 in kinds
    assert len(kinds) > 1
    oblong = images(12, 20)
    assert torch.equal(Augmentation(("rotate90",), (12, 20)).epoch(oblong, 0)[0], oblong)


def test_flips_reach_every_axis_of_a_volume():
    given = images(6, 7, 8, number=12 * SLAB)
    flipped = Augmentation(("flip",), (6, 7, 8)).epoch(given, 0)[0]
    combinations = [c for r in range(4) for c in itertools.combinations((1, 2, 3), r)]
    found = [
        [c for c in combinations if torch.equal(before.flip(c), after)]
        for before, after in zip(given, flipped, strict=True)
    ]
    assert all(len(c) == 1 for c in found)
    assert len({c[0] for c in found}) >= 5
    assert set(itertools.chain(*(c[0] for c in found))) == {1, 2, 3}


def test_intensity_changes_little():
    given = images(16, 16)
    changed = Augmentation(("intensity",), (16, 16)).epoch(given, 0)[0]
    assert 0 < (changed - given).abs().max() <= 0.1 + 0.05 + 1e-6


def test_no_augmentation_gives_the_images_themselves():
    given = images(16, 16)
    assert Augmentation((), (16, 16)).epoch(given, 0)[0] is given


def test_fewer_samples_than_a_slab():
    given = images(16, 16, number=3)
    assert Augmentation(EVERY, (16, 16)).epoch(given, 0)[0].shape == given.shape


@sizes
def test_points_stay_on_what_they_mark(size):
    stream = torch.Generator().manual_seed(0)
    given, points = torch.zeros(40, 1, *size), torch.full((40, 3, len(size) + 1), torch.nan)
    for row in range(40):
        for number in range(row % 3):
            centre = [int(torch.randint(s, (1,), generator=stream)) for s in size]
            given[(row, 0, *centre)] = 1 + number
            points[row, number] = torch.tensor([*centre, 2.5])
    turned, moved = Augmentation(("flip", "rotate90"), size).epoch(given, 3, points=points)
    assert not torch.equal(moved.nan_to_num(), points.nan_to_num())
    for row in range(40):
        assert moved[row, row % 3 :].isnan().all()
        for *centre, radius in moved[row, : row % 3].tolist():
            assert turned[(row, 0, *map(int, centre))] > 0
            assert radius == 2.5
    assert Augmentation((), size).epoch(given, 3, points=points)[1] is points


@sizes
def test_an_image_to_be_made_is_moved_and_tinted_as_the_image_is(size):
    given = images(*size, channels=2)
    part = Part(inputs=(given,), truth=2 * given, truth_on_host=np.zeros(0))
    sample = SampleSpec(
        inputs=(InputSpec(size=size, channels=2),),
        targets=(TargetSpec(name="target", kind="image", values=2),),
    )
    (augmented,), truth = Augmentation(("flip", "rotate90"), size).part(part, sample, 3)
    assert not torch.equal(augmented, given)
    torch.testing.assert_close(truth, 2 * augmented)
    same = Part(inputs=(given,), truth=given, truth_on_host=np.zeros(0))
    (augmented,), truth = Augmentation(EVERY, size).part(same, sample, 3)
    assert not torch.equal(augmented, given)
    torch.testing.assert_close(truth, augmented)


@sizes
def test_a_pair_and_its_label_maps_move_together(size):
    fixed, moving = images(*size), images(*size).flip(0)
    truth = torch.cat([fixed > 0.5, moving > 0.5], 1).to(torch.uint8)
    part = Part(inputs=(fixed, moving), truth=truth, truth_on_host=truth.numpy())
    sample = SampleSpec(
        inputs=(InputSpec(name="fixed", size=size), InputSpec(name="moving", size=size)),
        targets=(TargetSpec(name="field", kind="field", values=len(size)),),
    )
    turned, labels = Augmentation(("flip", "rotate90"), size).part(part, sample, 3)
    assert not torch.equal(turned[0], fixed)
    assert torch.equal(labels, torch.cat([x > 0.5 for x in turned], 1).to(torch.uint8))
    tinted, _ = Augmentation(("intensity",), size).part(part, sample, 3)
    before, after = fixed - moving, tinted[0] - tinted[1]
    ratio = (after / before)[before.abs() > 0.1]
    assert (ratio - 1).abs().max() <= 0.1 + 1e-4, "both get one tint"
