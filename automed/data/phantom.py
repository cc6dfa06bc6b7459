"""The embedded tasks' data: lung CT from a simulated thorax, in patches or in volumes."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from automed.data import candidates, thorax
from automed.data.cache import cached
from automed.data.dataset import Array, Dataset
from automed.data.options import Options, parse
from automed.errors import DataError
from automed.sample import InputSpec, SampleSpec, TargetKind, TargetSpec

SPACING_MM = 0.9
MARGIN_PIXELS = 3
"""Rendered beyond each side of a patch, so that filters wrap around outside of it."""
PLANES = 2
"""Sub-slices averaged over the slice thickness."""
PLANE_MM = 0.8
"""Between the slices of a volume, thin enough for vessels to pass through all of them."""
HU_LIMITS = (-1024, 1500)
WINDOW_HU = (-1000.0, 400.0)
DOSE_PERCENT = 25
"""Of the normal dose, what images to be denoised are simulated with."""
MASKED_NODULES = 0.8
"""Share of candidates that are nodules where masks are asked for."""

SIMULATED = (
    "The images are simulated: a procedural phantom of the lung, no patient stands behind them. "
    "Scores on it say nothing about real scans; give your own with --data."
)


@dataclass(frozen=True, kw_only=True)
class Cut:
    """How candidates are cut out of the thorax.

    Attributes:
        what: The pieces, in words.
        size: Pixels per axis, those of a volume the slices first.
        num_patients: By default.
        per_patient: Candidates cut from each patient by default.
    """

    what: str
    size: tuple[int, ...]
    num_patients: int
    per_patient: int

    @property
    def num_slices(self) -> int:
        """Slices of a volume; 0 for one axial slice alone."""
        return self.size[0] if len(self.size) > 2 else 0

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """Millimetres per pixel and axis."""
        return (PLANE_MM, SPACING_MM, SPACING_MM)[-len(self.size) :]

    def options(self, target: TargetKind) -> Options:
        """What a source can choose; the dose of the input, in percent, where both are images."""
        return {
            "seed": (0, 0, 2**31 - 1),
            "patients": (self.num_patients, 4, 2000),
            "patches": (self.per_patient, 1, 64),
            **({"dose": (DOSE_PERCENT, 1, 99)} if target == "image" else {}),
        }


PATCHES = Cut(what="lung-CT patches", size=(32, 32), num_patients=160, per_patient=10)
VOLUMES = Cut(what="lung-CT volumes", size=(16, 24, 24), num_patients=150, per_patient=4)
CUTS = {"phantom:lung-ct": PATCHES, "phantom:lung-ct-3d": VOLUMES}

_CLASSES = ("background", "nodule")
_SOURCES = (__file__, thorax.__file__, candidates.__file__)
"""What the images depend on: a changed generator never reads an old cache."""


def generate(
    seed: int = 0,
    num_patients: int = 160,
    patches_per_patient: int = 10,
    *,
    cut: Cut = PATCHES,
    target: TargetKind = "label",
    dose_percent: int = DOSE_PERCENT,
) -> Dataset:
    """Simulated lung CT; the same arguments give the same bits.

    Args:
        seed: Start of every patient's own random numbers.
        num_patients: Simulated patients; a patient does not depend on how many there are.
        patches_per_patient: Candidates cut from each.
        cut: Patches or volumes.
        target: "label"; "mask" for the outlines of nodules, of which there are then more; or
            "image" for pairs of low and normal dose.
        dose_percent: The low dose, of the normal one.

    Returns:
        image: (N, 1, *size) int16 HU, N = num_patients * patches_per_patient;
        label: (N,) int64, 1 for a nodule, or mask: (N, 1, *size) uint8, 1 where a nodule
        contributes more than half of its contrast; or for pairs target: (N, 1, *size) int16 HU of
        the normal dose, and image that of the low dose; groups: (N,) int64 patient codes.
    """
    source = b"".join(Path(file).read_bytes() for file in _SOURCES)
    version = hashlib.sha256(source).hexdigest()[:16]
    size = "x".join(map(str, cut.size))
    kind = f"{dose_percent}-percent" if target == "image" else target
    arrays = cached(
        f"phantom-{size}-{kind}-{version}-seed{seed}-{num_patients}x{patches_per_patient}",
        lambda: simulate(
            seed,
            num_patients,
            patches_per_patient,
            cut=cut,
            target=target,
            dose_percent=dose_percent,
        ),
    )
    labels = arrays["label"]
    learnt = TargetSpec(name=target, kind=target, classes=_CLASSES)
    if target == "image":
        learnt = TargetSpec(name="target", kind=target)
    spec = InputSpec(
        channels=1, size=cut.size, units="HU", window=WINDOW_HU, spacing_mm=cut.spacing_mm
    )
    return Dataset(
        sample=SampleSpec(inputs=(spec,), targets=(learnt,)),
        inputs={"image": arrays["image"]},
        targets={learnt.name: arrays[learnt.name]},
        groups=np.repeat(np.arange(num_patients, dtype=np.int64), patches_per_patient),
        split=None,
        description=(
            f"simulated {cut.what}: {len(labels)} of {num_patients} simulated patients, "
            f"{int((labels == 1).sum())} with a nodule, {size} pixels"
            f"{f', {dose_percent} % of the normal dose' if target == 'image' else ''}"
        ),
        simulated=SIMULATED,
    )


def simulate(
    seed: int,
    num_patients: int,
    patches_per_patient: int,
    *,
    cut: Cut = PATCHES,
    target: TargetKind = "label",
    dose_percent: int = DOSE_PERCENT,
) -> dict[str, Array]:
    """The arrays behind `generate`, without a cache: image, label, and the target asked for."""
    made = []
    for patient in range(num_patients):
        rng = np.random.default_rng([seed, patient])
        made.append(_of_patient(rng, patches_per_patient, cut, target, dose_percent))
    return {name: np.concatenate([arrays[name] for arrays in made]) for name in made[0]}


def _of_patient(
    rng: Generator, count: int, cut: Cut, target: TargetKind, dose_percent: int
) -> dict[str, Array]:
    patient = thorax.draw_patient(rng)
    nodules = MASKED_NODULES if target == "mask" else patient.nodule_share
    labels = (rng.uniform(size=count) < nodules).astype(np.int64)
    side = cut.size[-1] + 2 * MARGIN_PIXELS
    scenes = np.empty((count, *cut.size[:-2], side, side), np.float32)
    shares = np.empty_like(scenes)
    for row, label in enumerate(labels):
        right, down = np.clip(rng.normal(0.0, candidates.CENTRING_MM, 2), -4.0, 4.0).tolist()
        slab = thorax.Slab(
            side=side,
            spacing_mm=SPACING_MM,
            slice_mm=cut.num_slices * PLANE_MM or patient.slice_mm,
            planes=cut.num_slices or PLANES,
            shift_mm=(right, down),
            sections=cut.num_slices // 2 or 1,
        )
        (candidates.nodule_scene if label else candidates.mimic_scene)(slab, rng, patient)
        hu, share = slab.planes()
        scenes[row] = hu if cut.num_slices else hu.mean(axis=0)
        shares[row] = share if cut.num_slices else share.mean(axis=0)
    doses = (1.0, dose_percent / 100) if target == "image" else (1.0,)
    scans = [stored(scanned) for scanned in scan(scenes, rng, patient, doses)]
    arrays: dict[str, Array] = {"image": scans[-1], "label": labels}
    if target == "image":
        arrays["target"] = scans[0]
    if target == "mask":
        arrays["mask"] = (_inner(shares) > 0.5).astype(np.uint8)
    return arrays


def stored(scanned: NDArray[np.float64]) -> NDArray[np.int16]:
    """Scans (N, *size with margins) as images (N, 1, *size) in whole HU."""
    whole: NDArray[np.int16] = np.rint(np.clip(_inner(scanned), *HU_LIMITS)).astype(np.int16)
    return whole


def _inner(rendered: NDArray[Any]) -> NDArray[Any]:
    """What is kept of renderings (N, *size with margins), with a channel."""
    inner = slice(MARGIN_PIXELS, -MARGIN_PIXELS)
    return rendered[:, None, ..., inner, inner]


def scan(
    scenes: NDArray[np.float32],
    rng: Generator,
    patient: thorax.Patient,
    doses: Sequence[float] = (1.0,),
) -> list[NDArray[np.float64]]:
    """What the patient's scanner makes of sharp scenes: blur, edge enhancement, filtered noise.

    The noise is white noise through a ramp filter and an apodisation window, as filtered back
    projection leaves it: band-passed and correlated between neighbours. Both filters are applied
    slice by slice in the frequency domain, so images wrap around at their edges.

    Args:
        scenes: (N, H, W) or (N, D, H, W) densities.
        rng: Start of the noise.
        patient: Whose scanner it is.
        doses: Of the scans wanted, as shares of the normal dose, from that, 1, down. A scan of
            less has the noise of the one before and more of its own, so that the variance is
            inverse to the dose, as when low doses are simulated from scans of patients.

    Returns:
        A scan for each dose.
    """
    side = scenes.shape[-1]
    fy = np.fft.fftfreq(side, SPACING_MM)[:, None]
    fx = np.fft.rfftfreq(side, SPACING_MM)[None, :]
    frequency = np.hypot(fy, fx)
    response = np.exp(-2.0 * (np.pi * patient.blur_mm * frequency) ** 2)
    response *= 1.0 + patient.sharpening * (2.0 * np.pi * patient.blur_mm * frequency) ** 2
    angle = np.arctan2(fy, fx) - rng.uniform(0.0, np.pi)
    band = frequency * response * (1.0 + patient.streak * np.cos(2.0 * angle))
    axes = tuple(range(1, scenes.ndim))
    scans: list[NDArray[np.float64]] = []
    noise_hu, variance = np.zeros(()), 0.0
    for dose in doses:
        white = np.fft.rfft2(rng.standard_normal(scenes.shape))
        noise = np.fft.irfft2(white * band, s=(side, side))
        if not scans:
            noise_hu = patient.noise_hu * rng.uniform(0.8, 1.25, (len(scenes), *[1] * len(axes)))
            scans.append(np.fft.irfft2(np.fft.rfft2(scenes) * response, s=(side, side)))
        noise *= noise_hu * np.sqrt(1 / dose - variance) / noise.std(axis=axes, keepdims=True)
        scans.append(scans[-1] + noise)
        variance = 1 / dose
    return scans[1:]


def accepts(source: str) -> bool:
    """Whether a source names this data: one of CUTS, options after a question mark."""
    return source.partition("?")[0] in CUTS


def read(source: str, keys: Mapping[str, str], target: TargetKind = "label") -> Dataset:
    """The data a source names, such as "phantom:lung-ct?seed=3&patients=50".

    Args:
        source: What `accepts` answers True for.
        keys: Names of arrays in other formats; nothing to choose here.
        target: What is to be learnt: labels, masks, or images of the normal dose.

    Raises:
        DataError: An option makes no sense, or the phantom has no such target.
    """
    del keys
    if target not in ("label", "mask", "image"):
        raise DataError(
            f"{source!r} has labels, masks and pairs of images, no {target}; give your own --data"
        )
    cut = CUTS[source.partition("?")[0]]
    values = parse(source, cut.options(target), "seed=3&patients=50")
    return generate(
        values["seed"],
        values["patients"],
        values["patches"],
        cut=cut,
        target=target,
        dose_percent=values.get("dose", DOSE_PERCENT),
    )
