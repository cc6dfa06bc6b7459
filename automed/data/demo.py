"""Embedded data for tasks that no phantom stands for: shapes drawn at random, nothing medical."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from automed.data.dataset import Array, Dataset
from automed.data.options import Options, parse
from automed.errors import DataError
from automed.sample import InputSpec, SampleSpec, TargetKind, TargetSpec

PER_SUBJECT = 4
"""Samples that share a simulated subject: its contrast, noise and sharpness."""
SIMULATED = (
    "The samples are demonstration shapes, not medical: no patient stands behind them. Scores on "
    "them show that a search works, and nothing else; give your own with --data."
)
MASK_CLASSES = ("background", "shape")
LARGE = 0.2
"""Share of an image's shorter sides' square, or cube, from which on a shape is called large."""
ATLAS = {  # a body and what lies in it: centre and radii as shares of the image, and brightness
    "body": ((0.0, 0.0, 0.0), (0.38, 0.36, 0.36), 0.5),
    "left lobe": ((0.0, -0.02, -0.14), (0.2, 0.2, 0.1), 1.0),
    "right lobe": ((0.04, 0.04, 0.15), (0.16, 0.14, 0.12), 0.8),
}
BEND, SHIFT, DRIFT = 1.6, 0.8, 0.4
"""Standard deviations in pixels of a subject's smooth displacements, of its shift as a whole, and
of the displacements between its samples."""
REACH = 3.0
"""Pixels over which displacements hang together."""

_Drawn = dict[str, Array]


def _outline(rng: Generator, kind: str, grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signed distance (*size) in pixels to one shape: round, lobed or hollow.

    Args:
        rng: Of its place, size and form.
        kind: Name of the shape.
        grid: (*size, axes) pixels from the centre of the image.
    """
    num_axes, size = grid.shape[-1], np.array(grid.shape[:-1])
    offset = (grid - rng.uniform(-0.15, 0.15, num_axes) * size) * np.exp(
        rng.normal(0.0, 0.15, num_axes)
    )
    away = np.linalg.norm(offset, axis=-1) + 1e-3
    radius = size.min() * rng.uniform(0.22, 0.36)
    outline: NDArray[np.float64] = away - radius
    waves = rng.normal(size=(num_axes, 4))
    waves *= rng.uniform(3.0, 6.0, 4) / np.linalg.norm(waves, axis=0)
    ripple = np.sin(offset / away[..., None] @ waves + rng.uniform(0.0, 2 * np.pi, 4)).sum(-1)
    outline += radius * (0.16 if kind == "lobed" else 0.02) * ripple
    if kind == "hollow":
        half = radius * rng.uniform(0.2, 0.4)
        outline = np.abs(outline + half) - half
    return outline


def _clutter(rng: Generator, grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signed distance (*size) in pixels to a few straight cords that pass anywhere."""
    nearest = np.full(grid.shape[:-1], np.inf)
    for _ in range(rng.integers(1, 4)):
        offset = grid - rng.uniform(-0.5, 0.5, grid.shape[-1]) * np.array(grid.shape[:-1])
        heading = rng.normal(size=grid.shape[-1])
        along = offset @ (heading / np.linalg.norm(heading))
        across = np.sqrt(np.maximum((offset**2).sum(axis=-1) - along**2, 0.0))
        nearest = np.minimum(nearest, across - rng.uniform(0.3, 1.2))
    return nearest


def _blurred(scenes: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Scenes (N, *size) through a Gaussian of `sigma` pixels along every axis."""
    axes = tuple(range(1, scenes.ndim))
    spectrum = np.fft.rfftn(scenes, axes=axes)
    for axis in axes:
        frequency = np.fft.fftfreq(scenes.shape[axis])[: spectrum.shape[axis]]
        shape = [-1 if other == axis else 1 for other in range(scenes.ndim)]
        spectrum *= np.exp(-2.0 * (np.pi * sigma * frequency) ** 2).reshape(shape)
    return np.fft.irfftn(spectrum, scenes.shape[1:], axes=axes)


def _draw_grids(rng: Generator, demo: "Demo") -> _Drawn:
    """Images or volumes with one shape each, cords, uneven brightness, blur and noise."""
    size = demo.input.size
    grid = np.stack(np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in size), indexing="ij"), -1)
    labels = rng.integers(0, len(demo.classes), PER_SUBJECT)
    contrast, noise, sigma = rng.uniform(0.5, 1.0), rng.uniform(0.1, 0.25), rng.uniform(0.5, 0.9)
    scenes, masks = np.zeros((2, PER_SUBJECT, *size))
    for row, label in enumerate(labels):
        slope = rng.normal(0.0, 1.0, len(size)) / np.array(size)
        bend = np.cos(grid @ rng.normal(0.0, 2.0, len(size)) / max(size) + rng.uniform(0.0, 6.0))
        cover = np.clip(0.5 - _outline(rng, demo.classes[label], grid), 0.0, 1.0)
        cords = np.clip(0.5 - _clutter(rng, grid), 0.0, 1.0)
        scenes[row] = 0.6 * (grid @ slope) + 0.3 * bend
        scenes[row] += contrast * np.maximum(cover, rng.uniform(0.4, 1.0) * cords)
        masks[row] = cover > 0.5
    seen = _blurred(scenes, sigma) + rng.normal(0.0, noise, scenes.shape)
    extent = masks.reshape(PER_SUBJECT, -1).sum(axis=1)[:, None]
    kinds = labels[:, None] == np.arange(1, len(demo.classes))
    return {
        "image": seen[:, None].astype(np.float32),
        "label": labels,
        "labels": np.hstack([kinds, extent > LARGE * min(size) ** len(size)]).astype(np.float32),
        "value": extent.astype(np.float32),
        "mask": masks[:, None].astype(np.uint8),
    }


