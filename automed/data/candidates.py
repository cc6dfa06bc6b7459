"""What lies at the centre of a simulated patch: nodules, and what is mistaken for them."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from automed.data.thorax import (
    WALL_DISTANCE_MM,
    Float,
    Patient,
    Range,
    Slab,
    Vector,
    background_vessels,
    direction,
    draw_wall,
    paint_airway,
    paint_fissure,
    paint_lung,
    paint_vessels,
    paint_wall,
    sideways,
    unit,
    vessel,
)

# Hounsfield units
SOLID_HU: Range = (-60.0, 70.0)
CALCIFIED_HU: Range = (150.0, 350.0)
GROUND_GLASS_HU: Range = (-680.0, -440.0)
HAZE_HU: Range = (-760.0, -560.0)
SCAR_HU: Range = (-350.0, 30.0)

# millimetres
NODULE_DIAMETER_MM: Range = (3.0, 15.0)
NODULE_MEDIAN_MM = 7.2
GROUND_GLASS_MIN_DIAMETER_MM = 6.0
CENTRING_MM = 1.8
"""Standard deviation of the distance between a candidate and the centre of its patch."""
CANDIDATE_VESSEL_RADIUS_MM: Range = (1.0, 3.2)


def blob(slab: Slab, rng: Generator, at: Vector, *, radius_mm: float, lobulation: float) -> Float:
    """(P,) signed distance in mm to an irregular ellipsoid."""
    axes = np.exp(rng.normal(0.0, 0.12, 3))
    offset = (slab.points - at.astype(np.float32)) * axes.astype(np.float32)
    away = np.linalg.norm(offset, axis=1) + np.float32(1e-3)
    waves = np.stack([direction(rng) for _ in range(4)]) * rng.uniform(2.0, 6.0, (4, 1))
    phases = rng.uniform(0.0, 2 * np.pi, 4)
    angles = (offset / away[:, None]) @ waves.T.astype(np.float32) + phases.astype(np.float32)
    bumps = np.sin(angles).sum(axis=1) * np.float32(lobulation * radius_mm / 2)
    outline: Float = (away - np.float32(radius_mm) - bumps).astype(np.float32)
    return outline


def paint_nodule(slab: Slab, rng: Generator, at: Vector, *, radius_mm: float) -> None:
    """A solid, part-solid or ground-glass nodule; the outline smooth, lobulated or spiculated."""
    shape = rng.uniform()
    lobulation = rng.uniform(0.02, 0.1) if shape < 0.5 else rng.uniform(0.12, 0.3)
    distance = blob(slab, rng, at, radius_mm=radius_mm, lobulation=lobulation)
    if shape > 0.75 and radius_mm > 2.5:
        spicules = []
        for _ in range(rng.integers(5, 13)):
            tip = at + direction(rng, (0.0, 0.5)) * radius_mm * rng.uniform(1.3, 2.1)
            spicules.append(np.concatenate([at, tip, [0.35 * radius_mm, 0.2]]))
        distance = np.minimum(distance, slab.tubes(np.stack(spicules)))
    hazy = 2 * radius_mm >= GROUND_GLASS_MIN_DIAMETER_MM and rng.uniform() < 0.35
    if hazy:
        slab.paint(
            distance, rng.uniform(*GROUND_GLASS_HU), edge_mm=rng.uniform(1.5, 3.0), nodule=True
        )
        if rng.uniform() < 0.5:
            core = distance + np.float32(radius_mm * rng.uniform(0.4, 0.7))
            slab.paint(core, rng.uniform(*SOLID_HU), edge_mm=1.5, nodule=True)
        return
    calcified = rng.uniform() < 0.06
    hu = rng.uniform(*(CALCIFIED_HU if calcified else SOLID_HU))
    slab.paint(distance, hu, edge_mm=rng.uniform(0.9, 1.6), nodule=True)


def draw_radius(rng: Generator) -> float:
    """The radius of a nodule in mm."""
    low, high = NODULE_DIAMETER_MM
    return float(np.clip(NODULE_MEDIAN_MM * np.exp(rng.normal(0.0, 0.36)), low, high)) / 2


def nodule_scene(slab: Slab, rng: Generator, patient: Patient) -> None:
    """Paint a patch with a nodule near its centre."""
    radius = draw_radius(rng)
    at = np.array([0.0, 0.0, rng.uniform(-0.5, 0.5) * radius])
    tubes = background_vessels(rng, patient)
    if rng.uniform() < 0.25:
        feeder = rng.uniform(0.5, 1.0)
        heading = direction(rng, (0.0, 0.6))
        tubes += vessel(rng, at, heading, radius_mm=feeder, length_mm=20.0)
        if rng.uniform() < 0.35:
            tubes += vessel(rng, at, -heading, radius_mm=feeder, length_mm=20.0)
    place = rng.uniform()
    paint_lung(slab, rng, patient)
    paint_vessels(slab, patient, tubes)
    if rng.uniform() < 0.05:
        spot = direction(rng, (0.0, 0.3)) * (radius + rng.uniform(2.0, 6.0))
        paint_airway(slab, rng, spot, direction(rng, (0.5, 1.0)), radius_mm=rng.uniform(1.5, 3.0))
    paint_nodule(slab, rng, at, radius_mm=radius)
    if place < 0.4:
        attached = place < 0.2
        gap = radius * rng.uniform(0.3, 0.95) if attached else radius + rng.uniform(1.0, 9.0)
        paint_wall(slab, rng, patient, draw_wall(rng, gap), bump=(0.0, 1.0))


def _candidate_radius(rng: Generator) -> float:
    low, high = CANDIDATE_VESSEL_RADIUS_MM
    return float(np.clip(1.9 * np.exp(rng.normal(0.0, 0.35)), low, high))


def crossing(slab: Slab, rng: Generator, patient: Patient) -> None:
    """A vessel cut across: round, but it forks in the slice or an airway runs beside it."""
    radius, heading = _candidate_radius(rng), direction(rng, (0.8, 1.0))
    at = rng.normal(0.0, 0.5, 3)
    tubes = []
    for way in (heading, -heading):
        tubes += vessel(rng, at, way, radius_mm=radius, length_mm=15.0, branching=0.2, wobble=0.1)
    company = rng.uniform()
    if company < 0.6:
        for _ in range(rng.integers(2, 4)):
            side = direction(rng, (0.0, 0.15))
            child = radius * rng.uniform(0.55, 0.8)
            tubes += vessel(rng, at, side, radius_mm=child, length_mm=18.0, wobble=0.1)
    if company > 0.3:
        lumen = max(1.4, radius * rng.uniform(0.9, 1.4))
        beside = direction(rng, (0.0, 0.15)) * (radius + lumen + rng.uniform(-0.2, 0.8))
        paint_airway(slab, rng, at + beside, heading, radius_mm=lumen + 0.4)
    paint_vessels(slab, patient, tubes)


def oblique(slab: Slab, rng: Generator, patient: Patient) -> None:
    """A vessel that passes through the slice at a slant: an oval or a short rod."""
    radius, heading = _candidate_radius(rng), direction(rng, (0.1, 0.55))
    tubes = []
    for way in (heading, -heading):
        tubes += vessel(rng, np.zeros(3), way, radius_mm=radius, length_mm=20.0, branching=0.25)
    paint_vessels(slab, patient, tubes)


def junction(slab: Slab, rng: Generator, patient: Patient) -> None:
    """A fork of vessels in the slice, thickest where they meet."""
    radius = _candidate_radius(rng)
    at = rng.normal(0.0, 0.6, 3)
    turn = rng.uniform(0.0, 2 * np.pi)
    tubes = []
    for k in range(rng.integers(3, 5)):
        angle = turn + k * 2.1 + rng.normal(0.0, 0.35)
        way = np.array([np.cos(angle), np.sin(angle), rng.normal(0.0, 0.25)])
        part = radius * (1.0 if k == 0 else rng.uniform(0.55, 0.85))
        tubes += vessel(rng, at, unit(way), radius_mm=part, length_mm=20.0, branching=0.25)
    paint_vessels(slab, patient, tubes)


def bronchus(slab: Slab, rng: Generator, patient: Patient) -> None:
    """An airway and its artery."""
    radius, heading = rng.uniform(1.6, 3.5), direction(rng, (0.2, 1.0))
    shift = direction(rng, (0.0, 0.3))
    beside = sideways(rng, heading)
    artery = radius * rng.uniform(0.7, 1.1)
    paint_airway(slab, rng, shift, heading, radius_mm=radius)
    at = shift + beside * (radius + artery)
    tubes = vessel(rng, at, heading, radius_mm=artery, length_mm=20.0, branching=0.2)
    tubes += vessel(rng, at, -heading, radius_mm=artery, length_mm=20.0, branching=0.2)
    paint_vessels(slab, patient, tubes)


def scar(slab: Slab, rng: Generator, patient: Patient) -> None:
    """A band of scar or atelectasis, at times along a fissure."""
    del patient
    heading, length = direction(rng, (0.0, 0.4)), rng.uniform(4.0, 12.0)
    thick, at = rng.uniform(0.9, 2.6), -heading * length
    band = []
    for _ in range(3):
        end = at + unit(heading + rng.normal(0.0, 0.25, 3)) * length * 2 / 3
        band.append(np.concatenate([at, end, thick * rng.uniform(0.5, 1.1, 2)]))
        at = end
    if rng.uniform() < 0.4:
        paint_fissure(slab, rng, offset_mm=rng.normal(0.0, 1.0))
    slab.paint(slab.tubes(np.stack(band)), rng.uniform(*SCAR_HU), edge_mm=rng.uniform(0.9, 2.2))


def haze(slab: Slab, rng: Generator, patient: Patient) -> None:
    """An ill-defined, wide increase of density without an outline of its own."""
    del patient
    for _ in range(rng.integers(1, 4)):
        at = rng.normal(0.0, 3.0, 3)
        spread = rng.uniform(4.0, 9.0)
        distance = blob(slab, rng, at, radius_mm=spread * 0.6, lobulation=0.3)
        slab.paint(distance, rng.uniform(*HAZE_HU), edge_mm=spread * 1.6)


def nothing(slab: Slab, rng: Generator, patient: Patient) -> None:
    """No structure of its own: what is there is background."""
    del slab, rng, patient


MIMICS: tuple[tuple[Callable[[Slab, Generator, Patient], None], float], ...] = (
    (crossing, 0.21),
    (oblique, 0.16),
    (junction, 0.25),
    (bronchus, 0.1),
    (scar, 0.12),
    (haze, 0.07),
    (nothing, 0.09),
)
"""What a detector proposes by mistake away from the pleura, and how often."""


def mimic_scene(slab: Slab, rng: Generator, patient: Patient) -> None:
    """Paint a patch whose candidate is no nodule."""
    painters = [painter for painter, _ in MIMICS]
    weights = np.array([weight for _, weight in MIMICS])
    place = rng.uniform()
    paint_lung(slab, rng, patient)
    paint_vessels(slab, patient, background_vessels(rng, patient))
    if place < 0.2:
        height = rng.uniform(0.0, 4.5)
        wall = draw_wall(rng, height * rng.uniform(0.3, 0.9) + rng.normal(0.0, 0.5))
        paint_wall(slab, rng, patient, wall, bump=(height, height * rng.uniform(1.1, 2.2) + 1.0))
        return
    painters[rng.choice(len(painters), p=weights / weights.sum())](slab, rng, patient)
    if place < 0.42:
        paint_wall(
            slab, rng, patient, draw_wall(rng, rng.uniform(*WALL_DISTANCE_MM)), bump=(0.0, 1.0)
        )
