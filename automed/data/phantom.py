"""The embedded task's data: lung-CT patches from a simulated thorax, nodule or not."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from automed.data import candidates, thorax
from automed.data.cache import cached
from automed.data.dataset import Array, Dataset
from automed.errors import DataError
from automed.sample import InputSpec, SampleSpec, TargetKind, TargetSpec

SOURCE = "phantom:lung-ct"
PIXELS = 32
SPACING_MM = 0.9
MARGIN_PIXELS = 3
"""Rendered beyond each side of a patch, so that filters wrap around outside of it."""
PLANES = 2
"""Sub-slices averaged over the slice thickness."""
HU_LIMITS = (-1024, 1500)
WINDOW_HU = (-1000.0, 400.0)

SAMPLE = SampleSpec(
    inputs=(
        InputSpec(
            name="image",
            kind="image",
            channels=1,
            size=(PIXELS, PIXELS),
            units="HU",
            window=WINDOW_HU,
            spacing_mm=(SPACING_MM, SPACING_MM),
        ),
    ),
    targets=(TargetSpec(name="label", kind="label", classes=("background", "nodule")),),
)

_SOURCES = (__file__, thorax.__file__, candidates.__file__)
"""What the images depend on: a changed generator never reads an old cache."""

OPTIONS: dict[str, tuple[int, int, int]] = {
    "seed": (0, 0, 2**31 - 1),
    "patients": (200, 4, 2000),
    "patches": (10, 1, 64),
}
"""Option of a source: its default, least and greatest value."""


def generate(seed: int = 0, num_patients: int = 200, patches_per_patient: int = 10) -> Dataset:
    """Simulated lung-CT patches; the same arguments give the same bits.

    Args:
        seed: Start of every patient's own random numbers.
        num_patients: Simulated patients; a patient does not depend on how many there are.
        patches_per_patient: Candidates cut from each.

    Returns:
        image: (N, 1, 32, 32) int16 HU, N = num_patients * patches_per_patient;
        label: (N,) int64, 1 for a nodule; groups: (N,) int64 patient codes.
    """
    source = b"".join(Path(file).read_bytes() for file in _SOURCES)
    version = hashlib.sha256(source).hexdigest()[:16]
    arrays = cached(
        f"phantom-lung-ct-{version}-seed{seed}-{num_patients}x{patches_per_patient}",
        lambda: simulate(seed, num_patients, patches_per_patient),
    )
    labels = arrays["label"]
    count = len(labels)
    return Dataset(
        sample=SAMPLE,
        inputs={"image": arrays["image"]},
        targets={"label": labels},
        groups=np.repeat(np.arange(num_patients, dtype=np.int64), patches_per_patient),
        split=None,
        description=(
            f"simulated lung-CT patches: {count} of {num_patients} simulated patients, "
            f"{int((labels == 1).sum())} with a nodule, {PIXELS}x{PIXELS} pixels"
        ),
        simulated=True,
    )


def simulate(seed: int, num_patients: int, patches_per_patient: int) -> dict[str, Array]:
    """The arrays behind `generate`, without a cache: image and label."""
    images, labels = [], []
    for patient in range(num_patients):
        rng = np.random.default_rng([seed, patient])
        image, label = _patient_patches(rng, patches_per_patient)
        images.append(image)
        labels.append(label)
    return {"image": np.concatenate(images)[:, None], "label": np.concatenate(labels)}


def _patient_patches(rng: Generator, count: int) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    patient = thorax.draw_patient(rng)
    labels = (rng.uniform(size=count) < patient.nodule_share).astype(np.int64)
    side = PIXELS + 2 * MARGIN_PIXELS
    scenes = np.empty((count, side, side), np.float32)
    for row, label in enumerate(labels):
        right, down = np.clip(rng.normal(0.0, candidates.CENTRING_MM, 2), -4.0, 4.0).tolist()
        slab = thorax.Slab(
            side=side,
            spacing_mm=SPACING_MM,
            slice_mm=patient.slice_mm,
            planes=PLANES,
            shift_mm=(right, down),
        )
        (candidates.nodule_scene if label else candidates.mimic_scene)(slab, rng, patient)
        scenes[row] = slab.image()
    scanned = scan(scenes, rng, patient)
    inner = slice(MARGIN_PIXELS, MARGIN_PIXELS + PIXELS)
    return np.rint(np.clip(scanned[:, inner, inner], *HU_LIMITS)).astype(np.int16), labels


def scan(
    scenes_NHW: NDArray[np.float32], rng: Generator, patient: thorax.Patient
) -> NDArray[np.float64]:
    """What the patient's scanner makes of sharp scenes: blur, edge enhancement, filtered noise.

    The noise is white noise through a ramp filter and an apodisation window, as filtered back
    projection leaves it: band-passed and correlated between neighbours. Both filters are applied
    in the frequency domain, so images wrap around at their edges.
    """
    side = scenes_NHW.shape[-1]
    fy = np.fft.fftfreq(side, SPACING_MM)[:, None]
    fx = np.fft.rfftfreq(side, SPACING_MM)[None, :]
    frequency = np.hypot(fy, fx)
    response = np.exp(-2.0 * (np.pi * patient.blur_mm * frequency) ** 2)
    response *= 1.0 + patient.sharpening * (2.0 * np.pi * patient.blur_mm * frequency) ** 2
    angle = np.arctan2(fy, fx) - rng.uniform(0.0, np.pi)
    band = frequency * response * (1.0 + patient.streak * np.cos(2.0 * angle))
    noise = np.fft.irfft2(
        np.fft.rfft2(rng.standard_normal(scenes_NHW.shape)) * band, s=(side, side)
    )
    dose = patient.noise_hu * rng.uniform(0.8, 1.25, (len(scenes_NHW), 1, 1))
    noise *= dose / noise.std(axis=(1, 2), keepdims=True)
    return np.fft.irfft2(np.fft.rfft2(scenes_NHW) * response, s=(side, side)) + noise


def accepts(source: str) -> bool:
    """Whether a source names this data: "phantom:lung-ct", options after a question mark."""
    return source.partition("?")[0] == SOURCE


def read(source: str, keys: Mapping[str, str], target: TargetKind = "label") -> Dataset:
    """The data a source names, such as "phantom:lung-ct?seed=3&patients=50".

    Args:
        source: What `accepts` answers True for.
        keys: Names of arrays in other formats; nothing to choose here.
        target: What is to be learnt.

    Raises:
        DataError: An option is unknown, given twice, not a whole number or out of range.
    """
    del keys, target
    query = source.partition("?")[2]
    values = {name: default for name, (default, _, _) in OPTIONS.items()}
    given: set[str] = set()
    example = f"write for example {SOURCE}?seed=3&patients=50"
    pairs = parse_qsl(query, keep_blank_values=True)
    for name, text in pairs:
        if name not in OPTIONS or name in given:
            problem = "is given twice" if name in given else "is not known"
            raise DataError(
                f"option {name!r} of {source!r} {problem}; "
                f"allowed: {', '.join(OPTIONS)}, each once; {example}"
            )
        given.add(name)
        _, least, greatest = OPTIONS[name]
        if not (text.isascii() and text.isdigit() and least <= int(text) <= greatest):
            raise DataError(
                f"option {name}={text!r} of {source!r} is no whole number from {least} to "
                f"{greatest}; {example}"
            )
        values[name] = int(text)
    return generate(values["seed"], values["patients"], values["patches"])