def _draw_atlas(rng: Generator, demo: "Demo") -> _Drawn:
    """Volumes of one body, bent smoothly from subject to subject, a little from scan to scan."""
    size = demo.input.size
    grid = np.stack(np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in size), indexing="ij"), -1)
    bend = _smooth(rng, size, BEND) + rng.normal(0.0, SHIFT, len(size))
    contrast, noise, sigma = rng.uniform(0.7, 1.0), rng.uniform(0.03, 0.1), rng.uniform(0.5, 0.9)
    scenes, masks = np.zeros((2, PER_SUBJECT, *size))
    for row in range(PER_SUBJECT):
        places = (grid + bend + _smooth(rng, size, DRIFT)) / np.array(size)
        for label, (centre, radii, grey) in enumerate(ATLAS.values(), start=1):
            inside = (((places - centre) / radii) ** 2).sum(axis=-1) < 1.0
            scenes[row][inside], masks[row][inside] = contrast * grey, label
    seen = _blurred(scenes, sigma) + rng.normal(0.0, noise, scenes.shape)
    return {"image": seen[:, None].astype(np.float32), "mask": masks[:, None].astype(np.uint8)}


def _smooth(rng: Generator, size: tuple[int, ...], spread: float) -> NDArray[np.float64]:
    """Displacements (*size, axes) in pixels that change slowly from place to place."""
    field = _blurred(rng.normal(size=(len(size), *size)), REACH)
    return np.moveaxis(field * (spread / field.std()), 0, -1)


def _draw_signals(rng: Generator, demo: "Demo") -> _Drawn:
    """Trains of beats, narrow, wide or notched, over a wandering baseline, in two channels."""
    labels = rng.integers(0, len(demo.classes), PER_SUBJECT)
    time = np.arange(demo.input.size[0])
    width, noise = rng.uniform(2.5, 4.0), rng.uniform(0.1, 0.25)
    period, gains = rng.uniform(50.0, 90.0), rng.uniform(0.4, 1.2, demo.input.channels)
    signals = rng.normal(0.0, noise, (PER_SUBJECT, demo.input.channels, len(time)))
    for row, label in enumerate(labels):
        kind = demo.classes[label]
        sigma = width * (1.8 if kind == "wide" else 1.0)
        beats = np.arange(rng.uniform(-period, 0.0), time[-1] + period, period)
        beats += rng.normal(0.0, 0.04 * period, len(beats))
        for beat in beats:
            for peak in (-1.6 * width, 1.6 * width) if kind == "notched" else (0.0,):
                wave = np.exp(-0.5 * ((time - beat - peak) / sigma) ** 2)
                signals[row] += gains[:, None] * wave
            echo = np.exp(-0.5 * ((time - beat - 0.4 * period) / (0.08 * period)) ** 2)
            signals[row] += 0.3 * gains[:, None] * echo
        wander = np.sin(time * rng.uniform(0.01, 0.05) + rng.uniform(0.0, 6.0))
        signals[row] += rng.uniform(0.2, 0.6, (demo.input.channels, 1)) * wander
    return {"image": signals.astype(np.float32), "label": labels}


def _draw_rows(rng: Generator, demo: "Demo") -> _Drawn:
    """Rows of variables, some of which count together, some in a curve and some not at all."""
    table = rng.normal(0.0, 0.3, demo.input.channels) + rng.normal(
        size=(PER_SUBJECT, demo.input.channels)
    )
    latent = 1.3 * table[:, 0] * table[:, 1] + np.sin(2.0 * table[:, 2]) + 0.7 * table[:, 3]
    labels = (latent + rng.normal(0.0, 0.5, PER_SUBJECT) > 0).astype(np.int64)
    return {
        "table": table.astype(np.float32),
        "label": labels,
        "value": latent[:, None].astype(np.float32),
    }


