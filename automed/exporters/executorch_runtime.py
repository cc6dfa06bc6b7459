"""A shipped ExecuTorch model in its runtime, and what stands in its file beside the program."""

import hashlib
import io
import json
import logging
import os
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from automed.errors import ExportError
from automed.exporters import archive, onnx_file

METADATA, FACTS = "metadata.json", "program.json"
"""Members of the ZIP archive behind the program: `unzip -p model.pte metadata.json` reads one."""


@contextmanager
def quiet() -> Iterator[None]:
    """Keep progress and warnings off the user's screen, those of C++ and of imports too."""
    handlers = list(logging.root.handlers)
    sys.stderr.flush()
    screen, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with onnx_file.quiet():
            yield
    finally:
        os.dup2(screen, 2)
        os.close(screen)
        os.close(nowhere)
        logging.root.handlers[:] = handlers  # executorch adds its own


try:
    with quiet():
        from executorch.extension.pybindings import portable_lib
        from executorch.runtime import Runtime
except ImportError as error:
    raise ExportError(
        "target executorch needs executorch; install it with: pip install 'automed[executorch]'"
    ) from error


class Model:
    """A loaded artefact on one CPU thread."""

    def __init__(self, artefact: bytes | Path) -> None:
        """Load it.

        Raises:
            ExportError: The file is not an ExecuTorch program of automed's, or it is broken. It is
                compared with its checksum first: the runtime may crash on what is not a program.
        """
        name, content = archive.name_and_content(artefact)
        self.facts = facts(content, name)
        runtime = _runtime()
        try:
            with quiet():
                self._program = runtime.load_program(content)  # kept: the method reads its bytes
                self._method = self._program.load_method("forward")
        except Exception as error:
            raise ExportError(
                f"{name} is a program that ExecuTorch cannot load: {first_line(error)}"
            ) from error
        self._rehearsal: list[torch.Tensor] = []

    def __call__(self, *raw: NDArray[Any]) -> NDArray[np.float32]:
        """The graph's first output for one sample, each input (1, C, *size)."""
        return np.asarray(self._run(raw)[0], dtype=np.float32)

    def outputs(self, *raw: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """All that the graph returns for one sample, by name."""
        return dict(zip(self.facts["outputs"], self._run(raw), strict=True))

    def rehearse(self) -> None:
        """One inference on a made-up input; nothing but the runtime's own work, to be timed."""
        if not self._rehearsal:
            stream = torch.Generator().manual_seed(0)
            shapes = self.facts["inputs"].values()
            self._rehearsal = [torch.randn(shape, generator=stream) for shape in shapes]
        self._method.execute(self._rehearsal)

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says of itself."""
        return dict(self.facts["metadata"])

    def _run(self, raw: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        given = [torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32)) for x in raw]
        return [answer.numpy() for answer in self._method.execute(given)]


def packed(program: bytes, metadata: Mapping[str, str], **facts: Any) -> bytes:
    """A program with its metadata in a ZIP archive behind it, which the runtime does not read."""
    content = io.BytesIO(program)
    checked = {**facts, "bytes": len(program), "sha256": hashlib.sha256(program).hexdigest()}
    with zipfile.ZipFile(content, "a") as file:
        for member, value in ((METADATA, dict(metadata)), (FACTS, checked)):
            file.writestr(zipfile.ZipInfo(member), json.dumps(value))  # of 1980: no clock
    return content.getvalue()


def facts(artefact: bytes, name: str = "model") -> dict[str, Any]:
    """What was packed beside a program, its metadata under "metadata".

    Raises:
        ExportError: It is not such a file, or not as it was written.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(artefact)) as file:
            known = json.loads(file.read(FACTS))
            known["metadata"] = json.loads(file.read(METADATA))
        if hashlib.sha256(artefact[: known["bytes"]]).hexdigest() == known["sha256"]:
            return dict(known)
    except Exception as error:
        raise ExportError(f"{name} is no ExecuTorch program that automed wrote") from error
    raise ExportError(f"{name} is broken: its program is not the one that was written")


def missing_kernels(operators: Sequence[str]) -> list[str]:
    """Those of some operators that the runtime has no kernel for."""
    return sorted(set(operators) - _runtime().operator_registry.operator_names)


def first_line(error: Exception) -> str:
    """What an exception says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@cache
def _runtime() -> Runtime:
    """The runtime on one thread; set once, since programs hold on to the pool they began with."""
    with quiet():
        portable_lib._unsafe_reset_threadpool(1)
        return Runtime.get()
