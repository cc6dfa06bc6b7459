"""Cuts samples into training, validation and a sealed test part, patient by patient."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from automed.data.audit import repeated_images
from automed.data.columns import PARTS
from automed.data.dataset import Dataset
from automed.data.units import in_window, windowed
from automed.errors import DataError
from automed.sample import SampleSpec, TargetSpec

Codes = NDArray[np.int64]

TRAIN, VAL, TEST = range(3)
_ATTEMPTS = 50
"""Draws before a split with every class in every part is called impossible."""


class Sealed:
    """The test part, out of reach until it is opened on purpose.

    It tells its number of samples and a digest, from which nothing can be learnt; it neither
    prints, copies nor pickles.
    """

    __slots__ = ("__give", "__len")

    def __init__(self, dataset: Dataset) -> None:
        self.__give: Callable[[], Dataset] = lambda: dataset
        self.__len = len(dataset)

    def open(self) -> Dataset:
        """The test part; call it once, when everything has been decided."""
        return self.__give()

    def digest(self) -> str:
        """Sixteen hex digits that change with any of its pixels or labels."""
        return self.__give().digest()

    def __len__(self) -> int:
        return self.__len

    def __repr__(self) -> str:
        return f"Sealed({self.__len} samples)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("the sealed test part is neither copied nor pickled; open() it at the end")


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A dataset cut in three that no patient shares; all carry one final SampleSpec.

    Where networks learn to give images back, train alone has the images for its target.

    Attributes:
        train: What networks learn from, and windows and class weights are taken from.
        val: What a search compares networks on.
        sealed: What the chosen networks are judged on, once.
        facts: Lines for the report, as (label, text).
    """

    train: Dataset
    val: Dataset
    sealed: Sealed
    facts: tuple[tuple[str, str], ...]

    def digest(self) -> str:
        """Digests of the three parts; whatever is swapped in one of them shows."""
        return "-".join(part.digest() for part in (self.train, self.val, self.sealed))


def split(
    dataset: Dataset,
    *,
    seed: int,
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2),
    window: tuple[float, float] | None = None,
    hu_window: tuple[float, float] = (-1000.0, 400.0),
    one_class: bool = False,
) -> Parts:
    """Training, validation and sealed test part of a dataset.

    A delivered train, val and test are taken as they are. If only one of val and test is
    delivered it is the sealed test, and validation is cut from train. Whatever is cut is cut by
    patient if patients are known, else by image, with class shares as equal as they can be; the
    same seed gives the same parts.

    Args:
        dataset: Audited samples.
        seed: Start of the random numbers.
        fractions: Shares of train, val and test, where they are cut here.
        window: Raw values mapped to 0 and 1; by default decided by `units.windowed`.
        hu_window: The window if the images are in Hounsfield units.
        one_class: Whether train holds the samples of class 0 alone, and as its target the image
            that each is; validation and test keep every class and their labels.

    Raises:
        DataError: Some part cannot hold every class, or an argument is out of range.
    """
    if len(fractions) != 3 or min(fractions) <= 0 or not np.isclose(sum(fractions), 1.0):
        shown = ", ".join(f"{fraction:g}" for fraction in fractions)
        raise DataError(f"fractions {shown}; three numbers above 0 that add up to 1, please")
    codes, how = _codes(dataset, seed, fractions)
    _require_every_class(dataset, codes)
    train, val, test = (
        replace(dataset.rows(np.flatnonzero(codes == code)), split=None) for code in range(3)
    )
    facts = [("split", how), *_facts(dataset, codes)]
    if one_class:
        train = train.rows(np.flatnonzero(train.truth == 0))
        name = dataset.sample.target.classes[0]
        facts.append(("learnt from", f"the {len(train):,} samples of {name} in train alone"))
    sample = windowed(train, window=window, hu_window=hu_window)
    train, val, test = (_in_units_of(sample, part) for part in (train, val, test))
    if one_class:
        train = _its_own_target(train)
    return Parts(
        train=train,
        val=val,
        sealed=Sealed(test),
        facts=tuple(facts),
    )


def _in_units_of(sample: SampleSpec, part: Dataset) -> Dataset:
    """A part with its final description; a target that is an image lies in the image's window."""
    if sample.target.kind != "image":
        return replace(part, sample=sample)
    truth = in_window(part.truth, sample.image, part.images)
    return replace(part, sample=sample, targets={sample.target.name: truth})


