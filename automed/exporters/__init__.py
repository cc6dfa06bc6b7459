"""Models as files that run elsewhere, and the one check that every such file must pass."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from automed.errors import DisagreementError
from automed.sample import InputSpec

if TYPE_CHECKING:
    from automed.exporters.deployed import Deployed

MAX_DIFFERENCE = 1e-4
NOTICE = "Research software: not for clinical use."


class Runner(Protocol):
    """A loaded artefact: raw inputs (1, C, *size) in, what the graph returns out."""

    def __call__(self, *raw: NDArray[Any]) -> NDArray[np.float32]:
        """The graph's first output for one sample."""

    def outputs(self, *raw: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """All that the graph returns for one sample, by name."""

    def rehearse(self) -> None:
        """One inference on a made-up input, to be timed."""


class Exporter(Protocol):
    """One target: a module with these functions."""

    SUFFIX: str
    """The end of its files' names."""
    RUNTIME: str
    """The package that runs them, whose version timings belong to."""
    SLOW: bool
    """Lowering takes seconds: where it is not the first target, it waits until a training goes on
    that the candidate has earned."""

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


@dataclass(frozen=True)
class Attempt:
    """A model in int8.

    Attributes:
        how: What is in int8 and how, in words.
        artefact: Content of the file.
    """

    how: str
    artefact: bytes


class Quantizer(Protocol):
    """The way to int8 of the exporter of the same name: a module with this function."""

    def attempts(
        self,
        model: "Deployed",
        inputs: Sequence[InputSpec],
        metadata: Mapping[str, str],
        samples: Sequence[NDArray[Any]],
    ) -> Iterator[Attempt]:
        """The model in int8, from the boldest to the gentlest, each made when it is asked for.

        Args:
            model: What is exported.
            inputs: Its inputs.
            metadata: Goes into every artefact.
            samples: Raw values (N, C, *size) of each input, of the training part, on which ranges
                are measured.
        """


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
        DisagreementError: They differ by more than MAX_DIFFERENCE or in shape, or are not finite.
    """
    if artefact.shape != network.shape:
        raise DisagreementError(
            f"{name}: the exported model returns shape {artefact.shape}, its network "
            f"{network.shape}"
        )
    if not np.isfinite(artefact).all():
        raise DisagreementError(f"{name}: the exported model returns values that are not finite")
    worst = float((np.abs(artefact - network) / np.abs(network).clip(min=scale or 1.0)).max())
    if not worst <= MAX_DIFFERENCE:  # NaN, from a network that is broken, is refused too
        raise DisagreementError(
            f"{name}: the exported model differs from its network by {worst:.2g}, allowed is "
            f"{MAX_DIFFERENCE:g}; the artefact is not kept"
        )
    return worst
