"""Files that are there as a whole or not at all, whoever is killed while writing them."""

import os
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
