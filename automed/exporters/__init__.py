"""Models as files that run elsewhere, and the one check that every such file must pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from automed.errors import ExportError
from automed.sample import InputSpec

if TYPE_CHECKING:
    from automed.exporters.deployed import Deployed

MAX_DIFFERENCE = 1e-4
NOTICE = "Research software: not for clinical use."


class Runner(Protocol):
    """A loaded artefact: raw inputs (1, C, *size) in, what the graph returns out."""

    def __call__(self, *raw: NDArray[Any]) -> NDArray[np.float32]:
        """The graph's first output for one sample."""

    def rehearse(self) -> None:
        """One inference on a made-up input, to be timed."""


@dataclass(frozen=True)
class Attempt:
    """An artefact that computes in integers.

    Attributes:
        how: In a few words what does, "int8 per channel, 3 of 12 layers in fp32".
        artefact: The file's content.
    """

    how: str
    artefact: bytes


class Exporter(Protocol):
    """One target: a module with these functions."""

    SUFFIX: str

    def export(
        self, model: "Deployed", inputs: Sequence[InputSpec], metadata: Mapping[str, str]
    ) -> bytes:
        """The artefact's file content for one sample of these inputs."""

    def load(self, artefact: bytes | Path) -> Runner:
        """The artefact in the target's own runtime."""

    def digest(self, artefact: bytes) -> str:
        """What the artefact computes, without its weights: equal digests cost the same."""

    def reference(self) -> bytes:
        """A small fixed artefact, the yardstick of this target's timings."""


def outputs(runner: Runner, raw: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """What an artefact returns for inputs (N, C, *size), one at a time as a device would."""
    return np.concatenate([runner(*(x[i : i + 1] for x in raw)) for i in range(len(raw[0]))])


def verify(
    name: str,
    artefact: NDArray[np.float32],
    network: NDArray[np.float32],
    scale: Sequence[float] = (),
) -> float:
    """Largest difference between an artefact's outputs and its network's on the same samples.

    Values above 1, such as places in pixels, are compared relative to themselves: single precision
    holds no more.

    Args:
        name: Of the model, for errors.
        artefact: What the artefact returns.
        network: What the network does.
        scale: Of values (N, V) in units of their own, what counts as 1.

    Raises:
        ExportError: They differ by more than MAX_DIFFERENCE or in shape, or are not finite.
    """
    if artefact.shape != network.shape:
        raise ExportError(
            f"{name}: the exported model returns shape {artefact.shape}, its network "
            f"{network.shape}"
        )
    if not np.isfinite(artefact).all():
        raise ExportError(f"{name}: the exported model returns values that are not finite")
    worst = float((np.abs(artefact - network) / np.abs(network).clip(min=scale or 1.0)).max())
    if not worst <= MAX_DIFFERENCE:  # NaN, from a network that is broken, is refused too
        raise ExportError(
            f"{name}: the exported model differs from its network by {worst:.2g}, allowed is "
            f"{MAX_DIFFERENCE:g}; the artefact is not kept"
        )
    return worst
