"""Cuts samples into training, validation and a sealed test part, patient by patient."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from automed.data import split_facts
from automed.data.columns import PARTS
from automed.data.dataset import Dataset
from automed.data.units import in_window, windowed
from automed.errors import DataError
from automed.sample import SampleSpec, TargetSpec

Codes = NDArray[np.int64]

TRAIN, VAL, TEST = range(3)
BANDS = 3
"""Low, middling and high values, of which each part gets its share."""
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
    patient if patients are known, else by image, with shares of classes, of findings and of low
    and high values as equal as they can be; the same seed gives the same parts.

    Args:
        dataset: Audited samples.
        seed: Start of the random numbers.
        fractions: Shares of train, val and test, where they are cut here.
        window: Raw values mapped to 0 and 1; by default decided by `units.windowed`.
        hu_window: The window if the images are in Hounsfield units.
        one_class: Whether train holds the samples of class 0 alone, and as its target the image
            that each is; validation and test keep every class and their labels.

    Raises:
        DataError: Some part cannot hold every class or finding, or an argument is out of range.
    """
    if len(fractions) != 3 or min(fractions) <= 0 or not np.isclose(sum(fractions), 1.0):
        shown = ", ".join(f"{fraction:g}" for fraction in fractions)
        raise DataError(f"fractions {shown}; three numbers above 0 that add up to 1, please")
    codes, how = _codes(dataset, seed, fractions)
    _require_every_class(dataset, codes)
    train, val, test = (
        replace(dataset.rows(np.flatnonzero(codes == code)), split=None) for code in range(3)
    )
    facts = [("split", how), *split_facts.told(dataset, codes)]
    if one_class:
        train = train.rows(np.flatnonzero(train.truth == 0))
        name = dataset.sample.target.classes[0]
        facts.append(("learnt from", f"the {len(train):,} samples of {name} in train alone"))
    sample = windowed(train, window=window, hu_window=hu_window)
    if sample.target.kind == "value":
        sample = replace(sample, targets=(_scaled(train),))
    train, val, test = (_in_units_of(sample, part) for part in (train, val, test))
    if one_class:
        train = _its_own_target(train)
    if dataset.unlabelled is not None:
        bare = _beside_train(dataset.unlabelled, dataset, codes)
        facts.append(("without a label", f"{len(bare):,} of no patient outside train"))
        train = replace(train, unlabelled=replace(bare, sample=sample, split=None))
    return Parts(
        train=train,
        val=val,
        sealed=Sealed(test),
        facts=tuple(facts),
    )


def _beside_train(bare: Dataset, dataset: Dataset, codes: Codes) -> Dataset:
    """The unlabelled samples that neither the split nor their patient puts outside train."""
    free = np.ones(len(bare), bool)
    if bare.split is not None:
        free &= bare.split == PARTS[TRAIN]
    if bare.groups is not None and dataset.groups is not None:
        free &= ~np.isin(bare.groups, dataset.groups[codes != TRAIN])
    return bare.rows(np.flatnonzero(free))


def _in_units_of(sample: SampleSpec, part: Dataset) -> Dataset:
    """A part with its final description; a target that is an image lies in the image's window."""
    if sample.target.kind != "image":
        return replace(part, sample=sample)
    truth = in_window(part.truth, sample.image, part.images)
    return replace(part, sample=sample, targets={sample.target.name: truth})


def _scaled(train: Dataset) -> TargetSpec:
    """The target with centres and scales of its values, which the training part alone gives."""
    truth_NV = train.truth.astype(np.float64)
    return replace(
        train.sample.target,
        centre=tuple(np.nanmean(truth_NV, axis=0).tolist()),
        scale=tuple(np.nanstd(truth_NV, axis=0).tolist()),
    )


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
    strata_NS, names, needed = _strata(dataset)
    strata_NS = strata_NS[rows]
    shares = np.array(fractions) / sum(fractions)
    marked = _marked(dataset)[rows]
    if dataset.groups is None and (strata_NS.sum(axis=1) == 1).all() and needed:
        for attempt in range(_ATTEMPTS):
            rng = np.random.default_rng([seed, attempt] if attempt else seed)
            images = _cut_images(strata_NS.argmax(axis=1), shares, rng)
            if _all_in(images[marked], len(shares)):
                break
        return images
    own = np.arange(len(dataset)) if dataset.groups is None else dataset.groups
    _, groups = np.unique(own[rows], return_inverse=True)
    table = np.zeros((groups.max() + 1, strata_NS.shape[1]), np.int64)
    np.add.at(table, groups, strata_NS)
    for attempt in range(_ATTEMPTS):
        parts = _cut_patients(table, shares, np.random.default_rng([seed, attempt]))
        held = np.array([table[parts == part].sum(axis=0) for part in range(len(shares))])
        every = not needed or (held[:, table.any(axis=0)] > 0).all()
        if every and _all_in(parts[groups][marked], len(shares)):
            return parts[groups]
    per_class = ", ".join(
        f"{name}: {count}" for name, count in zip(names, (table > 0).sum(axis=0), strict=True)
    )
    who = "samples" if dataset.groups is None else "patients"
    by_image = "" if dataset.groups is None else ", or give group=none to split by image"
    if len(names) == 1:  # of one class alone, it is what is marked that some part lacks
        raise DataError(
            f"{len(table)} {who} cannot be cut into {len(shares)} parts with something marked in "
            f"each: {marked.sum()} of {len(rows)} samples have anything marked; add {who}{by_image}"
        )
    raise DataError(
        f"{len(table)} {who} cannot be cut into {len(shares)} parts with every class in each; "
        f"{who} per class are {per_class}: each needs {len(shares)} or more, so add {who}, "
        f"merge or leave out classes{by_image}"
    )


