"""Light augmentation with MONAI's transforms, a slab of samples at a time."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from monai.data import set_track_meta
from monai.transforms import RandFlip, RandRotate90, RandScaleIntensity, RandShiftIntensity

from automed.sample import SampleSpec
from automed.training.tensors import Part

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
        square = len(size) > 1 and size[-1] == size[-2]
        moves = {
            "flip": [RandFlip(prob=0.5, spatial_axis=axis) for axis in axes],
            "rotate90": [RandRotate90(prob=0.5, max_k=3, spatial_axes=(-2, -1))] * square,
        }
        tints = {
            "intensity": [
                RandScaleIntensity(factors=0.1, prob=0.5),
                RandShiftIntensity(offsets=0.05, prob=0.5),
            ],
        }
        self._moves = [transform for name in names for transform in moves.get(name, ())]
        self._tints = [transform for name in names for transform in tints.get(name, ())]

    def epoch(
        self,
        images_NCX: torch.Tensor,
        seed: int,
        moved_with: Sequence[torch.Tensor] = (),
        points: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """All images of an epoch, augmented; slabs are drawn apart from the batches they go to.

        Args:
            images_NCX: Images in [0, 1].
            seed: Decides every draw.
            moved_with: Tensors (N, C, *size) that are mirrored and turned as the images are,
                masks for example.
            points: (N, M, dims + 1), places in pixels, one coordinate an axis, and a number that
                stays as it is.

        Returns:
            The images, then what moved with them, the points last.
        """
        placed = [] if points is None else [points]
        if not self._moves and not self._tints:
            return images_NCX, *moved_with, *placed
        for number, transform in enumerate((*self._moves, *self._tints)):
            transform.set_random_state(seed=(seed + number) % 2**32)
        shuffle = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(images_NCX), generator=shuffle).to(images_NCX.device)
        together = (images_NCX, *moved_with)
        augmented = tuple(torch.empty_like(x) for x in (*together, *placed))
        came_from = [_places(images_NCX)] if placed else []
        for rows in torch.split(order, SLAB):
            slabs = self._slab([*(x[rows] for x in together), *came_from])
            if came_from:
                slabs[-1] = _followed(placed[0][rows], slabs[-1][0])
            for whole, slab in zip(augmented, slabs, strict=True):
                whole[rows] = slab.to(whole.dtype)
        return augmented

    def part(
        self, part: Part, sample: SampleSpec, seed: int
    ) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
        """Inputs and truth of an epoch; what lies on the images' grid moves with them.

        A truth that is an image is tinted with them too: it has the same window.
        """
        kinds = [spec.kind for spec in sample.inputs]
        images = [x for x, kind in zip(part.inputs, kinds, strict=True) if kind == "image"]
        if not images:
            return part.inputs, part.truth
        learnt = sample.target.kind
        if learnt == "image":
            images.append(part.truth)
        on_grid = [part.truth] if learnt in ("mask", "field") else []
        points = part.truth if learnt == "points" else None
        joined, *moved = self.epoch(torch.cat(images, 1), seed, on_grid, points)
        split = list(torch.split(joined, [x.shape[1] for x in images], 1))
        if learnt == "image":
            moved = [split.pop()]
        own, inputs = iter(split), zip(part.inputs, kinds, strict=True)
        return (
            tuple(next(own) if kind == "image" else x for x, kind in inputs),
            moved[0] if moved else part.truth,
        )

    def _slab(self, slabs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        image = _applied(self._moves, torch.cat([s.flatten(0, 1).float() for s in slabs]))
        parts = list(torch.split(image, [s.shape[0] * s.shape[1] for s in slabs]))
        parts[0] = _applied(self._tints, parts[0])
        return [part.reshape(s.shape) for part, s in zip(parts, slabs, strict=True)]


def _applied(transforms: Iterable[Any], image_CX: torch.Tensor) -> torch.Tensor:
    """MONAI's transforms one after another; its channels are samples times channels here."""
    for transform in transforms:
        image_CX = transform(image_CX)
    return torch.as_tensor(image_CX)


def _places(images_NCX: torch.Tensor) -> torch.Tensor:
    """An image (1, dims, *size) whose values are its own coordinates: it moves as images do."""
    axes = [torch.arange(float(n), device=images_NCX.device) for n in images_NCX.shape[2:]]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]


def _followed(points_NMP: torch.Tensor, came_from_DX: torch.Tensor) -> torch.Tensor:
    """Points where their pixels have gone, in an image that says where each of its own came from.

    Flips and quarter turns take axes to axes, so the first pixel and its neighbours tell all.
    """
    dims = len(came_from_DX)
    corner_DX = came_from_DX[(slice(None), *[slice(0, 2)] * dims)]
    origin_D = corner_DX.flatten(1)[:, 0]
    steps_AD = torch.stack([corner_DX.diff(dim=1 + a).flatten(1)[:, 0] for a in range(dims)])
    centres = (points_NMP[..., :dims] - origin_D) @ steps_AD.T
    return torch.cat([centres, points_NMP[..., dims:]], dim=-1)
