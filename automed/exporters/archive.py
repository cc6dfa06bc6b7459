"""One file of several parts: a zip whose bytes follow from its parts alone."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from automed.errors import ExportError

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first date a zip can hold


def pack(parts: Mapping[str, bytes]) -> bytes:
    """A zip of named parts, stored as they are; equal parts make equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as file:
        for name, content in parts.items():
            file.writestr(zipfile.ZipInfo(name, _EPOCH), content)
    return buffer.getvalue()


def unpack(content: bytes) -> dict[str, bytes]:
    """The parts of a zip by name, each as its checksum says it was.

    Raises:
        ValueError: It is no zip, is damaged, or is compressed or ambiguous, as `pack` never is.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            parts = file.infolist()
            if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
                raise ValueError("a part is compressed")
            if len({part.filename for part in parts}) < len(parts):
                raise ValueError("two parts have one name")
            return {part.filename: file.read(part) for part in parts}
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(str(error)) from error


def name_and_content(artefact: bytes | Path) -> tuple[str, bytes]:
    """What an artefact is called in errors, and its bytes.

    Raises:
        ExportError: The file cannot be read.
    """
    if isinstance(artefact, bytes):
        return "model", artefact
    try:
        return artefact.name, artefact.read_bytes()
    except OSError as error:
        raise ExportError(f"{artefact.name} cannot be read: {error.strerror}") from error