def _its_own_target(part: Dataset) -> Dataset:
    """Images that are to be given back."""
    image = part.sample.image
    target = TargetSpec(name="target", kind="image", values=image.channels)
    return replace(
        part,
        sample=replace(part.sample, targets=(target,)),
        targets={target.name: in_window(part.images, image)},
    )


def _codes(dataset: Dataset, seed: int, fractions: tuple[float, float, float]) -> tuple[Codes, str]:
    """The part of each row, and how it was come by."""
    by = "sample" if dataset.groups is None else dataset.grouped_by
    delivered = () if dataset.split is None else tuple(p for p in PARTS if p in dataset.split)
    if dataset.split is None or delivered == ("train",):
        codes = _cut(dataset, np.arange(len(dataset)), seed, fractions)
        told = "delivered as train only; cut " if delivered else ""
        return codes, f"{told}by {by}, seed {seed}"
    if "train" not in delivered:
        raise DataError(
            f"the delivered split has {' and '.join(delivered)} but no train; mark rows as train, "
            "or give split=none to have automed split"
        )
    codes = np.array([PARTS.index(part) for part in dataset.split], np.int64)
    if len(delivered) == len(PARTS):
        return codes, "as delivered"
    codes[codes != TRAIN] = TEST
    rows = np.flatnonzero(codes == TRAIN)
    codes[rows] = _cut(dataset, rows, seed, fractions[:2])
    return codes, (
        f"as delivered; delivered {delivered[-1]} is the sealed test; "
        f"validation cut from train by {by}, seed {seed}"
    )


def _cut(dataset: Dataset, rows: Codes, seed: int, fractions: Sequence[float]) -> Codes:
    """Codes 0, 1, ... of these rows, every class in every part."""
    labels = _labels(dataset)[rows]
    shares = np.array(fractions) / sum(fractions)
    if dataset.groups is None:
        return _cut_images(labels, shares, np.random.default_rng(seed))
    _, groups = np.unique(dataset.groups[rows], return_inverse=True)
    table = np.zeros((groups.max() + 1, labels.max() + 1), np.int64)
    np.add.at(table, (groups, labels), 1)
    for attempt in range(_ATTEMPTS):
        parts = _cut_patients(table, shares, np.random.default_rng([seed, attempt]))
        held = np.array([table[parts == part].sum(axis=0) for part in range(len(shares))])
        if (held[:, table.any(axis=0)] > 0).all():
            return parts[groups]
    classes = dataset.sample.target.classes
    per_class = ", ".join(
        f"{classes[code] if classes else 'all'}: {count}"
        for code, count in enumerate((table > 0).sum(axis=0))
    )
    raise DataError(
        f"{len(table)} patients cannot be cut into {len(shares)} parts with every class in each; "
        f"patients per class are {per_class}: each needs {len(shares)} or more, so add patients, "
        "merge classes, or give group=none to split by image"
    )


def _cut_images(labels: Codes, shares: NDArray[np.float64], rng: Generator) -> Codes:
    """Parts of images, class by class, at least one image of each class in every part."""
    parts = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        if len(rows) < len(shares):
            raise DataError(
                f"a class of {len(rows)} samples cannot be in {len(shares)} parts; "
                f"each class needs {len(shares)} or more: add samples, or merge or leave it out"
            )
        sizes = np.maximum(1, np.rint(shares * len(rows)).astype(np.int64))
        sizes[sizes.argmax()] += len(rows) - sizes.sum()
        parts[rows] = np.repeat(np.arange(len(shares)), sizes)
    return parts


