"""Files that are there as a whole or not at all, and folders that one process works in."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def replace(path: Path, content: bytes | str) -> None:
    """Write a file, in place of one that may be there, through a temporary neighbour.

    Args:
        path: The file; its folder must exist.
        content: Bytes, or text to be written as UTF-8.

    Raises:
        OSError: The file cannot be written; the old one is as it was and no neighbour is left.
    """
    scratch = path.with_name(f"{path.name}.{os.getpid()}.tmp")  # processes share the cache
    try:
        scratch.write_bytes(content.encode() if isinstance(content, str) else content)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a folder; whoever else wants to hold it meanwhile is told so. A dead process holds none.

    Raises:
        BlockingIOError: Another process holds it.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)
