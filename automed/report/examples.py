"""Pictures of samples for the report, drawn from plain arrays when a search concludes."""

import base64
import io
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw

from automed.data.dataset import Dataset
from automed.data.units import in_window
from automed.problems import Shown
from automed.problems.registration import nearest
from automed.report.results import Example
from automed.sample import InputSpec

SIDE = 240
"""Pixels of a picture's longer side."""
EDGE = 2
"""Pixels of an outline's width."""
LEAD = 48
"""Pixels of a signal's height."""
TRUTH, ANSWER = "#56B4E9", "#E69F00"
"""Colours of what is true and of what the model says; Okabe and Ito 2008."""
_INK, _PAPER = "#1f2933", "#ffffff"

Array = NDArray[Any]


def draw(data: Dataset, shown: Iterable[Shown]) -> tuple[Example, ...]:
    """Pictures of some samples of a part: the image inputs of each; of a table alone none."""
    if data.sample.dims == 0:
        return ()
    specs = [spec for spec in data.sample.inputs if spec.kind == "image"]
    return tuple(
        _example([data.inputs[s.name][one.row] for s in specs], specs, one) for one in shown
    )


def _example(raw: Sequence[Array], specs: Sequence[InputSpec], shown: Shown) -> Example:
    spec = specs[0]
    maps = [m for m in (shown.truth, shown.answer) if m is not None]
    points = [p for p in (shown.true_points, shown.found_points) if p is not None]
    panels = [in_window(x_CS[None], s)[0] for x_CS, s in zip(raw, specs, strict=True)]
    if shown.field is not None:
        panels.append(nearest(panels[-1], shown.field))
    panels += shown.beside
    caption, spacing_mm = shown.caption, spec.spacing_mm or (1.0,) * len(spec.size)
    if len(spec.size) == 3:
        axis, place = _slice(spec, maps, points)
        caption += f", slice {place + 1} of {spec.size[axis]}"
        panels = [p.take(place, axis=axis + 1) for p in panels]
        maps = [m.take(place, axis=axis) for m in maps]
        points = [_cut(p, axis, place) for p in points]
        spacing_mm = spacing_mm[:axis] + spacing_mm[axis + 1 :]
    if len(spec.size) == 1:
        picture = _signal(np.concatenate(panels), maps)
    else:
        pictures = [_image(p, maps, spacing_mm) for p in panels]
        for drawn in pictures:
            _circles(drawn, points, panels[0].shape[1:])
        picture = _row(pictures)
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return Example(
        title=shown.title,
        caption=caption,
        png=base64.b64encode(file.getvalue()).decode(),
        outlined=bool(maps or points),
        panels=len(panels),
    )


def _slice(spec: InputSpec, maps: Sequence[Array], points: Sequence[Array]) -> tuple[int, int]:
    """Across the thickest slices, or the first axis: where the truth is largest, or the middle."""
    axis = int(np.argmax(spec.spacing_mm or (1.0,)))
    for objects in points:
        if len(objects):
            place = round(float(objects[objects[:, -1].argmax(), axis]))
            return axis, min(max(place, 0), spec.size[axis] - 1)
    if not maps or not maps[0].any():
        return axis, spec.size[axis] // 2
    others = tuple(a for a in range(3) if a != axis)
    return axis, int((maps[0] != 0).sum(axis=others).argmax())


def _image(values_CHW: Array, maps: Sequence[Array], spacing_mm: Sequence[float]) -> Image.Image:
    """Grey or colour, with the truth's outline around its places and the answer's inside its own.

    Two that agree lie side by side, so that neither hides the other.
    """
    colour = values_CHW if len(values_CHW) == 3 else values_CHW[:1].repeat(3, axis=0)
    extent = np.multiply(colour.shape[1:], spacing_mm)
    height, width = (max(1, round(SIDE * e / extent.max())) for e in extent)
    shrinks = height < colour.shape[1] or width < colour.shape[2]
    pixels = np.asarray(
        Image.fromarray(_bytes(np.moveaxis(colour, 0, -1))).resize(
            (width, height), Image.Resampling.BOX if shrinks else Image.Resampling.NEAREST
        )
    ).copy()
    for around, labels, name in zip((True, False), maps, (TRUTH, ANSWER), strict=False):
        big = Image.fromarray(labels.astype(np.uint8)).resize(
            (width, height), Image.Resampling.NEAREST
        )
        pixels[_outline(np.asarray(big), around=around)] = ImageColor.getrgb(name)
    return Image.fromarray(pixels)


def _cut(points_MP: Array, axis: int, place: int) -> Array:
    """The circles in which spheres meet a slice."""
    squared = points_MP[:, -1] ** 2 - (points_MP[:, axis] - place) ** 2
    met: Array = np.delete(points_MP, axis, axis=1)[squared > 0]
    met[:, -1] = np.sqrt(squared[squared > 0])
    return met


def _circles(picture: Image.Image, points: Sequence[Array], size: Sequence[int]) -> None:
    """Objects drawn into a picture of an image of this size, as outlines are: truth around."""
    pen = ImageDraw.Draw(picture)
    down, across = picture.height / size[0], picture.width / size[1]
    for wider, objects, name in zip((EDGE, 0), points, (TRUTH, ANSWER), strict=False):
        for y, x, radius in objects.tolist():
            top, left = (y + 0.5 - radius) * down - wider, (x + 0.5 - radius) * across - wider
            low, right = (y + 0.5 + radius) * down + wider, (x + 0.5 + radius) * across + wider
            pen.ellipse([left, top, right, low], outline=name, width=EDGE)


def _row(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures of one size side by side."""
    width, height = pictures[0].width + EDGE, pictures[0].height
    row = Image.new("RGB", (width * len(pictures) - EDGE, height), _PAPER)
    for number, picture in enumerate(pictures):
        row.paste(picture, (number * width, 0))
    return row


def _outline(labels_HW: Array, *, around: bool) -> NDArray[np.bool_]:
    """Places within EDGE of another class: those around the classes, or those inside them."""
    height, width = labels_HW.shape
    padded = np.pad(labels_HW, EDGE, mode="edge")
    edge = np.zeros(labels_HW.shape, bool)
    for dy, dx in product(range(2 * EDGE + 1), repeat=2):
        near = padded[dy : dy + height, dx : dx + width]
        edge |= (near != labels_HW) & ((near if around else labels_HW) != 0)
    return edge


def _signal(values_CL: Array, maps: Sequence[Array]) -> Image.Image:
    """A line for every channel, the truth as a bar above them and the answer as one below."""
    channels, length = values_CL.shape
    picture = Image.new("RGB", (SIDE, LEAD * max(2, channels)), _PAPER)
    pen = ImageDraw.Draw(picture)
    band = (picture.height - 4 * EDGE) / channels
    across = np.linspace(0, SIDE - 1, length)
    for channel, values_L in enumerate(values_CL):
        down = 2 * EDGE + band * (channel + 0.95 - 0.9 * values_L)
        pen.line(list(zip(across, down, strict=True)), fill=_INK, width=1)
    for labels, name, top in zip(maps, (TRUTH, ANSWER), (0, picture.height - EDGE), strict=False):
        for x in np.flatnonzero(labels[(np.arange(SIDE) * length) // SIDE]).tolist():
            pen.line([(x, top), (x, top + EDGE - 1)], fill=name)
    return picture


def _bytes(values: Array) -> NDArray[np.uint8]:
    scaled: NDArray[np.uint8] = np.rint(255 * values).astype(np.uint8)
    return scaled
