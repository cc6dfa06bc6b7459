"""Simulated thorax anatomy, so that the embedded task has images that no patient stands behind."""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Float: TypeAlias = NDArray[np.float32]
Vector: TypeAlias = NDArray[np.float64]
Range: TypeAlias = tuple[float, float]

# Hounsfield units
LUNG_HU: Range = (-890.0, -810.0)
TISSUE_HU: Range = (10.0, 60.0)
FAT_HU = -100.0
CORTEX_HU: Range = (300.0, 700.0)
MARROW_HU: Range = (80.0, 220.0)
VESSEL_HU: Range = (10.0, 70.0)
ENHANCED_HU: Range = (100.0, 220.0)
AIR_HU = -980.0
AIRWAY_WALL_HU: Range = (-150.0, 0.0)
FISSURE_HU: Range = (-450.0, -150.0)

# millimetres
VESSEL_RADIUS_MM: Range = (0.45, 1.3)
SMALLEST_VESSEL_RADIUS_MM = 0.4
VESSEL_STEP_MM: Range = (3.0, 6.5)
WALL_RADIUS_MM: Range = (60.0, 130.0)
MEDIASTINUM_RADIUS_MM: Range = (14.0, 50.0)
WALL_DISTANCE_MM: Range = (3.0, 14.0)
RIB_RADIUS_MM: Range = (3.5, 6.0)
REACH_MM = 19.0
"""Half the side of the region that vessels start in: a little beyond the rendered patch."""
REACH_ACROSS_MM = 6.0
"""The same across the slice: vessels end there."""


@dataclass(frozen=True, kw_only=True)
class Patient:
    """What all patches of one simulated patient share.

    Attributes:
        lung_hu: Mean density of the lung.
        heterogeneity_hu: Amplitude of the regional density variation.
        tissue_hu: Density of chest wall and mediastinum.
        vessel_hu: Density of blood, higher after contrast medium.
        vessel_trees: Mean number of vessel trees that reach into a patch's surroundings.
        emphysema: Mean number of air holes in a patch.
        nodule_share: Probability that a candidate of this patient is a nodule.
        slice_mm: Slice thickness.
        noise_hu: Standard deviation of the noise.
        blur_mm: Gaussian sigma of the point spread function.
        sharpening: Edge enhancement of the reconstruction kernel, 0 for none.
        streak: Anisotropy of the noise, 0 for none.
    """

    lung_hu: float
    heterogeneity_hu: float
    tissue_hu: float
    vessel_hu: float
    vessel_trees: float
    emphysema: float
    nodule_share: float
    slice_mm: float
    noise_hu: float
    blur_mm: float
    sharpening: float
    streak: float


def draw_patient(rng: Generator) -> Patient:
    """A patient with anatomy and scanner drawn together: sharp kernels are noisy ones."""
    sharpness = rng.uniform()
    enhanced = rng.uniform() < 0.3
    return Patient(
        lung_hu=rng.uniform(*LUNG_HU),
        heterogeneity_hu=rng.uniform(8.0, 35.0),
        tissue_hu=rng.uniform(*TISSUE_HU),
        vessel_hu=rng.uniform(*(ENHANCED_HU if enhanced else VESSEL_HU)),
        vessel_trees=rng.uniform(4.0, 8.0),
        emphysema=rng.uniform(0.5, 3.0) if rng.uniform() < 0.2 else 0.0,
        nodule_share=rng.beta(6.0, 10.0),
        slice_mm=rng.uniform(1.0, 2.5),
        noise_hu=rng.uniform(12.0, 25.0) * (1.0 + 1.5 * sharpness),
        blur_mm=0.75 - 0.35 * sharpness,
        sharpening=0.6 * max(0.0, sharpness - 0.3),
        streak=rng.uniform(0.0, 0.8),
    )


