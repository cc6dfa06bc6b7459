"""A device that was timed before: latencies are predicted from those of other architectures."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automed.devices import REPEATS, WARM_UP, Artefact, Measured
from automed.errors import DeviceError

if TYPE_CHECKING:
    from automed.devices.operators import Operator

ADDRESS = "FILE"
FORMAT = 1
LEAST_ROWS = 10
_INTEGER = re.compile("Q[A-Z]|Quantize|Dequantize|.*Integer")
"""Operators of int8, which nothing in single precision tells of."""
WITHIN = 0.1
"""Relative error up to which a prediction counts as right."""
COVERED = 0.9
"""Share of held-out architectures that lay within a prediction's error."""


def make(address: str) -> "Predicted":
    """See `Maker.make`."""
    if not address:
        raise DeviceError("name a file that `automed profile` wrote: predicted:board.json")
    return Predicted(Path(address))


def called(address: str) -> str:
    """See `Maker.called`."""
    return Path(address).name


def found() -> Sequence[str]:
    """None: where files lie is for their owner to say."""
    return []


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """How predictions of held-out architectures compare with their timings.

    Attributes:
        within: Share whose relative error is at most WITHIN.
        noise_within: The same of the first timing against the second, of the same artefacts.
        spearman: Rank correlation.
        error: Relative error that COVERED of them do not exceed.
        architectures: How many there are.
    """

    within: float
    noise_within: float
    spearman: float
    error: float
    architectures: int

    def __str__(self) -> str:
        return (
            f"{self.within:.0%} of {self.architectures} held-out architectures within "
            f"{WITHIN:.0%} (timed again: {self.noise_within:.0%}), Spearman {self.spearman:.3f}, "
            f"{COVERED:.0%} within {self.error:.0%}"
        )


@dataclass(frozen=True)
class Predicted:
    """The device that a file is about."""

    path: Path

    def describe(self) -> Mapping[str, str]:
        """See `Device.describe`."""
        known = self._file
        return {
            "device": f"predicted for {known['device']}",
            "os": known["os"],
            "runtimes": known["runtime"],
            "accuracy": str(self.accuracy),
        }

    def measure(
        self,
        models: Mapping[str, Artefact],
        reference: Artefact | None = None,
        *,
        threads: int = 1,
        warm_up: int = WARM_UP,
        repeats: int = REPEATS,
    ) -> Mapping[str, Measured]:
        """See `Device.measure`; nothing is run. Relative to the reference of the file's timings."""
        from automed.devices.operators import operators
        from automed.devices.predictor import predict

        known = self._file
        if threads != known["threads"]:
            raise DeviceError(f"{self.path} is about {known['threads']} threads, not {threads}")
        graphs = {name: operators(model.content) for name, model in models.items()}
        timed = {o.kind for graph in self._graphs for o in graph}
        for name, graph in graphs.items():
            if new := {o.kind for o in graph if _INTEGER.match(o.kind)} - timed:
                raise DeviceError(
                    f"{name} is in int8, and {self.path.name} holds no timing of "
                    f"{', '.join(sorted(new))}; measure it on the device itself"
                )
        relative = predict(self._graphs, self._relative, [*graphs.values()])
        return {
            name: Measured(
                p50_ms=float(share * self._reference_ms),
                p90_ms=None,
                p99_ms=None,
                relative=float(share),
                repeats=0,
                warm_up=0,
                peak_memory_bytes=None,
                size_bytes=len(model.content),
                device=f"predicted for {known['device']}",
                os=known["os"],
                runtime=known["runtime"],
                threads=threads,
                error=self.accuracy.error,
            )
            for (name, model), share in zip(models.items(), relative, strict=True)
        }

    def run(self, model: Artefact, inputs: Sequence[NDArray[Any]]) -> Sequence[NDArray[Any]]:
        """Nothing can be run.

        Raises:
            DeviceError: Always.
        """
        raise DeviceError(f"predicted:{self.path} runs no model; compare outputs on host")

    @cached_property
    def accuracy(self) -> Accuracy:
        """Of this file's predictions, each from the architectures of other folds."""
        from scipy.stats import spearmanr

        from automed.devices.predictor import held_out

        told, timed = held_out(self._graphs, self._relative), self._relative
        errors = np.abs(told / timed - 1)
        first, second = np.array([row["relative"][:2] for row in self._file["rows"]]).T
        return Accuracy(
            within=float((errors <= WITHIN).mean()),
            noise_within=float((np.abs(first / second - 1) <= WITHIN).mean()),
            spearman=float(spearmanr(told, timed).statistic),
            error=float(np.quantile(errors, COVERED)),
            architectures=len(timed),
        )

    @cached_property
    def _file(self) -> dict[str, Any]:
        try:
            known: dict[str, Any] = json.loads(self.path.read_text())
        except OSError as error:
            raise DeviceError(f"{self.path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise DeviceError(f"{self.path} is no file that `automed profile` wrote") from error
        if not isinstance(known, dict) or known.get("format") != FORMAT:
            raise DeviceError(f"{self.path} is no file that this `automed profile` wrote")
        if len(known["rows"]) < LEAST_ROWS:
            raise DeviceError(f"{self.path} holds {len(known['rows'])} architectures, too few")
        return known

    @cached_property
    def _graphs(self) -> list[list["Operator"]]:
        from automed.devices.operators import Operator

        return [[Operator(**o) for o in row["operators"]] for row in self._file["rows"]]

    @cached_property
    def _relative(self) -> NDArray[np.float64]:
        """Each architecture's p50 in those of the reference of its own sessions."""
        return np.exp([np.log(row["relative"]).mean() for row in self._file["rows"]])

    @cached_property
    def _reference_ms(self) -> float:
        rows = self._file["rows"]
        return float(np.median([np.divide(row["p50_ms"], row["relative"]) for row in rows]))
