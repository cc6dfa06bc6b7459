"""Simulated axial slices of the lung with several nodules each, for detection."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.random import Generator

from automed.data import candidates, phantom, thorax
from automed.data.cache import cached
from automed.data.dataset import Array, Dataset
from automed.data.options import Options, parse
from automed.errors import DataError
from automed.sample import InputSpec, SampleSpec, TargetKind, TargetSpec

SOURCE = "phantom:lung-ct-slices"
SIDE = 96
MOST = 4
"""Nodules of a slice."""
MIMICS = (2, 6)
"""Structures of a slice that are mistaken for nodules, the least and the most."""
TREE_SHARE = 3.0
"""Trees of vessels in a slice for every one that reaches into a patch."""
WALL_SHARE = 0.5
GAP_MM = 4.0
"""Between the outlines of two nodules, at least."""
REACH_MM = 26.0
"""Half the side of what is painted about a structure: none is larger."""
NUM_PATIENTS, PER_PATIENT = 120, 4
OPTIONS: Options = {
    "seed": (0, 0, 2**31 - 1),
    "patients": (NUM_PATIENTS, 4, 2000),
    "slices": (PER_PATIENT, 1, 64),
}
_FILES = (__file__, phantom.__file__, thorax.__file__, candidates.__file__)


def accepts(source: str) -> bool:
    """Whether a source names this data, options after a question mark."""
    return source.partition("?")[0] == SOURCE


def read(source: str, keys: Mapping[str, str], target: TargetKind = "points") -> Dataset:
    """Slices with none to MOST nodules, such as "phantom:lung-ct-slices?seed=3&patients=50".

    Args:
        source: What `accepts` answers True for.
        keys: Names of arrays in other formats; nothing to choose here.
        target: What is to be learnt: points.

    Returns:
        image: (N, 1, SIDE, SIDE) int16 HU; points: (N, MOST, 3) float32, the cross-sections of
        nodules: centre down and across and radius in pixels.

    Raises:
        DataError: An option makes no sense, or the slices have no such target.
    """
    del keys
    if target != "points":
        raise DataError(f"{source!r} has points but no {target}; give phantom:lung-ct or --data")
    values = parse(source, OPTIONS, "seed=3&patients=50")
    seed, patients, count = values["seed"], values["patients"], values["slices"]
    version = hashlib.sha256(b"".join(Path(f).read_bytes() for f in _FILES)).hexdigest()[:16]
    arrays = cached(
        f"slices-{SIDE}-{version}-seed{seed}-{patients}x{count}",
        lambda: simulate(seed, patients, count),
    )
    objects = np.isfinite(arrays["points"][..., -1]).sum()
    spacing = (phantom.SPACING_MM, phantom.SPACING_MM)
    size, window = (SIDE, SIDE), phantom.WINDOW_HU
    return Dataset(
        sample=SampleSpec(
            inputs=(InputSpec(size=size, units="HU", window=window, spacing_mm=spacing),),
            targets=(TargetSpec(name="points", kind="points", values=len(size) + 2),),
        ),
        inputs={"image": arrays["image"]},
        targets={"points": arrays["points"]},
        groups=np.repeat(np.arange(patients, dtype=np.int64), count),
        description=(
            f"simulated lung-CT slices: {len(arrays['image'])} of {patients} simulated patients, "
            f"{objects} nodules, {SIDE}x{SIDE} pixels"
        ),
        simulated=phantom.SIMULATED,
    )


def simulate(seed: int, num_patients: int, per_patient: int) -> dict[str, Array]:
    """The arrays behind `read`, without a cache; a patient does not depend on how many there are.

    The same arguments give the same bits.
    """
    made = [
        _of_patient(np.random.default_rng([seed, patient]), per_patient)
        for patient in range(num_patients)
    ]
    return {name: np.concatenate([arrays[name] for arrays in made]) for name in made[0]}


def _of_patient(rng: Generator, count: int) -> dict[str, Array]:
    patient = thorax.draw_patient(rng)
    side = SIDE + 2 * phantom.MARGIN_PIXELS
    scenes = np.empty((count, side, side), np.float32)
    points = np.full((count, MOST, 3), np.nan, np.float32)
    for row in range(count):
        slab = thorax.Slab(
            side=side,
            spacing_mm=phantom.SPACING_MM,
            slice_mm=patient.slice_mm,
            planes=phantom.PLANES,
        )
        found = _paint(slab, rng, patient)
        points[row, : len(found)] = np.reshape(found, (-1, 3))
        scenes[row] = slab.planes()[0].mean(axis=0)
    (scanned,) = phantom.scan(scenes, rng, patient)
    return {"image": phantom.stored(scanned), "points": points}


def _paint(slab: thorax.Slab, rng: Generator, patient: thorax.Patient) -> list[list[float]]:
    """Lung, vessels, at times a wall, mimics, and nodules on top; the nodules as points."""
    half_mm = SIDE * phantom.SPACING_MM / 2
    thorax.paint_lung(slab, rng, patient)
    for _ in range(rng.poisson(TREE_SHARE * patient.vessel_trees)):
        low, high = thorax.VESSEL_RADIUS_MM
        radius = low + (high - low) * rng.beta(1.0, 2.5)
        heading = thorax.direction(rng)
        tubes = thorax.vessel(rng, np.zeros(3), heading, radius_mm=radius, length_mm=25.0)
        at = rng.uniform(-half_mm, half_mm, 3) * np.array([1.0, 1.0, 0.1])
        with slab.around(at, REACH_MM) as part:
            thorax.paint_vessels(part, patient, tubes)
    wall = None
    if rng.uniform() < WALL_SHARE:
        wall = thorax.draw_wall(rng, rng.uniform(0.5, 0.95) * half_mm)
    painters = [painter for painter, _ in candidates.MIMICS]
    weights = np.array([weight for _, weight in candidates.MIMICS])
    low, high = MIMICS
    for _ in range(rng.integers(low, high + 1)):
        at = np.array([*rng.uniform(-half_mm, half_mm, 2), 0.0])
        with slab.around(at, REACH_MM) as part:
            painters[rng.choice(len(painters), p=weights / weights.sum())](part, rng, patient)
    if wall is not None:
        thorax.paint_wall(slab, rng, patient, wall, bump=(0.0, 1.0))
    points: list[list[float]] = []
    for _ in range(rng.integers(0, MOST + 1)):
        radius = candidates.draw_radius(rng)
        at = np.array([*rng.uniform(-0.95 * half_mm, 0.95 * half_mm, 2), 0.0])
        at[2] = rng.uniform(-0.5, 0.5) * radius
        section = (radius**2 - at[2] ** 2) ** 0.5
        across, down = ((x + half_mm) / phantom.SPACING_MM - 0.5 for x in at[:2])
        point = [down, across, section / phantom.SPACING_MM]
        in_lung = wall is None or wall.distance(at[None].astype(np.float32))[0] > 0.5 * radius
        gap = GAP_MM / phantom.SPACING_MM
        apart = all(np.hypot(p[0] - down, p[1] - across) > p[2] + point[2] + gap for p in points)
        if in_lung and apart:
            with slab.around(at, REACH_MM) as part:
                candidates.paint_nodule(part, rng, np.zeros(3), radius_mm=radius)
            points.append(point)
    return points
