"""What the parts of a split hold, in lines for people."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from automed.data.audit import repeated_images
from automed.data.columns import PARTS
from automed.data.dataset import Dataset
from automed.sample import TargetKind

Codes = NDArray[np.int64]


def told(dataset: Dataset, codes: Codes) -> list[tuple[str, str]]:
    """(label, text) on the parts, of which codes (N,) tell the number in PARTS."""
    facts = [("samples", _counted(np.bincount(codes, minlength=3)))]
    if dataset.groups is not None:
        groups = dataset.groups
        per_part = [len(np.unique(groups[codes == code])) for code in range(3)]
        by = dataset.grouped_by
        label = "patients or scans" if by == "patient" else f"{by}s"
        facts.append((label, _counted(per_part)))
    if dataset.sample.target.kind in OF_TARGETS:
        label, of_parts = OF_TARGETS[dataset.sample.target.kind]
        facts.append((label, of_parts(dataset, codes)))
    names = [PARTS[code] for code in codes]
    repeated = repeated_images(dataset.images, names)
    if repeated:
        facts.append(("duplicates", f"images in more than one part, pixel by pixel: {repeated:,}"))
    return facts


def _counted(counts: Sequence[int] | Codes) -> str:
    return " / ".join(f"{count:,} {part}" for count, part in zip(counts, PARTS, strict=True))


def _class_shares(dataset: Dataset, codes: Codes) -> str:
    labels, classes = dataset.truth.astype(np.int64), dataset.sample.target.classes
    shares: Mapping[str, NDArray[np.float64]] = {
        part: np.bincount(labels[codes == code], minlength=len(classes)) / (codes == code).sum()
        for code, part in enumerate(PARTS)
    }
    return "; ".join(
        f"{part}: " + ", ".join(f"{s:.2f} {c}" for s, c in zip(share, classes, strict=True))
        for part, share in shares.items()
    )


def _finding_shares(dataset: Dataset, codes: Codes) -> str:
    """In what share of the samples of which it is known each finding is there."""
    known = dataset.truth.astype(np.float64)
    return "; ".join(
        f"{part}: "
        + ", ".join(
            f"{share:.2f} {name}"
            for share, name in zip(
                np.nanmean(known[codes == code], axis=0), dataset.sample.target.classes, strict=True
            )
        )
        for code, part in enumerate(PARTS)
    )


def _spreads(dataset: Dataset, codes: Codes) -> str:
    """Mean and standard deviation of each value, where it is known."""
    truth_NV = dataset.truth.astype(np.float64)
    return "; ".join(
        f"{part}: "
        + ", ".join(
            f"{name} {np.nanmean(value_N):.4g} ± {np.nanstd(value_N):.4g}"
            for name, value_N in zip(
                dataset.sample.target.classes, truth_NV[codes == code].T, strict=True
            )
        )
        for code, part in enumerate(PARTS)
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


OF_TARGETS: Mapping[TargetKind, tuple[str, Callable[[Dataset, Codes], str]]] = {
    "label": ("class share", _class_shares),
    "labels": ("share with each finding", _finding_shares),
    "value": ("mean and standard deviation", _spreads),
    "mask": ("foreground share", _foreground_shares),
    "points": ("objects", _objects),
}
"""What is told of the truth, by its kind: a label, and what makes the text."""
