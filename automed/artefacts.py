"""A trained model as a file on a target: exported, loaded there, run, compared with its network."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from automed import devices, registry
from automed.data.dataset import Dataset
from automed.errors import DisagreementError
from automed.exporters import Runner, verify

if TYPE_CHECKING:
    from automed.exporters.deployed import Deployed

FULL = "fp32"


@dataclass(frozen=True, kw_only=True)
class Artefact:
    """A model's file on one target.

    Attributes:
        target: Name of the exporter that loads it.
        content: Of the file.
        runner: It, loaded.
        validation: What it returns for the validation part.
        max_difference: Between it and its network on those; None where there is no network.
        precision: "fp32" or "int8".
        how: What was done to get to that precision, in a few words; empty for nothing.
        pace: Its latency in units of that of the fp32 file on its target, timed in one session.
    """

    target: str
    content: bytes
    runner: Runner
    validation: NDArray[np.float32]
    max_difference: float | None = None
    precision: str = FULL
    how: str = ""
    pace: float = 1.0

    @property
    def label(self) -> str:
        """It among the files of its model: openvino, or openvino-int8."""
        return self.target if self.precision == FULL else f"{self.target}-{self.precision}"


def ported(
    name: str, model: "Deployed", target: str, val: Dataset, metadata: Mapping[str, str]
) -> Artefact:
    """A trained model as a verified file on a target.

    A file that does not agree with its network is made once more with instance norms that keep
    their digits, which costs time at every inference.

    Args:
        name: Of the model.
        model: The trained network between its preprocessing and its final activation.
        target: Name of the exporter.
        val: Validation samples, on all of which file and network must agree.
        metadata: What the file says of itself.

    Raises:
        ExportError: The file cannot be made or run, or does not agree with its network.
    """
    from automed.exporters import norms

    exporter = registry.part("exporter", target)
    facts, wanted = {**metadata, "name": name}, model.outputs(val.given)

    def attempt(model: "Deployed", how: str = "") -> Artefact:
        content = exporter.export(model, val.sample.inputs, facts)
        given = answers(target, content, val)
        return Artefact(
            target=target,
            content=content,
            runner=exporter.load(content),
            validation=given,
            max_difference=verify(name, given, wanted, val.sample.target.scale),
            how=how,
        )

    try:
        return attempt(model)
    except DisagreementError:
        if (steady := norms.staged(model)) is None:
            raise
        return attempt(steady, norms.HOW)


def answers(target: str, content: bytes, part: Dataset) -> NDArray[np.float32]:
    """What a file returns first for every sample, in a fresh process that has its runtime alone.

    Raises:
        DeviceError: It cannot be run there.
    """
    file = devices.Artefact(content, registry.part("exporter", target).SUFFIX)
    given = devices.device("host").run(file, [x.astype(np.float32) for x in part.given])
    return given[0].astype(np.float32)
