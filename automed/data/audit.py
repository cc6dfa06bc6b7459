"""Refuses samples that no search could learn from, before anything is computed."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from automed.data.dataset import Array, Dataset
from automed.errors import DataError

MIN_SAMPLES = 10
MIN_PER_CLASS = 2
MIN_PIXELS = 16
_SHOWN = 5


def audit(dataset: Dataset) -> None:
    """Check everything that must hold of any dataset.

    Raises:
        DataError: Images, labels, patients or the delivered split break a rule; one clear line.
    """
    _check_lengths(dataset)
    for spec in dataset.sample.inputs:
        if spec.kind == "image":
            _check_images(dataset.inputs[spec.name])
        _check_finite(dataset.inputs[spec.name])
    for target in dataset.sample.targets:
        if target.kind == "label":
            _check_labels(dataset.targets[target.name], target.classes)
        if target.kind == "labels":
            _check_findings(dataset.targets[target.name], target.classes)
        if target.kind == "value":
            _check_values(dataset.targets[target.name], target.classes)
        if target.kind in ("mask", "field"):
            _check_masks(dataset.targets[target.name], dataset.images)
        if target.kind == "points":
            _check_points(dataset.targets[target.name].astype(np.float64), dataset.images)
        if target.kind == "image":
            _check_targets(dataset.targets[target.name], dataset.images)
    _check_patients(dataset)
    if dataset.unlabelled is not None:
        for array in dataset.unlabelled.given:
            _check_finite(array)


def repeated_images(images: Array, parts: Sequence[str]) -> int:
    """Images that are, pixel by pixel, also in another part.

    Args:
        images: (N, C, *size).
        parts: The part of each row.

    Returns:
        The number of rows outside the first-named part they occur in.
    """
    home: dict[bytes, str] = {}
    count = 0
    for image, part in zip(images, parts, strict=True):
        digest = hashlib.blake2b(np.ascontiguousarray(image).tobytes(), digest_size=16).digest()
        count += home.setdefault(digest, part) != part
    return count


def _check_lengths(dataset: Dataset) -> None:
    columns = {**dataset.inputs, **dataset.targets}
    optional = {"groups": dataset.groups, "split": dataset.split}
    columns |= {name: array for name, array in optional.items() if array is not None}
    lengths = {name: len(array) for name, array in columns.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{count:,} of {name}" for name, count in lengths.items())
        raise DataError(f"rows differ: {shown}; every image needs one of each: mend the file")
    if len(dataset) < MIN_SAMPLES:
        raise DataError(f"{len(dataset)} samples; at least {MIN_SAMPLES} are needed: add some")


def _check_images(images: Array) -> None:
    size = images.shape[2:]
    shown = "x".join(str(axis) for axis in size)
    if len(size) not in (1, 2, 3):
        raise DataError(f"images of {len(size)} axes ({shown}); allowed are 1 to 3: cut them up")
    if min(size) < MIN_PIXELS:
        raise DataError(
            f"images of {shown}; each axis needs {MIN_PIXELS} pixels or more: "
            "crop less, or resample to a larger size"
        )
    if images.dtype.kind not in "iuf":
        raise DataError(f"images of type {images.dtype}; pixels are whole numbers or floats")
    if all(image.min() == image.max() for image in images):
        raise DataError(
            "every image is flat (one value throughout); there is nothing to learn from: "
            "check how the images were saved"
        )
    if all(np.array_equal(image, images[0]) for image in images[1:]):
        raise DataError(
            "all images are the same; there is nothing to learn from: check how they were saved"
        )


def _check_finite(values: Array) -> None:
    if values.dtype.kind != "f":
        return
    broken = [row for row, value in enumerate(values) if not np.isfinite(value).all()]
    if broken:
        rows = ", ".join(str(row) for row in broken[:_SHOWN])
        more = ", ..." if len(broken) > _SHOWN else ""
        raise DataError(
            f"{len(broken):,} images hold NaN or Inf (rows {rows}{more}); "
            "pixels must be finite: mend or leave out these rows"
        )


def _check_labels(labels: Array, classes: Sequence[str]) -> None:
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(
            f"labels of shape {labels.shape}, {labels.dtype}; allowed is one class a row"
        )
    if labels.min() < 0 or labels.max() >= len(classes):
        raise DataError(
            f"labels from {labels.min()} to {labels.max()} for {len(classes)} classes; "
            f"allowed are 0 to {len(classes) - 1}: mend the labels or name every class"
        )
    counts = np.bincount(labels.astype(np.int64), minlength=len(classes))
    if (counts > 0).sum() < 2:
        raise DataError(
            f"all samples are of one class ({classes[int(counts.argmax())]}); "
            "at least 2 classes are needed: add samples of another"
        )
    few = [
        f"{name} has {count}"
        for name, count in zip(classes, counts, strict=True)
        if count < MIN_PER_CLASS
    ]
    if few:
        raise DataError(
            f"too few samples in {len(few)} of {len(classes)} classes ({', '.join(few[:_SHOWN])}); "
            f"each needs {MIN_PER_CLASS} or more: add samples, or merge or leave out the class"
        )


def _check_findings(truth_NK: Array, names: Sequence[str]) -> None:
    few = [
        f"{name} is {how} in {count}"
        for value, how in ((1, "there"), (0, "not there"))
        for name, count in zip(names, (truth_NK == value).sum(axis=0), strict=True)
        if count < MIN_PER_CLASS
    ]
    if few:
        raise DataError(
            f"too few samples of {len(few)} findings ({', '.join(few[:_SHOWN])}); each needs "
            f"{MIN_PER_CLASS} or more with it and without: add samples, or leave out the finding"
        )


def _check_values(truth_NV: Array, names: Sequence[str]) -> None:
    for name, value_N in zip(names, truth_NV.astype(np.float64).T, strict=True):
        known = np.unique(value_N[np.isfinite(value_N)])
        if len(known) < 2:
            raise DataError(
                f"the value {name} is {'the same in every sample' if len(known) else 'not known'}; "
                "there is nothing to learn: give values that differ, or leave this one out"
            )


def _check_masks(masks: Array, images: Array) -> None:
    if masks.shape[2:] != images.shape[2:]:
        sizes = ["x".join(map(str, array.shape[2:])) for array in (masks, images)]
        raise DataError(
            f"masks of {sizes[0]} for images of {sizes[1]}; every pixel needs its class: "
            "resample the masks"
        )
    if not masks.any():
        raise DataError("every mask is empty; there is nothing to learn from: check their values")


def _check_points(points: NDArray[np.float64], images: Array) -> None:
    """Centre per axis and radius of each object; rows of NaN are none."""
    there = np.isnan(points).sum(axis=-1) < points.shape[-1]
    centres, radii = points[..., :-1], points[..., -1]
    size = np.array(images.shape[2:])
    with np.errstate(invalid="ignore"):
        outside = ((centres < -0.5) | (centres > size - 0.5)).any(axis=-1)
        wrong = {
            "NaN or Inf beside numbers": there & ~np.isfinite(points).all(axis=-1),
            f"a centre outside the image of {'x'.join(map(str, size))}": there & outside,
            "a radius of 0 or less": there & (radii <= 0),
        }
    for what, bad in wrong.items():
        rows = np.unique(np.nonzero(bad)[0]).tolist()
        if rows:
            more = ", ..." if len(rows) > _SHOWN else ""
            raise DataError(
                f"{int(bad.sum()):,} points have {what} (rows {', '.join(map(str, rows[:_SHOWN]))}"
                f"{more}); a point is a centre per axis, in the order of the image's axes and in "
                "pixels from 0, and a radius above 0; rows of NaN stand for none: mend these"
            )
    if not there.any():
        raise DataError("no image has any point; there is nothing to learn from: check the points")


def _check_targets(targets: Array, images: Array) -> None:
    if targets.shape != images.shape:
        shapes = ["x".join(map(str, array.shape[1:])) for array in (targets, images)]
        raise DataError(
            f"target images of {shapes[0]} for images of {shapes[1]} (channels x size); both are "
            "of one shape: resample them to one grid, with as many channels"
        )
    _check_finite(targets)


def _check_patients(dataset: Dataset) -> None:
    if dataset.groups is None or dataset.split is None:
        return
    belongs = np.unique(np.column_stack([dataset.groups.astype(str), dataset.split]), axis=0)
    parts_per_patient = np.unique(belongs[:, 0], return_counts=True)[1]
    torn = int((parts_per_patient > 1).sum())
    if torn:
        raise DataError(
            f"{torn:,} of {len(parts_per_patient):,} patients are in more than one part of the "
            "delivered split; a patient belongs to one part: mend the split, or give split=none "
            "to have automed split by patient"
        )
