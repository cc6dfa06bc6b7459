"""Writes a label map on the grid of the image it is of, so that viewers lay one over the other."""

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automed import files
from automed.data.pixels import PICTURES, VOLUMES, parse_nifti
from automed.errors import DataError


def write(labels: NDArray[np.uint8], path: Path, like: Path) -> None:
    """Write class numbers as a PNG or NIfTI file.

    NIfTI: the size and affine of the image, and nothing else of its header, which may name a
    patient.

    Args:
        labels: (*size) as the image was read, see `pixels.read`.
        path: Where to; its ending tells the format.
        like: The image's file.

    Raises:
        DataError: The format cannot hold this map, or the path cannot be written.
    """
    if path.exists() and path.samefile(like):
        raise DataError(f"{path.name} is the image itself; give the map a path of its own")
    name = path.name.lower()
    from_nifti = like.name.lower().endswith(VOLUMES)
    if name.endswith(VOLUMES) and from_nifti:
        content = _nifti(labels, like)
        content = gzip.compress(content, mtime=0) if name.endswith(".gz") else content
    elif name.endswith(".png") and labels.ndim == 2:
        content = _png(labels)
    else:
        allowed = [*(VOLUMES if from_nifti else ()), *(PICTURES[:1] if labels.ndim == 2 else ())]
        raise DataError(
            f"cannot write a {labels.ndim}D map of {like.name} as {path.name}; "
            f"give a path that ends in {' or '.join(allowed)}"
        )
    try:
        files.replace(path, content)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}") from error


def _png(labels: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(labels).save(file, "PNG")
    return file.getvalue()


def _nifti(labels: NDArray[np.uint8], like: Path) -> bytes:
    """The map turned back from canonical orientation, with the axes of one voxel in place."""
    import nibabel
    from nibabel.orientations import apply_orientation, ornt_transform

    content = like.read_bytes()
    image: Any = parse_nifti(
        gzip.decompress(content) if like.name.lower().endswith(".gz") else content
    )
    turn = nibabel.io_orientation(image.affine)
    stored = (*image.shape, 1, 1)[:3]
    canonical = [stored[axis] for axis in np.argsort(turn[:, 0])]
    upright = [[axis, 1] for axis in range(3)]
    turned = apply_orientation(labels.reshape(canonical), ornt_transform(upright, turn))
    written = nibabel.Nifti1Image(turned.reshape(image.shape[:3]), image.affine)
    written.header.set_xyzt_units(image.header.get_xyzt_units()[0])
    return bytes(written.to_bytes())
