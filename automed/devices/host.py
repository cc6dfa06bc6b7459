"""This machine: models run in fresh processes of its Python, one session at a time."""

import subprocess
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from automed.devices.session import OUTPUTS, RUNNER, Answers, Machine, Session, blame
from automed.errors import DeviceError
from automed.measure import latency

ADDRESS = ""


def make(address: str) -> Machine:
    """See `Maker.make`."""
    if address:
        raise DeviceError(f"device host takes no address, given {address!r}; name it host")
    return Machine("host CPU", _carry_out)


def called(address: str) -> str:
    """See `Maker.called`."""
    return address


def found() -> Sequence[str]:
    """This machine is always there."""
    return [""]


def _carry_out(session: Session) -> Answers:
    alone = latency.exclusive() if session.timed else nullcontext()
    with TemporaryDirectory() as name, alone:
        folder = Path(name)
        for file, content in session.content.items():
            (folder / file).write_bytes(content)
        printed = [_started(folder, arguments) for arguments in session.starts]
        outputs = folder / OUTPUTS
        return Answers(printed, outputs.read_bytes() if outputs.exists() else b"")


def _started(folder: Path, arguments: Sequence[str]) -> str:
    command = [sys.executable, RUNNER, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise blame("host", done.stderr, done.returncode)
    return done.stdout.splitlines()[-1]
