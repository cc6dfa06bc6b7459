"""What broke, in one line that may travel: no local path, no stack trace."""

import errno
import re

from automed.errors import AutomedError

_PART = r"[^\s/\\'\":,;()]"
_FOLDERS = re.compile(rf"(?<![\w.])(?:[A-Za-z]:)?(?:[/\\]{_PART}+)*[/\\](?={_PART})")


def reason(error: Exception) -> str:
    """One line on what broke, its local paths cut to their last part: records travel."""
    from automed.training.recipes import TrainingFailure

    if isinstance(error, SystemError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # C code met an exception; that is what broke
    if isinstance(error, TrainingFailure | AutomedError):
        return _FOLDERS.sub("", str(error))
    if exhausted(error):
        return "out of memory"
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {_FOLDERS.sub('', first)[:300]}"


def exhausted(error: Exception) -> bool:
    """Whether there was no memory left: another moment or machine may have more."""
    import torch

    in_words = "can't allocate memory" in str(error)  # torch's on a CPU
    return in_words or isinstance(error, MemoryError | torch.OutOfMemoryError)


def no_room(error: Exception) -> bool:
    """Whether a disk is full, or a user's share of it: nothing that is to be written can be."""
    full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return getattr(error, "errno", None) in full or "disk is full" in str(error)  # SQLite's words