class Slab:
    """Parallel planes that structures are painted into, back to front.

    They are sub-slices of one slice of finite thickness, or the slices of a volume.

    Attributes:
        points: (P, 3) sample positions (x, y, z) in mm around the candidate, P = planes * side**2.
        hu: (P,) densities so far.
        share: (P,) how much of the density is the nodule's, 0 to 1.
    """

    def __init__(
        self,
        *,
        side: int,
        spacing_mm: float,
        slice_mm: float,
        planes: int,
        shift_mm: tuple[float, float] = (0.0, 0.0),
        sections: int = 1,
    ) -> None:
        """Planes over a thickness of `slice_mm`; `sections` of them are searched for tubes apart.

        That changes no density, and is quicker where a volume is thicker than its tubes.
        """
        axis = (np.arange(side) - (side - 1) / 2) * spacing_mm
        depth = (np.arange(planes) - (planes - 1) / 2) * slice_mm / planes
        z, y, x = np.meshgrid(depth, axis + shift_mm[1], axis + shift_mm[0], indexing="ij")
        self.points: Float = np.stack([x, y, z], axis=-1).reshape(-1, 3).astype(np.float32)
        self.hu: Float = np.zeros(len(self.points), np.float32)
        self.share: Float = np.zeros(len(self.points), np.float32)
        self._squared: Float = (self.points**2).sum(axis=1)
        self._shape = (planes, side, side)
        self._pixel_mm = spacing_mm
        self._half_mm = slice_mm / sections / 2
        middles = (np.arange(sections) - (sections - 1) / 2) * slice_mm / sections
        rows = np.array_split(np.arange(len(self.points)), sections)
        self._sections = [
            (float(middle), slice(int(part[0]), int(part[-1]) + 1))
            for middle, part in zip(middles, rows, strict=True)
        ]

    def paint(
        self, distance_mm: Float, hu: float, *, edge_mm: float = 0.0, nodule: bool = False
    ) -> None:
        """Cover where the signed distance is negative; edges are at least one pixel soft."""
        width = np.float32(max(edge_mm, self._pixel_mm))
        alpha = np.clip(np.float32(0.5) - distance_mm / width, 0.0, 1.0)
        self.hu += alpha * (np.float32(hu) - self.hu)
        self.share += alpha * (np.float32(nodule) - self.share)

    @contextmanager
    def around(self, at: Vector, reach_mm: float) -> Iterator["Slab"]:
        """The part of a single slice about a point, which is the origin there; painted back."""
        across, down = (np.abs(self.points[:, axis] - at[axis]) < reach_mm for axis in (0, 1))
        rows = np.flatnonzero(across & down)
        part = copy.copy(self)
        part.points = self.points[rows] - at.astype(np.float32)
        part.hu, part.share = self.hu[rows], self.share[rows]
        part._squared = (part.points**2).sum(axis=1)
        part._sections = [(-float(at[2]), slice(0, len(rows)))]
        yield part
        self.hu[rows], self.share[rows] = part.hu, part.share

    def planes(self) -> tuple[Float, Float]:
        """(planes, side, side) densities, and how much of them is the nodule's."""
        return self.hu.reshape(self._shape), self.share.reshape(self._shape)

    def tubes(self, tubes: Vector) -> Float:
        """Signed distance in mm to (K, 8) tapering tubes: start, end, radius at either."""
        return np.concatenate([self._nearest(tubes, *section) for section in self._sections])

    def _nearest(self, tubes: Vector, middle_mm: float, rows: slice) -> Float:
        z = tubes[:, [2, 5]] - middle_mm
        radius = tubes[:, 6:].max(axis=1) + self._pixel_mm
        seen = (z.min(axis=1) < self._half_mm + radius) & (z.max(axis=1) > -self._half_mm - radius)
        tubes, points = tubes[seen].astype(np.float32), self.points[rows]
        if len(tubes) == 0:
            return np.full(len(points), REACH_MM, np.float32)
        start, along = tubes[:, :3], tubes[:, 3:6] - tubes[:, :3]
        squared = ((along**2).sum(axis=1) + np.float32(1e-6))[:, None]
        dot = along @ points.T - (along * start).sum(axis=1)[:, None]
        t = np.clip(dot / squared, 0.0, 1.0)
        away = (-2.0 * start) @ points.T
        away += self._squared[rows]
        away += (start**2).sum(axis=1)[:, None] + np.float32(1e-3)
        away += t * (t * squared - 2.0 * dot)
        np.sqrt(np.maximum(away, 0.0, out=away), out=away)
        away -= tubes[:, 6, None] + t * (tubes[:, 7] - tubes[:, 6])[:, None]
        nearest: Float = away.min(axis=0)
        return nearest


def unit(vector: Vector) -> Vector:
    """The direction of a vector."""
    x, y, z = vector.tolist()
    return vector / math.sqrt(x * x + y * y + z * z)


def sideways(rng: Generator, heading: Vector) -> Vector:
    """A random direction at right angles to another."""
    (a, b, c), (x, y, z) = heading.tolist(), rng.normal(size=3).tolist()
    return unit(np.array([b * z - c * y, c * x - a * z, a * y - b * x]))


