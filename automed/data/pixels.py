"""Reads one image file into an array, the same way for training data and for predictions."""

import gzip
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from automed.data.dataset import Array
from automed.errors import DataError

PICTURES = (".png", ".jpg", ".jpeg")
VOLUMES = (".nii", ".nii.gz")
SUFFIXES = PICTURES + VOLUMES

_MM_PER_UNIT = {"meter": 1000.0, "micron": 0.001}
_MAX_CHANNELS = 4
_IN_A_PICTURE = ("down", "right")
_IN_THE_PATIENT = ("right", "anterior", "superior")
_PNG_COLOUR = slice(24, 26)
"""Bytes of a PNG's header that hold bits per channel and colour type (0 is grey)."""


class ImageError(DataError):
    """An image file that cannot be read.

    Attributes:
        reason: What is wrong, without the file's name, which may be a patient's.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One image in memory.

    Attributes:
        pixels: (C, H, W), or (C, X, Y, Z) for a volume, in raw units and the file's own dtype.
        spacing_mm: Millimetres per pixel along each axis after the first, or None if unknown.
        axes: What each of those leads towards, see `sample.InputSpec`.
    """

    pixels: Array
    spacing_mm: tuple[float, ...] | None = None
    axes: tuple[str, ...] = ()


class Stack(NamedTuple):
    """Images of one size in one array.

    Attributes:
        images: (N, C, *size) in the common dtype.
        spacing_mm: In mm if all share it, within 1 %.
        axes: What they lead towards, if all agree.
        notes: What was changed or lost.
    """

    images: Array
    spacing_mm: tuple[float, ...] | None
    axes: tuple[str, ...]
    notes: tuple[str, ...]


def readable(path: Path) -> bool:
    """Whether a file's name ends like an image that `read` knows."""
    return path.name.lower().endswith(SUFFIXES)


def read(path: Path) -> Picture:
    """One PNG, JPEG or NIfTI file.

    Pictures: grey gives one channel, colour gives one if its three are equal and else three;
    transparency is dropped; 16-bit grey stays uint16; a photograph's rotation mark is obeyed.

    NIfTI: scaled where the header says so (to float32), turned to the closest canonical
    orientation, axes x, y, z towards right, anterior, superior. An axis of one voxel is dropped,
    which leaves a 2D image. A fourth axis of up to four holds channels.

    Raises:
        ImageError: The file is missing, damaged (checksums are verified where the format has
            them), of another format, or its content has no place in an array of numbers.
    """
    if not path.is_file():
        raise ImageError(path.name, "is missing; name a file that exists")
    if not readable(path):
        raise ImageError(path.name, f"is of no known format; known: {', '.join(SUFFIXES)}")
    try:
        if path.name.lower().endswith(VOLUMES):
            return _read_nifti(path)
        return _read_picture(path)
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        raise ImageError(path.name, "is damaged or not what its name says; export it again") from (
            error
        )


def stack(pictures: Sequence[Picture]) -> Stack:
    """Images of one size in one array; grey ones between colour ones get three equal channels.

    Raises:
        DataError: Sizes, channels or dtypes differ.
    """
    _require_one_kind([_size(picture) for picture in pictures], "size", "resample or crop")
    _require_one_kind([str(picture.pixels.dtype) for picture in pictures], "pixel type", "convert")
    notes = []
    channels = {len(picture.pixels) for picture in pictures}
    if channels == {1, 3}:
        num_grey = sum(len(picture.pixels) == 1 for picture in pictures)
        notes.append(f"{num_grey:,} grey images among colour ones got three equal channels")
    elif len(channels) > 1:
        counts = [f"{len(picture.pixels)} channels" for picture in pictures]
        _require_one_kind(counts, "number of channels", "convert")
    most = max(channels)
    images = np.stack([np.broadcast_to(p.pixels, (most, *p.pixels.shape[1:])) for p in pictures])
    spacing_mm = _common_spacing(pictures)
    if spacing_mm is None and any(picture.spacing_mm for picture in pictures):
        notes.append("pixel spacing differs between images and is not used")
    axes = {picture.axes for picture in pictures}
    return Stack(images, spacing_mm, axes.pop() if len(axes) == 1 else (), tuple(notes))


def _size(picture: Picture) -> str:
    return "x".join(str(axis) for axis in picture.pixels.shape[1:])


def _require_one_kind(kinds: Sequence[str], what: str, cure: str) -> None:
    counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    if len(counts) == 1:
        return
    common = sorted(counts, key=lambda kind: -counts[kind])
    shown = ", ".join(f"{counts[kind]:,} of {kind}" for kind in common[:3])
    more = f" and {len(common) - 3} more" if len(common) > 3 else ""
    raise DataError(
        f"images of more than one {what}: {shown}{more}; all images share one {what}: "
        f"{cure} them to one first"
    )