@dataclass(frozen=True, kw_only=True)
class Demo:
    """One kind of embedded samples.

    Attributes:
        what: The samples, in words.
        input: What networks take.
        classes: Names of the shapes.
        num_samples: By default.
        draw: Makes the samples of one subject: input, and what it can teach, by kind of target.
        measured: Name of the value that can be learnt instead, if there is one.
        regions: Names of the classes of its masks; empty where there is none.
    """

    what: str
    input: InputSpec
    classes: tuple[str, ...]
    num_samples: int
    draw: Callable[[Generator, "Demo"], _Drawn]
    measured: str = ""
    regions: tuple[str, ...] = ()

    def target(self, kind: TargetKind) -> TargetSpec:
        """What is learnt of these samples."""
        names = {
            "labels": (*self.classes[1:], "large"),
            "value": (self.measured,),
            "mask": self.regions,
        }
        centre, scale = ((0.0,), (1.0,)) if kind == "value" else ((), ())
        classes = names.get(kind, self.classes)
        return TargetSpec(name=kind, kind=kind, classes=classes, centre=centre, scale=scale)

    @property
    def options(self) -> Options:
        """What a source can choose."""
        return {"seed": (0, 0, 2**31 - 1), "samples": (self.num_samples, 40, 20000)}


DEMOS = {
    "demo:images": Demo(
        what="images",
        input=InputSpec(size=(32, 32)),
        classes=("round", "lobed", "hollow"),
        num_samples=1200,
        draw=_draw_grids,
        measured="area",
        regions=MASK_CLASSES,
    ),
    "demo:volumes": Demo(
        what="volumes",
        input=InputSpec(size=(16, 24, 24)),
        classes=("round", "lobed"),
        num_samples=400,
        draw=_draw_grids,
        measured="volume",
        regions=MASK_CLASSES,
    ),
    "demo:atlas": Demo(
        what="volumes of one body",
        input=InputSpec(size=(16, 24, 24)),
        classes=(),
        num_samples=240,
        draw=_draw_atlas,
        regions=("background", *ATLAS),
    ),
    "demo:signals": Demo(
        what="signals",
        input=InputSpec(channels=2, size=(256,)),
        classes=("narrow", "wide", "notched"),
        num_samples=1200,
        draw=_draw_signals,
    ),
    "demo:table": Demo(
        what="rows of a table",
        input=InputSpec(name="table", kind="table", channels=8),
        classes=("lower", "higher"),
        num_samples=1200,
        draw=_draw_rows,
        measured="response",
    ),
}


def accepts(source: str) -> bool:
    """Whether a source names this data: one of DEMOS, options after a question mark."""
    return source.partition("?")[0] in DEMOS


def read(source: str, keys: Mapping[str, str], target: TargetKind = "label") -> Dataset:
    """The data a source names, such as "demo:images?seed=3&samples=200"; the same bits each time.

    Args:
        source: What `accepts` answers True for.
        keys: Names of arrays in other formats; nothing to choose here.
        target: What is to be learnt: labels; of shapes also several findings, how many pixels
            one has, or masks (N, 1, *size) of it; of a table what the labels are drawn from.

    Raises:
        DataError: An option makes no sense, or these samples have no such target.
    """
    del keys
    demo = DEMOS[source.partition("?")[0]]
    values = parse(source, demo.options, "seed=3&samples=200")
    count, seed = values["samples"], values["seed"]
    subjects = range(-(-count // PER_SUBJECT))
    drawn = [demo.draw(np.random.default_rng([seed, subject]), demo) for subject in subjects]
    if target not in drawn[0]:
        kinds = ", ".join(kind for kind in drawn[0] if kind != demo.input.name)
        raise DataError(f"{source!r} has no {target}; what can be learnt of it is: {kinds}")
    arrays = {name: np.concatenate([part[name] for part in drawn])[:count] for name in drawn[0]}
    learnt = demo.target(target)
    told = {
        "label": f"{len(learnt.classes)} classes",
        "labels": f"{len(learnt.classes)} findings each",
        "value": f"the {demo.measured or 'value'} of each",
        "mask": f"{len(learnt.classes)} classes of pixels",
    }
    return Dataset(
        sample=SampleSpec(inputs=(demo.input,), targets=(learnt,)),
        inputs={demo.input.name: arrays[demo.input.name]},
        targets={target: arrays[target]},
        groups=np.arange(count, dtype=np.int64) // PER_SUBJECT,
        description=(
            f"demonstration shapes, not medical: {count} {demo.what} of {len(subjects)} simulated "
            f"subjects, {told[target]}"
        ),
        simulated=SIMULATED,
    )