def direction(rng: Generator, tilt: Range = (0.0, 1.0)) -> Vector:
    """A random direction whose |z| component lies in `tilt`: 0 in the slice, 1 across it."""
    low, high = tilt
    share, sign, turn = rng.random(3).tolist()
    z = (low + (high - low) * share) * (1.0 if sign < 0.5 else -1.0)
    flat, angle = math.sqrt(1.0 - z * z), 2 * math.pi * turn
    return np.array([flat * math.cos(angle), flat * math.sin(angle), z])


def vessel(
    rng: Generator,
    start: Vector,
    heading: Vector,
    *,
    radius_mm: float,
    length_mm: float,
    branching: float = 0.35,
    wobble: float = 0.18,
) -> list[Vector]:
    """Tubes of a tree that tapers and forks by Murray's law, r0**3 = r1**3 + r2**3.

    A branch ends where it leaves the surroundings of the patch.
    """
    tubes: list[Vector] = []
    shortest, longest = VESSEL_STEP_MM
    todo = [(start, heading, radius_mm, length_mm)]
    while todo and len(tubes) < 30:
        at, heading, radius, left = todo.pop()
        stretch, taper, fork, split = rng.random(4).tolist()
        step = shortest + (longest - shortest) * stretch
        heading = unit(heading + wobble * rng.standard_normal(3))
        end, thinner = at + step * heading, radius * (0.9 + 0.09 * taper)
        tubes.append(np.array([*at.tolist(), *end.tolist(), radius, thinner]))
        x, y, z = end.tolist()
        if left < step or max(abs(x), abs(y)) > REACH_MM or abs(z) > REACH_ACROSS_MM:
            continue
        if fork < branching:
            share = 0.25 + 0.35 * split
            aside = sideways(rng, heading)
            for part, turn in ((1 - share, 0.8 * share), (share, -1.1 * (1 - share) - 0.2)):
                child = thinner * part ** (1 / 3)
                if child > SMALLEST_VESSEL_RADIUS_MM:
                    todo.append((end, unit(heading + turn * aside), child, left - step))
        elif thinner > SMALLEST_VESSEL_RADIUS_MM:
            todo.append((end, heading, thinner, left - step))
    return tubes


@dataclass(frozen=True, kw_only=True)
class Wall:
    """A boundary of the lung: chest wall seen from inside, or heart, diaphragm, mediastinum.

    Attributes:
        centre: (3,) centre in mm of the sphere that the boundary is part of.
        radius_mm: Its radius.
        hollow: Whether the lung is inside the sphere (chest wall) rather than outside.
        foot: (3,) the boundary's point nearest to the candidate, in mm.
        normal: (3,) unit vector from the tissue into the lung at `foot`.
    """

    centre: Vector
    radius_mm: float
    hollow: bool
    foot: Vector
    normal: Vector

    def distance(self, points: Float) -> Float:
        """(P,) mm into the lung, negative in the tissue."""
        away = np.linalg.norm(points - self.centre.astype(np.float32), axis=1)
        signed = away - np.float32(self.radius_mm)
        into: Float = -signed if self.hollow else signed
        return into


def draw_wall(rng: Generator, distance_mm: float) -> Wall:
    """A boundary at a distance in mm from the candidate, in a random direction."""
    hollow = bool(rng.uniform() < 0.65)
    normal = direction(rng, (0.0, 0.35))
    foot = -distance_mm * normal
    radius = rng.uniform(*(WALL_RADIUS_MM if hollow else MEDIASTINUM_RADIUS_MM))
    centre = foot + radius * normal if hollow else foot - radius * normal
    return Wall(centre=centre, radius_mm=radius, hollow=hollow, foot=foot, normal=normal)


