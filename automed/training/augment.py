"""Light augmentation with MONAI's transforms, on slabs of a batch instead of single samples."""

from collections.abc import Callable, Iterable

import torch
from monai.transforms import RandFlip, RandRotate90, RandScaleIntensity, RandShiftIntensity

SLAB = 4
"""Samples that share one random draw: a transform costs Python time per call, not per pixel."""

Transform = Callable[[torch.Tensor], torch.Tensor]


class Augmentation:
    """Named augmentations of a batch of images in [0, 1].

    Names: "flip" mirrors along each axis, "rotate90" turns by quarters in the last two axes
    where those are of one length, "intensity" scales and shifts a little.
    """

    def __init__(self, names: Iterable[str], size: tuple[int, ...]) -> None:
        axes = range(len(size))
        square = size[-1] == size[-2]
        known = {
            "flip": [RandFlip(prob=0.5, spatial_axis=axis) for axis in axes],
            "rotate90": [RandRotate90(prob=0.5, max_k=3, spatial_axes=(-2, -1))] * square,
            "intensity": [
                RandScaleIntensity(factors=0.1, prob=0.5),
                RandShiftIntensity(offsets=0.05, prob=0.5),
            ],
        }
        self._transforms = [transform for name in names for transform in known[name]]

    def seed(self, seed: int) -> None:
        """Start every transform's own random stream anew."""
        for number, transform in enumerate(self._transforms):
            transform.set_random_state(seed=(seed + number) % 2**32)

    def __call__(self, batch_NCX: torch.Tensor) -> torch.Tensor:
        """The batch with every slab of samples transformed alike."""
        if not self._transforms:
            return batch_NCX
        return torch.cat([self._slab(slab) for slab in batch_NCX.split(SLAB)])

    def _slab(self, slab_NCX: torch.Tensor) -> torch.Tensor:
        image = slab_NCX.flatten(0, 1)  # MONAI's channels: samples times channels
        for transform in self._transforms:
            image = transform(image)
        return torch.as_tensor(image).reshape(slab_NCX.shape)
