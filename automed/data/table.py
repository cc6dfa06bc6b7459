"""Reads a CSV with one row per image file: where it is, its class, and whose it is."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from automed.data import pixels
from automed.data.columns import GROUP_NAMES, Columns, assemble, choose
from automed.data.dataset import Array, Dataset
from automed.errors import DataError
from automed.sample import TargetKind

ROLES: Mapping[str, tuple[str, ...]] = {
    "images": ("path", "image", "file", "filename"),
    "labels": ("label", "class", "target", "diagnosis"),
    "values": ("value", "values"),
    "masks": ("mask",),
    "targets": ("target_image",),
    "points": ("points",),
    "table": (),
    "group": GROUP_NAMES,
    "split": ("split",),
}
"""What a column can stand for, and the headings looked for when none is given."""


@dataclass(frozen=True)
class _Row:
    number: int
    """As a spreadsheet counts: the header is row 1."""
    cells: Mapping[str, str]


def accepts(source: str) -> bool:
    """Whether a source is named like a CSV file."""
    return source.lower().endswith(".csv")


def read(source: str, keys: Mapping[str, str], target: TargetKind = "label") -> Dataset:
    """The images a CSV lists, 2D or 3D: PNG, JPEG or NIfTI; and clinical variables beside them.

    Paths are relative to the CSV's folder; masks are files of the images' size. Fields are parted
    by comma, semicolon or tab. Points are objects as "12.5 40 3 | 20 8.5 6": a centre per axis and
    a radius in pixels, objects parted by |; empty where there is none.

    Args:
        source: Path of the CSV.
        keys: Headings by role (see ROLES), where they are not the usual ones; upper and lower
            case are the same. Variables are named only here, several columns parted by +, as in
            table=age+smoker; so are several findings, labels=edema+mass (1, 0, or negative or
            empty for unknown), and values=age+weight. "none" means that the file's own group or
            split is not to be used.
        target: What is to be learnt: labels, values, masks, target images or points.

    Raises:
        DataError: The table, a column or a file it names cannot be used; rows are named by
            their numbers, never by what they say.
    """
    path = Path(source)
    headings, rows = _table(path)
    keys = {role: heading.lower() for role, heading in keys.items()}
    chosen = choose(
        ROLES,
        keys,
        headings,
        target=target,
        source=path.name,
        kind="column",
        derived=lambda role, name: (
            role in ("table", "labels", "values") and set(name.split("+")) <= set(headings)
        ),
    )
    images = _stack(path, rows, chosen.get("images"))
    masks = _stack(path, rows, chosen["masks"] if target == "mask" else None)
    targets = _stack(path, rows, chosen["targets"] if target == "image" else None)
    notes = images.notes if images else ()
    group, split = chosen.get("group"), chosen.get("split")
    several = {"labels": "labels", "value": "values"}.get(target)
    learnt = _numbers(rows, chosen[several], path.name, unknown=True) if several else None
    if target == "label" and chosen["labels"] not in headings:
        raise DataError(
            f"{path.name}: labels={chosen['labels']} are several columns, and a sample has one "
            "class: name one column, or search with problem multilabel"
        )
    if group is not None:
        notes = (*notes, f"patients are told apart by {group!r}")
    return assemble(
        Columns(
            images=images and images.images,
            table=_numbers(rows, chosen["table"], path.name) if "table" in chosen else None,
            labels=_values(rows, chosen["labels"]) if target == "label" else None,
            findings=learnt if target == "labels" else None,
            values=learnt if target == "value" else None,
            classes=tuple(chosen[several].split("+")) if several else (),
            masks=masks and masks.images,
            targets=targets and targets.images,
            points=_points(rows, chosen["points"], path.name) if target == "points" else None,
            groups=None if group is None else _values(rows, group),
            split=None if split is None else _values(rows, split),
            spacing_mm=images and images.spacing_mm,
            axes=images.axes if images else (),
            notes=notes,
        ),
        source=path.name,
        form="CSV",
    )


def _table(path: Path) -> tuple[list[str], list[_Row]]:
    """Headings in lower case, and the rows that are not empty."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            file.seek(0)
            delimiter = max(",;\t", key=header.count)
            lines = [
                (number, [cell.strip() for cell in line])
                for number, line in enumerate(csv.reader(file, delimiter=delimiter), start=1)
            ]
    except FileNotFoundError:
        raise DataError(f"{path.name}: no such file; name one that exists") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path.name}: not a CSV in UTF-8; export it again as one") from error
    lines = [(number, cells) for number, cells in lines if any(cells)]
    if len(lines) < 2:
        raise DataError(f"{path.name}: no rows; a header and a row per image are needed")
    headings = [heading.lower() for heading in lines[0][1]]
    if len(set(headings)) < len(headings):
        raise DataError(f"{path.name}: two columns share a heading; give each its own")
    for number, cells in lines[1:]:
        if len(cells) != len(headings):
            raise DataError(
                f"{path.name}: row {number} has {len(cells)} fields where the header has "
                f"{len(headings)}; mend this row"
            )
    return headings, [
        _Row(number, dict(zip(headings, cells, strict=True))) for number, cells in lines[1:]
    ]


def _stack(table: Path, rows: Sequence[_Row], heading: str | None) -> pixels.Stack | None:
    """The images a column names, in one array; nothing where there is no such column."""
    if heading is None:
        return None
    return pixels.stack([_picture(table, row, heading) for row in rows])


def _numbers(rows: Sequence[_Row], names: str, source: str, *, unknown: bool = False) -> Array:
    """The numbers (N, F) of some columns; an empty cell is NaN where that may be unknown."""
    values = []
    for row in rows:
        for name in names.split("+"):
            cell = row.cells[name]
            try:
                values.append(float("nan" if unknown and not cell else cell))
            except ValueError:
                raise DataError(
                    f"{source}: row {row.number}: the variable {name} is no number; "
                    f"{'leave it empty' if unknown else 'fill it in'}, or code words as numbers"
                ) from None
    return np.array(values, np.float32).reshape(len(rows), -1)


def _picture(table: Path, row: _Row, heading: str) -> pixels.Picture:
    try:
        return pixels.read(table.parent / row.cells[heading])
    except pixels.ImageError as error:
        raise DataError(f"{table.name}: row {row.number}: the image {error.reason}") from error


def _values(rows: Sequence[_Row], heading: str) -> np.typing.NDArray[np.str_]:
    return np.array([row.cells[heading] for row in rows])


def _points(rows: Sequence[_Row], heading: str, source: str) -> Array:
    """Objects (N, M, P) of every row, those that a row has fewer of filled up with NaN."""
    listed = []
    for row in rows:
        texts = [text for text in row.cells[heading].split("|") if text.strip()]
        try:
            listed.append([[float(number) for number in text.split()] for text in texts])
        except ValueError:
            raise DataError(
                f"{source}: row {row.number}: {heading} hold something else than numbers; write "
                'centre and radius of each object as in "12.5 40 3 | 20 8.5 6"'
            ) from None
    lengths = {len(one) for objects in listed for one in objects}
    if len(lengths) != 1:
        raise DataError(
            f"{source}: objects of {' and '.join(map(str, sorted(lengths))) or 'no'} numbers; each "
            "has a centre per axis and a radius: mend or fill in the points"
        )
    points = np.full((len(rows), max(map(len, listed)), *lengths), np.nan)
    for number, rows_of_it in enumerate(listed):
        points[number, : len(rows_of_it)] = np.reshape(rows_of_it, (-1, points.shape[-1]))
    return points