def paint_wall(
    slab: Slab, rng: Generator, patient: Patient, wall: Wall, *, bump: tuple[float, float]
) -> None:
    """Paint tissue, fat and, in a chest wall, ribs; `bump` is (height, width) in mm at the foot."""
    tangent = sideways(rng, wall.normal)
    along = (slab.points @ tangent.astype(np.float32)).astype(np.float32)
    ripple = np.float32(rng.uniform(0.0, 0.7)) * np.sin(along * rng.uniform(0.15, 0.5))
    into = wall.distance(slab.points) + ripple.astype(np.float32)
    height, width = bump
    if height > 0:
        offset = slab.points - wall.foot.astype(np.float32)
        high = offset @ wall.normal.astype(np.float32)
        flat = (offset**2).sum(axis=1) - high**2
        into = into - (height * np.exp(-flat / (2 * width**2))).astype(np.float32)
    slab.paint(into, patient.tissue_hu)
    depth = rng.uniform(3.0, 8.0)
    if wall.hollow or rng.uniform() < 0.4:
        slab.paint(into + np.float32(depth), FAT_HU, edge_mm=2.5)
    if not wall.hollow:
        return
    for _ in range(rng.integers(0, 3)):
        radius = rng.uniform(*RIB_RADIUS_MM)
        at = wall.foot - wall.normal * (radius + rng.uniform(2.0, 5.0))
        at = at + tangent * rng.uniform(-16.0, 16.0)
        heading = unit(tangent + rng.normal(0.0, 0.5, 3))
        heading = unit(heading - wall.normal * float(heading @ wall.normal))
        length = rng.uniform(4.0, 30.0)
        rib = np.concatenate([at - length * heading, at + length * heading, [radius, radius]])
        distance = slab.tubes(rib[None])
        slab.paint(distance, rng.uniform(*CORTEX_HU))
        slab.paint(distance + np.float32(rng.uniform(1.2, 2.2)), rng.uniform(*MARROW_HU))


def paint_lung(slab: Slab, rng: Generator, patient: Patient) -> None:
    """Fill with lung of regionally varying density, air holes and, at times, a fissure."""
    waves = rng.normal(0.0, 0.22, (6, 3)).astype(np.float32)
    phases = rng.uniform(0.0, 2 * np.pi, 6).astype(np.float32)
    field = np.cos(slab.points @ waves.T + phases).sum(axis=1) * np.float32(0.5)
    slab.hu[:] = np.float32(patient.lung_hu) + np.float32(patient.heterogeneity_hu) * field
    slab.hu += np.float32(rng.uniform(-2.0, 2.0)) * slab.points[:, 1]
    for _ in range(rng.poisson(patient.emphysema)):
        at = rng.uniform(-14.0, 14.0, 3) * np.array([1.0, 1.0, 0.2])
        hole = np.linalg.norm(slab.points - at.astype(np.float32), axis=1)
        slab.paint(hole - np.float32(rng.uniform(1.5, 4.0)), AIR_HU, edge_mm=2.0)
    if rng.uniform() < 0.1:
        paint_fissure(slab, rng, offset_mm=rng.uniform(-12.0, 12.0))


def paint_fissure(slab: Slab, rng: Generator, *, offset_mm: float) -> None:
    """A thin, slightly curved sheet between two lobes."""
    normal = direction(rng, (0.0, 0.5))
    across = slab.points @ normal.astype(np.float32) - np.float32(offset_mm)
    bend = np.float32(rng.uniform(-0.012, 0.012)) * (slab.points**2).sum(axis=1)
    sheet = np.abs(across + bend) - np.float32(rng.uniform(0.2, 0.5))
    slab.paint(sheet, rng.uniform(*FISSURE_HU))


def paint_airway(
    slab: Slab, rng: Generator, at: Vector, heading: Vector, *, radius_mm: float
) -> None:
    """A bronchus through a point: wall, then lumen."""
    tube = np.concatenate([at - 30 * heading, at + 30 * heading, [radius_mm, radius_mm]])
    distance = slab.tubes(tube[None])
    slab.paint(distance, rng.uniform(*AIRWAY_WALL_HU))
    slab.paint(distance + np.float32(rng.uniform(0.7, 1.2)), AIR_HU)


def paint_vessels(slab: Slab, patient: Patient, tubes: list[Vector]) -> None:
    """Paint trees filled with blood."""
    if tubes:
        slab.paint(slab.tubes(np.stack(tubes)), patient.vessel_hu)


def background_vessels(rng: Generator, patient: Patient) -> list[Vector]:
    """Trees that pass somewhere through the surroundings of a patch."""
    tubes: list[Vector] = []
    for _ in range(rng.poisson(patient.vessel_trees)):
        start = rng.uniform(-REACH_MM, REACH_MM, 3) * np.array([1.0, 1.0, 0.2])
        low, high = VESSEL_RADIUS_MM
        radius = low + (high - low) * rng.beta(1.0, 2.5)
        tubes += vessel(rng, start, direction(rng), radius_mm=radius, length_mm=25.0)
    return tubes
