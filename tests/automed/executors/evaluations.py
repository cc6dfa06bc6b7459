"""Evaluations that worker processes can import: each trial's point says how it behaves."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from automed.trial import Outcome, Trial


@dataclass(frozen=True)
class Scripted:
    """Does what a trial's point asks for, and leaves a file per warmed process and per start."""

    folder: str

    def warm(self, worker: int) -> None:
        (Path(self.folder) / f"warm-{os.getpid()}").write_text(str(worker))

    def __call__(self, trial: Trial) -> Outcome:
        (Path(self.folder) / f"start-{trial.number}").write_text(str(os.getpid()))
        behaviour = trial.point.get("behaviour", "answer")
        time.sleep(float(trial.point.get("seconds", 0.0)))
        if behaviour == "raise":
            raise ValueError("it broke")
        if behaviour == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if behaviour == "exit":
            os._exit(3)
        return Outcome(
            scores={"auc": trial.number / 100},
            costs={"pid": os.getpid()},
            epochs=trial.epochs,
            finished=True,
            checkpoint=b"x" * 100_000,
        )


@dataclass(frozen=True)
class Unwarmable:
    """Cannot load what trials need."""

    def warm(self, worker: int) -> None:
        raise RuntimeError("no data")

    def __call__(self, trial: Trial) -> Outcome:
        return Outcome(failure="no data")
