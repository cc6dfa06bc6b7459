"""Where trials run. An executor answers one call: run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from automed.trial import Outcome, Trial

Ask = Callable[[], Trial | None]
Tell = Callable[[Trial, Outcome], None]


class Evaluate(Protocol):
    """Turns trials into outcomes; picklable, and may warm up a fresh process."""

    def __call__(self, trial: Trial) -> Outcome:
        """The outcome of a trial; it does not raise for what a trial can do wrong."""

    def warm(self, worker: int) -> None:
        """Load what every trial needs; workers of one machine are numbered from 0.

        What it raises is not the executor's to tell: the trials, which need the same, fail by it.
        """


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What trials may take.

    Attributes:
        workers: Trials at once.
        cpus: CPU cores of each trial.
        gpus: GPUs of each trial; a fraction lets several share one (it does not cap memory).
        address: Of a Ray cluster to join; None starts one on this machine.
    """

    workers: int
    cpus: float = 1.0
    gpus: float = 0.0
    address: str | None = None


def num_cores() -> int:
    """CPU cores that this process may use: those of its container or its affinity."""
    import joblib

    return int(joblib.cpu_count())


class Executor(Protocol):
    """Owns processes, devices and crashes; knows nothing of spaces or networks."""

    def run(self, ask: Ask, evaluate: Evaluate, tell: Tell) -> None:
        """Evaluate what ask gives, several at once, until it gives None with nothing in flight.

        None while trials are in flight means nothing now: what they give may lead to more.
        `evaluate` runs in other processes; `ask` and `tell` are called one at a time in this one.
        A worker that dies makes its trial a failed outcome and is replaced. A raising ask or tell
        ends the run, and so does KeyboardInterrupt; workers never outlive it.
        """


class Maker(Protocol):
    """What a module of an executor offers."""

    def make(self, resources: Resources) -> Executor:
        """The executor."""