def _common_spacing(pictures: Sequence[Picture]) -> tuple[float, ...] | None:
    first = pictures[0].spacing_mm
    if first is None or any(picture.spacing_mm is None for picture in pictures):
        return None
    spacings = np.array([picture.spacing_mm for picture in pictures])
    return first if np.allclose(spacings, first, rtol=0.01, atol=0.0) else None


def _read_picture(path: Path) -> Picture:
    from PIL import Image, ImageOps

    with path.open("rb") as file:
        header = file.read(_PNG_COLOUR.stop)
    bits, colour_type = header[24:25], header[25:]
    if header.startswith(b"\x89PNG") and bits == b"\x10" and colour_type != b"\0":
        raise ImageError(path.name, "is a 16-bit colour PNG; save it as 8-bit or as 16-bit grey")
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I"):
                grey = _native(np.asarray(upright).astype(np.uint16))[None]
                return Picture(pixels=grey, axes=_IN_A_PICTURE)
            colour = np.asarray(upright.convert("RGB"))
    except Image.DecompressionBombError as error:
        raise ImageError(path.name, "has too many pixels; crop or resample it first") from error
    pixels = np.ascontiguousarray(np.moveaxis(colour, -1, 0))
    is_grey = bool((pixels == pixels[:1]).all())
    return Picture(pixels=pixels[:1] if is_grey else pixels, axes=_IN_A_PICTURE)


def _read_nifti(path: Path) -> Picture:
    import nibabel
    from nibabel.affines import voxel_sizes
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    content = path.read_bytes()
    if path.name.lower().endswith(".gz"):
        content = gzip.decompress(content)  # to its end, where the checksum is
    try:
        image = parse_nifti(content)
        pixels = _native(np.asanyarray(image.dataobj))
        turn = nibabel.io_orientation(image.affine)
        zooms_mm = voxel_sizes(image.affine)
    except (HeaderDataError, ImageFileError, WrapStructError, np.linalg.LinAlgError) as error:
        raise ImageError(path.name, "has a header that makes no sense; export it again") from error
    if pixels.dtype.kind not in "iuf":
        raise ImageError(
            path.name, "holds colours or complex numbers; one number per voxel, please"
        )
    if image.dataobj.slope != 1.0 or image.dataobj.inter != 0.0:
        pixels = pixels.astype(np.float32)
    zooms_mm = zooms_mm * _MM_PER_UNIT.get(image.header.get_xyzt_units()[0], 1.0)
    if np.isnan(turn).any() or not (np.isfinite(zooms_mm) & (zooms_mm > 0)).all():
        raise ImageError(
            path.name, "has an affine that gives an axis no direction; export it again"
        )
    return _arranged(path.name, pixels, turn, zooms_mm)


def parse_nifti(content: bytes) -> Any:
    """The nibabel image in the bytes of an uncompressed NIfTI file of either version."""
    import nibabel

    header_size = int.from_bytes(content[:4], "little")
    is_second = 540 in (header_size, int.from_bytes(content[:4], "big"))
    return (nibabel.Nifti2Image if is_second else nibabel.Nifti1Image).from_bytes(content)


def _arranged(name: str, pixels: Array, turn: Array, zooms_mm: Array) -> Picture:
    """Voxels in canonical orientation, channels first, without axes of one voxel.

    Args:
        name: The file's base name, for errors.
        pixels: (X, Y), (X, Y, Z) or (X, Y, Z, C).
        turn: (3, 2) nibabel orientation: target axis and flip of each axis.
        zooms_mm: (3,) millimetres per voxel and axis, as stored.
    """
    from nibabel.orientations import apply_orientation

    while pixels.ndim > 4 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    pixels = np.expand_dims(pixels, tuple(range(pixels.ndim, 4)))
    if pixels.ndim > 4 or pixels.shape[3] > _MAX_CHANNELS:
        shape = "x".join(str(axis) for axis in pixels.shape)
        raise ImageError(
            name, f"has {shape} values; allowed are 3 axes and up to {_MAX_CHANNELS} channels"
        )
    pixels = apply_orientation(pixels, turn)
    order = np.argsort(turn[:, 0])
    kept = [axis for axis in range(3) if pixels.shape[axis] > 1]
    if len(kept) < 2:
        raise ImageError(name, "is neither a 2D nor a 3D image; two axes need several voxels")
    size = tuple(pixels.shape[axis] for axis in kept)
    return Picture(
        pixels=np.ascontiguousarray(np.moveaxis(pixels, 3, 0).reshape(pixels.shape[3], *size)),
        spacing_mm=tuple(round(float(zooms_mm[order][axis]), 6) for axis in kept),
        axes=tuple(_IN_THE_PATIENT[axis] for axis in kept),
    )


def _native(pixels: Array) -> Array:
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
