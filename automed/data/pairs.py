"""Pairs of images for registration, out of images that each have a label map."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from automed.data.dataset import Dataset
from automed.errors import DataError
from automed.sample import SampleSpec, TargetSpec

COHORT = 4
"""Patients whose images are paired with each other, and with nobody else's."""
PARTNERS = 2
"""Other patients of the cohort that an image is paired with."""

Codes = NDArray[np.int64]


def paired(dataset: Dataset) -> Dataset:
    """Pairs of images of different patients, with the label maps of both.

    Patients are shuffled, always alike, and cut into cohorts of about COHORT. Every image is the
    fixed one of PARTNERS pairs; the moving one is an image of each of the next patients of its
    cohort. No pair leaves its cohort, so a split that keeps cohorts whole keeps patients apart,
    and pairs of different cohorts have no patient in common.

    Args:
        dataset: Audited images (N, C, *size) and masks (N, 1, *size); rows without a group are
            taken for patients of their own. Delivered parts are kept.

    Returns:
        fixed and moving: (M, C, *size) in raw units; field: (M, 2, *size), the label maps of both;
        groups: (M,) codes of cohorts.

    Raises:
        DataError: A part has the images of one patient alone.
    """
    patients = np.arange(len(dataset)) if dataset.groups is None else dataset.groups
    parts = np.zeros(len(dataset)) if dataset.split is None else dataset.split
    rng, pairs = np.random.default_rng(0), []
    number = 0
    for part in np.unique(parts):
        there = rng.permutation(np.unique(patients[parts == part]))
        if len(there) < 2:
            where = "" if dataset.split is None else f" in the {part} part"
            raise DataError(
                f"one patient{where}; registration needs pairs of two: add images of others"
            )
        for cohort in _cohorts(there):
            made = _within(cohort, patients, rng)
            pairs.append(np.column_stack([made, np.full(len(made), number)]))
            number += 1
    fixed, moving, groups = np.concatenate(pairs).T
    image, masks = dataset.sample.image, dataset.truth
    return replace(
        dataset,
        sample=SampleSpec(
            inputs=(replace(image, name="fixed"), replace(image, name="moving")),
            targets=(TargetSpec(name="field", kind="field", values=dataset.sample.dims),),
        ),
        inputs={"fixed": dataset.images[fixed], "moving": dataset.images[moving]},
        targets={"field": np.concatenate([masks[fixed], masks[moving]], axis=1)},
        groups=groups,
        grouped_by="cohort",
        split=None if dataset.split is None else dataset.split[fixed],
        description=f"{len(fixed):,} pairs out of {dataset.description}",
        notes=(
            *dataset.notes,
            f"patients are cut into cohorts of about {COHORT}; an image is paired with one of each "
            f"of {PARTNERS} others of its cohort, which lies in one part",
        ),
    )


def _cohorts(patients: Codes) -> list[Codes]:
    """Three or more of them where they can have two patients each: a split needs three parts."""
    number = max(1, len(patients) // COHORT, min(3, len(patients) // 2))
    return np.array_split(patients, number)


def _within(cohort: Codes, patients: Codes, rng: np.random.Generator) -> Codes:
    """Rows (M, 2) of the fixed and the moving image of every pair of a cohort."""
    made = []
    for place, patient in enumerate(cohort):
        for row in np.flatnonzero(patients == patient):
            for step in range(1, 1 + min(PARTNERS, len(cohort) - 1)):
                other = cohort[(place + step) % len(cohort)]
                made.append((row, rng.choice(np.flatnonzero(patients == other))))
    return np.array(made, np.int64)
