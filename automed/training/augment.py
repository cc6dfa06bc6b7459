"""Light augmentation with MONAI's transforms, a slab of samples at a time."""

from collections.abc import Iterable

import torch
from monai.data import set_track_meta
from monai.transforms import RandFlip, RandRotate90, RandScaleIntensity, RandShiftIntensity

SLAB = 16
"""Samples that share one random draw: a transform costs Python time per call, not per pixel."""

set_track_meta(False)  # no affine and no history to carry along: plain tensors in and out


class Augmentation:
    """Named augmentations of images in [0, 1].

    Names are those of `automed.task.AUGMENTATIONS`: "flip" mirrors along each axis, "rotate90"
    turns by quarters in the last two axes where those are of one length, "intensity" scales and
    shifts a little.
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

    def epoch(self, images_NCX: torch.Tensor, seed: int) -> torch.Tensor:
        """All images of an epoch, augmented; slabs are drawn apart from the batches they go to."""
        if not self._transforms:
            return images_NCX
        for number, transform in enumerate(self._transforms):
            transform.set_random_state(seed=(seed + number) % 2**32)
        shuffle = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(images_NCX), generator=shuffle).to(images_NCX.device)
        augmented = torch.empty_like(images_NCX)
        for rows in torch.split(order, SLAB):
            augmented[rows] = self._slab(images_NCX[rows])
        return augmented

    def _slab(self, slab_NCX: torch.Tensor) -> torch.Tensor:
        image = slab_NCX.flatten(0, 1)  # MONAI's channels: samples times channels
        for transform in self._transforms:
            image = transform(image)
        return torch.as_tensor(image).reshape(slab_NCX.shape)
