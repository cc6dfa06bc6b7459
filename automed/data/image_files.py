"""Writes what a model makes of an image as a file on its grid, so that viewers overlay the two."""

import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automed import files
from automed.data import pixels
from automed.data.pixels import VOLUMES, parse_nifti
from automed.errors import DataError

_Writer = Callable[[NDArray[Any], Path], bytes]


def write(values: NDArray[Any], path: Path, like: Path) -> None:
    """Write class numbers, or an image in raw units, as a PNG, NIfTI or NumPy file.

    NIfTI: the size and affine of the image, and nothing else of its header, which may name a
    patient. PNG: class numbers as they are; grey values rounded, for images that were 8-bit.

    Args:
        values: (*size) class numbers or (C, *size) an image, as the image was read, see
            `pixels.read`.
        path: Where to; its ending tells the format.
        like: The image's file.

    Raises:
        DataError: The format cannot hold this map, or the path cannot be written.
    """
    if path.exists() and path.samefile(like):
        raise DataError(f"{path.name} is the image itself; give the map a path of its own")
    name, writers = path.name.lower(), _writers(values, like)
    write = next((writer for end, writer in writers.items() if name.endswith(end)), None)
    if write is None:
        raise DataError(
            f"cannot write a {values[0].ndim if _is_image(values) else values.ndim}D map of "
            f"{like.name} as {path.name}; give a path that ends in {' or '.join(writers)}"
        )
    content = write(values[0] if _is_image(values) and len(values) == 1 else values, like)
    if name.endswith(".gz"):
        content = gzip.compress(content, mtime=0)
    try:
        files.replace(path, content)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}") from error


def _writers(values: NDArray[Any], like: Path) -> dict[str, _Writer]:
    """What writes this map, by the end of the path: other formats cannot hold it."""
    from_nifti = like.name.lower().endswith(VOLUMES)
    channels, axes = (len(values), values.ndim - 1) if _is_image(values) else (1, values.ndim)
    in_png = axes == 2 and channels in (1, 3) and not (_is_image(values) and from_nifti)
    return {
        **(dict.fromkeys(VOLUMES, _nifti) if from_nifti and channels == 1 else {}),
        **({".png": _png} if in_png else {}),
        ".npy": _npy,
    }


def _is_image(values: NDArray[Any]) -> bool:
    return values.dtype.kind == "f"


def _npy(values: NDArray[Any], like: Path) -> bytes:
    del like
    file = io.BytesIO()
    np.save(file, values, allow_pickle=False)
    return file.getvalue()


def _png(values: NDArray[Any], like: Path) -> bytes:
    from PIL import Image

    if _is_image(values):
        kind: Any = pixels.read(like).pixels.dtype
        values = np.rint(values).clip(0, np.iinfo(kind).max).astype(kind)
    file = io.BytesIO()
    Image.fromarray(np.moveaxis(values, 0, -1) if values.ndim == 3 else values).save(file, "PNG")
    return file.getvalue()


def _nifti(values: NDArray[Any], like: Path) -> bytes:
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
    turned = apply_orientation(values.reshape(canonical), ornt_transform(upright, turn))
    written = nibabel.Nifti1Image(turned.reshape(image.shape[:3]), image.affine)
    written.header.set_xyzt_units(image.header.get_xyzt_units()[0])
    return bytes(written.to_bytes())
