"""Turns what every format delivers (images, labels, patients, parts) into one Dataset."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from automed.data import encoding
from automed.data.dataset import Array, Dataset
from automed.data.several import encode_findings, encode_values
from automed.errors import DataError
from automed.sample import InputSpec, SampleSpec, TargetKind, TargetSpec

PARTS = ("train", "val", "test")
GROUP_NAMES = (
    "patient",
    "patients",
    "patient_id",
    "subject",
    "subject_id",
    "group",
    "groups",
    "case",
    "case_id",
    "scan",
    "series",
    "exam",
    "exam_id",
)
"""Names under which files keep who (or what scan) an image is of, the widest first."""

ROLE_OF_TARGET: Mapping[TargetKind, str] = {
    "label": "labels",
    "labels": "labels",
    "value": "values",
    "mask": "masks",
    "points": "points",
    "image": "targets",
}
INPUTS = ("images", "signals", "table")


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What a source delivers, one row an image, before anything is encoded or left out.

    Attributes:
        images: Signals, images or volumes (N, C, *size) in raw units, or None.
        table: Clinical variables (N, F), or None; a sample has at least one of the two.
        labels: (N,) whole numbers or words; negative, NaN or empty means no label. None where
            something else is to be learnt.
        findings: (N, K) 1 where a finding is there, 0 where not, else not known; or None.
        values: (N,) or (N, V) numbers, NaN where one is not known; or None.
        masks: (N, 1, *size) whole numbers, 0 for background, or None.
        targets: (N, C, *size) images to be made from the images, in their raw units, or None.
        points: (N, M, dims + 1) centre per axis and radius of objects, in pixels, rows of NaN
            where an image has fewer; or None.
        groups: (N,) ids of patients, of any kind, or None.
        split: (N,) names of parts, or None.
        classes: Class names as given, in the order of their numbers, or names of findings or
            values; empty if not given.
        spacing_mm: Millimetres per pixel and axis, or None.
        axes: What they lead towards, see `sample.InputSpec`.
        notes: What the reader changed or left out.
    """

    images: Array | None = None
    table: Array | None = None
    labels: Array | None = None
    findings: Array | None = None
    values: Array | None = None
    masks: Array | None = None
    points: Array | None = None
    targets: Array | None = None
    groups: Array | None = None
    split: Array | None = None
    classes: tuple[str, ...] = ()
    spacing_mm: tuple[float, ...] | None = None
    axes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def choose(
    roles: Mapping[str, Sequence[str]],
    keys: Mapping[str, str],
    there: Sequence[str],
    *,
    target: TargetKind,
    source: str,
    kind: str,
    derived: Callable[[str, str], bool],
) -> dict[str, str]:
    """The array's or column's name by role, for every role the source can fill.

    Args:
        roles: What can be filled, and the names looked for when none is given.
        keys: Names by role as the user gave them; a role answers to its usual names too, in
            upper or lower case.
        there: The names that the source holds.
        target: What is to be learnt: its role must be filled, and one of INPUTS.
        source: Base name of the file, for errors only.
        kind: "array" or "column", for errors only.
        derived: Whether a role's name that is not there can be made from names that are.

    Raises:
        DataError: No such role, no such name, or nothing for a role that must be filled.
    """
    role_of = {name: role for role, usual in roles.items() for name in (role, *usual)}
    unknown = sorted(key for key in keys if key.lower() not in role_of)
    if unknown:
        raise DataError(
            f"{source}: no role named {', '.join(unknown)}; roles are {', '.join(roles)}"
        )
    given = {role_of[key.lower()]: name for key, name in keys.items()}
    chosen = {}
    for role, usual in roles.items():
        name = given.get(role) or next((name for name in usual if name in there), "none")
        if name in there or derived(role, name):
            chosen[role] = name
        elif role == ROLE_OF_TARGET[target] or name != "none":
            wanted = name if role in given else " or ".join(usual)
            raise DataError(
                f"{source}: no {kind} named {wanted} for the {role}; it holds {', '.join(there)}: "
                f"say which one is meant with keys, as in {role}=NAME"
            )
    if not any(role in chosen for role in INPUTS):
        raise DataError(
            f"{source}: no {kind} named {' or '.join(roles['images'])} for the images; it holds "
            f"{', '.join(there)}: say which one is meant with keys, as in images=NAME"
        )
    return chosen