def _cut_patients(table: Codes, shares: NDArray[np.float64], rng: Generator) -> Codes:
    """Parts of whole patients.

    First every part gets a patient of every class, the rarest class first; then the patients
    left, the largest first, go where the class shares come closest, relative to the part's size:
    the greedy of scikit-learn's StratifiedGroupKFold, for parts that differ in size.

    Args:
        table: (patients, classes) numbers of samples.
        shares: (parts,) wanted share of each part.
        rng: What decides among equals.

    Returns:
        (patients,) part of each; where no patient is left for a class, that part misses it.
    """
    weights = table / np.maximum(1, table.sum(axis=0))
    parts = np.full(len(table), -1, np.int64)
    order = rng.permutation(len(table))
    for label in np.argsort((table > 0).sum(axis=0)):
        for part in np.argsort(shares, kind="stable"):
            free = [row for row in order if parts[row] < 0 and table[row, label]]
            if free and not table[parts == part, label].any():
                fitting = (row for row in free if (weights[row] <= shares[part]).all())
                smallest = min(free, key=lambda row: table[row].sum())
                parts[next(fitting, smallest)] = part
    held = np.array([weights[parts == part].sum(axis=0) for part in range(len(shares))])
    left = order[parts[order] < 0]
    for row in left[np.argsort(-table[left].sum(axis=1), kind="stable")]:
        short = shares[:, None] - held
        gain = ((short**2 - (short - weights[row]) ** 2) / shares[:, None]).sum(axis=1)
        part = int(gain.argmax())
        parts[row] = part
        held[part] += weights[row]
    return parts


def _labels(dataset: Dataset) -> Codes:
    """Class of each row; all 0 where the target is no label, and there is nothing to balance."""
    if dataset.sample.target.kind != "label":
        return np.zeros(len(dataset), np.int64)
    return dataset.truth.astype(np.int64)


def _require_every_class(dataset: Dataset, codes: Codes) -> None:
    labels = _labels(dataset)
    for code, part in enumerate(PARTS):
        missing = sorted(set(labels.tolist()) - set(labels[codes == code].tolist()))
        if missing:
            names = ", ".join(dataset.sample.target.classes[label] for label in missing)
            raise DataError(
                f"no {names} in the {part} part of the split; every part needs every class: "
                "mend the delivered split, or give split=none to have automed split"
            )


def _facts(dataset: Dataset, codes: Codes) -> list[tuple[str, str]]:
    facts = [("samples", _counted(np.bincount(codes, minlength=3)))]
    if dataset.groups is not None:
        groups = dataset.groups
        per_part = [len(np.unique(groups[codes == code])) for code in range(3)]
        by = dataset.grouped_by
        label = "patients or scans" if by == "patient" else f"{by}s"
        facts.append((label, _counted(per_part)))
    if dataset.sample.target.kind == "label":
        facts.append(("class share", _class_shares(dataset, codes)))
    if dataset.sample.target.kind == "mask":
        facts.append(("foreground share", _foreground_shares(dataset, codes)))
    if dataset.sample.target.kind == "points":
        facts.append(("objects", _objects(dataset, codes)))
    names = [PARTS[code] for code in codes]
    repeated = repeated_images(dataset.images, names)
    if repeated:
        facts.append(("duplicates", f"images in more than one part, pixel by pixel: {repeated:,}"))
    return facts


def _counted(counts: Sequence[int] | Codes) -> str:
    return " / ".join(f"{count:,} {part}" for count, part in zip(counts, PARTS, strict=True))


def _class_shares(dataset: Dataset, codes: Codes) -> str:
    labels, classes = _labels(dataset), dataset.sample.target.classes
    shares: Mapping[str, NDArray[np.float64]] = {
        part: np.bincount(labels[codes == code], minlength=len(classes)) / (codes == code).sum()
        for code, part in enumerate(PARTS)
    }
    return "; ".join(
        f"{part}: " + ", ".join(f"{s:.2f} {c}" for s, c in zip(share, classes, strict=True))
        for part, share in shares.items()
    )


def _foreground_shares(dataset: Dataset, codes: Codes) -> str:
    """What share of its places each part gives to the classes but background."""
    classes = dataset.sample.target.classes[1:]
    return "; ".join(
        f"{part}: "
        + ", ".join(
            f"{100 * (dataset.truth[codes == code] == k).mean():.2f} % {name}"
            for k, name in enumerate(classes, start=1)
        )
        for code, part in enumerate(PARTS)
    )


def _objects(dataset: Dataset, codes: Codes) -> str:
    """How many objects each part has, and in how many of its images there is none."""
    there = np.isfinite(dataset.truth[..., -1].astype(np.float64)).sum(axis=1)
    return "; ".join(
        f"{part}: {there[codes == code].sum():,}, none in {(there[codes == code] == 0).sum():,}"
        for code, part in enumerate(PARTS)
    )
