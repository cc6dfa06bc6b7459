"""Errors a user can mend; everything else is a bug and keeps its traceback."""

import difflib
from collections.abc import Iterable


class AutomedError(Exception):
    """Base of every error raised on purpose; the command line prints it and exits with 2."""


class UnknownNameError(AutomedError):
    """A name that nothing answers to."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        super().__init__(f"no {kind} named {name!r}; {hint}known: {', '.join(names) or 'none'}")


class SpaceError(AutomedError):
    """A search space that contradicts itself, or a value outside the space."""


class StrategyError(AutomedError):
    """A strategy that cannot search what it was given."""


class TaskError(AutomedError):
    """A task file that cannot be read or does not make sense."""


class DataError(AutomedError):
    """Images, labels or splits that cannot be used as they are."""


class BudgetError(AutomedError):
    """A budget or a limit that nothing can meet."""


class RunError(AutomedError):
    """A run folder that is missing, taken, unwritable or not one."""


class ExportError(AutomedError):
    """An artefact that could not be written or does not agree with its network."""


class DisagreementError(ExportError):
    """An artefact that runs, and gives something else than its network."""


class DeviceError(AutomedError):
    """A device that cannot be reached, or cannot run what it was given."""


class UnreachableError(DeviceError):
    """A device that cannot be reached now: what it was to run is not to blame."""