def assemble(columns: Columns, *, source: str, form: str) -> Dataset:
    """The Dataset behind columns: rows left out, labels and patients as codes.

    Args:
        columns: What was read.
        source: Base name of the file, for errors only.
        form: The format's name in the description.

    Raises:
        DataError: Columns differ in length, or a column makes no sense.
    """
    lengths = _require_one_length(columns, source)
    rows = np.arange(next(iter(lengths.values())))
    notes = list(columns.notes)
    split = None
    if columns.split is not None:
        split = encoding.split(columns.split, source)
        rows = rows[split[rows] != ""]
        if len(rows) < len(split):
            notes.append(f"{len(split) - len(rows):,} rows of no part (train, val, test) left out")
    groups = None
    if columns.groups is not None:
        groups = np.full(len(columns.groups), -1, np.int64)
        groups[rows] = encoding.groups(columns.groups[rows], source)
    else:
        notes.append(
            "patient ids are unknown: images of one patient may be on both sides of a split"
        )
    truth: Array
    classes: tuple[str, ...] = ()
    known = np.ones(len(rows), bool)
    if columns.labels is not None:
        truth, classes = encoding.labels(columns.labels[rows], columns.classes, source)
        target, known = TargetSpec(classes=classes), np.asarray(truth >= 0)
        learnt = f"{len(classes)} classes"
    elif columns.findings is not None or columns.values is not None:
        target, truth = _encode_several(columns, rows, source)
        known = np.asarray(np.isfinite(truth).any(axis=1))
        what = "finding" if target.kind == "labels" else "value"
        learnt = f"{target.channels} {what}{'s' if target.channels > 1 else ''} each"
    elif columns.points is not None:
        truth = encoding.points(columns.points[rows], columns.images, source)
        target = TargetSpec(name="points", kind="points", values=truth.shape[-1] + 1)
        learnt = f"{np.isfinite(truth[..., -1]).sum():,} objects"
    elif columns.masks is not None:
        masks, classes = encoding.masks(columns.masks[rows], columns.classes, source)
        target, truth = TargetSpec(name="mask", kind="mask", classes=classes), masks
        learnt = f"{len(classes)} classes of pixels"
    else:
        assert columns.targets is not None
        truth = columns.targets[rows]
        target = TargetSpec(name="target", kind="image", values=truth.shape[1])
        learnt = "each with a target image"
    bare, rows, truth = rows[~known], rows[known], truth[known]
    if len(bare):
        notes.append(
            f"{len(bare):,} of {len(known):,} rows have no label: only families that first learn "
            "without any see them"
        )
    specs = _input_specs(columns)
    sample = SampleSpec(inputs=specs, targets=(target,))

    def of_rows(chosen: NDArray[np.int64]) -> Dataset:
        return Dataset(
            sample=sample,
            inputs=_inputs(columns, chosen),
            targets={},
            groups=None if groups is None else groups[chosen],
            split=None if split is None else split[chosen],
        )

    return replace(
        of_rows(rows),
        targets={target.name: truth},
        description=(
            f"{len(rows):,} samples of {' and '.join(_in_words(s) for s in specs)}, "
            f"{learnt}, {form}"
        ),
        notes=tuple(notes),
        unlabelled=of_rows(bare) if len(bare) else None,
    )


def _input_specs(columns: Columns) -> tuple[InputSpec, ...]:
    specs = []
    if (images := columns.images) is not None:
        specs.append(
            InputSpec(
                channels=images.shape[1],
                size=images.shape[2:],
                spacing_mm=columns.spacing_mm,
                axes=columns.axes,
            )
        )
    if columns.table is not None:
        specs.append(InputSpec(name="table", kind="table", channels=columns.table.shape[1]))
    return tuple(specs)


def _inputs(columns: Columns, rows: NDArray[np.int64]) -> dict[str, Array]:
    """By input name, the samples of these rows; images are not copied where it is all of them."""
    inputs: dict[str, Array] = {}
    if (images := columns.images) is not None:
        inputs["image"] = images if len(rows) == len(images) else images[rows]
    if columns.table is not None:
        inputs["table"] = columns.table[rows].astype(np.float32)
    return inputs


def _in_words(spec: InputSpec) -> str:
    if spec.kind == "table":
        return f"{spec.channels} variable{'s' if spec.channels > 1 else ''}"
    plural = "s" if spec.channels > 1 else ""
    return f"{'x'.join(map(str, spec.size))}, {spec.channels} channel{plural}"


def _require_one_length(columns: Columns, source: str) -> Mapping[str, int]:
    delivered = {
        "images": columns.images,
        "table": columns.table,
        "labels": columns.labels,
        "labels of findings": columns.findings,
        "values": columns.values,
        "masks": columns.masks,
        "points": columns.points,
        "targets": columns.targets,
        "group": columns.groups,
        "split": columns.split,
    }
    lengths = {name: len(array) for name, array in delivered.items() if array is not None}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{count:,} {name}" for name, count in lengths.items())
        raise DataError(f"{source}: {shown}; every image needs one of each: make them equally long")
    if 0 in lengths.values():
        raise DataError(f"{source}: no images; at least 10 are needed: name a file that holds some")
    return lengths


def _encode_several(
    columns: Columns, rows: NDArray[np.int64], source: str
) -> tuple[TargetSpec, NDArray[np.float32]]:
    """The target of several numbers a sample, and its truth (N, K) with NaN for unknown."""
    if columns.findings is not None:
        truth, names = encode_findings(columns.findings[rows], columns.classes, source)
        return TargetSpec(name="labels", kind="labels", classes=names), truth
    assert columns.values is not None
    truth, names = encode_values(columns.values[rows], columns.classes, source)
    centre, scale = (0.0,) * len(names), (1.0,) * len(names)  # until it is split
    return TargetSpec(name="value", kind="value", classes=names, centre=centre, scale=scale), truth