def _marked(dataset: Dataset) -> NDArray[np.bool_]:
    """Samples (N,) with something in their mask or with a point; all of them where none has."""
    kind = dataset.sample.target.kind
    if kind not in ("mask", "points"):
        return np.ones(len(dataset), bool)
    truth_NV: NDArray[Any] = dataset.truth.reshape(len(dataset), -1)
    there_NV = np.isfinite(truth_NV) if kind == "points" else np.greater(truth_NV, 0)
    marked: NDArray[np.bool_] = np.any(there_NV, axis=1)
    return marked if marked.any() else ~marked


def _all_in(codes: Codes, number: int) -> bool:
    """Whether each of so many parts holds one of these samples."""
    return len(np.unique(codes)) == number


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


def _strata(dataset: Dataset) -> tuple[Codes, tuple[str, ...], bool]:
    """What a split balances.

    Returns:
        (N, S) what each sample counts for, 1 or 0: its class; what it has and what it has not of
        findings; of each value whether it is low, middling or high; nothing but itself where the
        target is no such thing. Then the names of these, and whether every part needs each.
    """
    target, truth = dataset.sample.target, dataset.truth
    if target.kind == "label":
        own = truth[:, None] == np.arange(len(target.classes))
        return own.astype(np.int64), target.classes, True
    if target.kind == "labels":
        table = np.concatenate([truth == 1, truth == 0], axis=1)
        return table.astype(np.int64), (*target.classes, *(f"no {c}" for c in target.classes)), True
    if target.kind == "value":
        bands = [(_bands(v_N) == band) for v_N in truth.T for band in range(BANDS)]
        names = tuple(
            f"{name}, band {band + 1}" for name in target.classes for band in range(BANDS)
        )
        return np.stack(bands, axis=1).astype(np.int64), names, False
    return np.ones((len(dataset), 1), np.int64), ("all",), True


def _bands(value_N: NDArray[np.generic]) -> Codes:
    """Which of BANDS equally full bands each value lies in, equal values in one; -1 for unknown."""
    values = value_N.astype(np.float64)
    known = np.unique(values[np.isfinite(values)])
    inner = np.nanquantile(values, np.arange(1, BANDS) / BANDS)
    edges = np.minimum(inner, known[max(0, len(known) - 2)])  # the greatest are above every edge
    return np.where(np.isfinite(values), np.searchsorted(edges, values), -1)


def _require_every_class(dataset: Dataset, codes: Codes) -> None:
    strata_NS, names, needed = _strata(dataset)
    marked = _marked(dataset)
    cure = "mend the delivered split, or give split=none to have automed split"
    for code, part in enumerate(PARTS):
        held_NS = strata_NS[codes == code]
        missing = np.flatnonzero(strata_NS.any(axis=0) & ~held_NS.any(axis=0))
        if needed and len(missing):
            raise DataError(
                f"no {', '.join(names[n] for n in missing)} in the {part} part of the split; every "
                f"part needs every class: {cure}"
            )
        if not marked[codes == code].any():
            raise DataError(
                f"nothing is marked in the {part} part of the split, so that no answer can be "
                f"judged: add samples, or {cure}"
            )
        if dataset.sample.target.kind == "value":
            truth_NV = dataset.truth[codes == code].astype(np.float64)
            for name, value_N in zip(dataset.sample.target.classes, truth_NV.T, strict=True):
                if len(np.unique(value_N[np.isfinite(value_N)])) < 2:
                    raise DataError(
                        f"the value {name} does not vary in the {part} part of the split, so that "
                        f"no answer can be judged: add samples, or {cure}"
                    )
