"""Samples in memory, without anything that names a patient."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from automed.sample import SampleSpec

Array = NDArray[np.generic]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Named arrays with one row a sample.

    Attributes:
        sample: What one row holds.
        inputs: By input name; images are (N, C, *size) in raw units, the dtype they came in.
        targets: By target name; labels are (N,) int64 and masks (N, *size) indices into the
            target's classes, images (N, C, *size) in raw units, once split in the input's window,
            label maps (N, 2, *size) of a fixed and a moving image,
            points (N, M, dims + 1) centres and radii in pixels, NaN for none.
        groups: (N,) int64 codes of the patient (or scan) of each row, or None if unknown. Codes
            are counted from 0 in the order of first appearance: the ids themselves stay outside.
        grouped_by: What a group is, in a word.
        split: (N,) of "train", "val" or "test" as delivered, or None.
        description: One line for screens and reports: counts and format, never a path or a name.
        simulated: A sentence that says so where no patient stands behind the samples, else empty.
        notes: What the reader changed or left out.
        unlabelled: Samples without a target, from which networks may learn what images look like;
            a selection of rows leaves them behind.
    """

    sample: SampleSpec
    inputs: Mapping[str, Array]
    targets: Mapping[str, Array]
    groups: NDArray[np.int64] | None = None
    grouped_by: str = "patient"
    split: NDArray[np.str_] | None = None
    description: str = ""
    simulated: str = ""
    notes: tuple[str, ...] = ()
    unlabelled: "Dataset | None" = None

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    @property
    def images(self) -> Array:
        """The first image-like input, (N, C, *size), raw units."""
        return self.inputs[self.sample.image.name]

    @property
    def given(self) -> tuple[Array, ...]:
        """Every input, in the order networks take them."""
        return tuple(self.inputs[spec.name] for spec in self.sample.inputs)

    @property
    def truth(self) -> Array:
        """The first target."""
        return self.targets[self.sample.target.name]

    def rows(self, index: NDArray[np.int64]) -> "Dataset":
        """The samples at these positions, in this order."""
        return replace(
            self,
            inputs={name: array[index] for name, array in self.inputs.items()},
            targets={name: array[index] for name, array in self.targets.items()},
            groups=None if self.groups is None else self.groups[index],
            split=None if self.split is None else self.split[index],
            unlabelled=None,
        )

    def digest(self) -> str:
        """Sixteen hex digits of all inputs and targets, those without a label among them."""
        digest = hashlib.sha256()
        if self.unlabelled is not None:
            digest.update(self.unlabelled.digest().encode())
        for named in (self.inputs, self.targets):
            for name, array in sorted(named.items()):
                digest.update(f"{name}{array.shape}{array.dtype}".encode())
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]
