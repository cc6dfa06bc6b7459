"""Boards that OpenSSH reaches: everything is copied there, run by its python3 and removed."""

import io
import re
import secrets
import shlex
import subprocess
import tarfile
from collections.abc import Sequence
from functools import partial

from automed.devices.session import OUTPUTS, RUNNER, Answers, Machine, Session, blame
from automed.errors import DeviceError, UnreachableError

ADDRESS = "USER@BOARD[:PORT]"
TIMEOUT_S = 10
_ADDRESS = re.compile(r"(?P<target>(?:\w[\w.-]*@)?\w[\w.-]*)(?::(?P<port>\d{1,5}))?")
_UNREACHED, _NOT_FOUND = 255, 127


def make(address: str) -> Machine:
    """See `Maker.make`."""
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise DeviceError(f"no address of a board: {address!r}; name it ssh:{ADDRESS}")
    port = ["-p", match["port"]] if match["port"] else []
    options = ["-T", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={TIMEOUT_S}"]
    options += ["-o", f"ServerAliveInterval={TIMEOUT_S}", *port]
    board = match["target"].rpartition("@")[2]
    return Machine(board, partial(_carry_out, board, [*options, match["target"]]))


def called(address: str) -> str:
    """The board's own name, or its number, and its port; see `Maker.called`."""
    host, colon, port = address.rpartition("@")[2].partition(":")
    return f"{host if re.fullmatch(r'[0-9.]+', host) else host.partition('.')[0]}{colon}{port}"


def found() -> Sequence[str]:
    """None: a board is named by who owns it."""
    return []


def _carry_out(board: str, options: Sequence[str], session: Session) -> Answers:
    folder = f'"${{TMPDIR:-/tmp}}"/automed-{secrets.token_hex(8)}'
    reached = True
    try:
        make_folder = f"umask 077 && mkdir {folder} && tar -xf - -C {folder}"
        _ssh(board, options, make_folder, _packed(session))
        printed = []
        for arguments in session.starts:
            run = f"python3 {RUNNER} {shlex.join(arguments)} & echo $! > pid; wait $!"
            start = f"cd {folder} && {{ {run}; }}"  # with its number it can be ended early
            printed.append(_ssh(board, options, start).decode().splitlines()[-1])
        return Answers(printed, _ssh(board, options, f"cat {folder}/{OUTPUTS} 2>/dev/null || :"))
    except UnreachableError:
        reached = False
        raise
    finally:
        if reached:
            _call(options, f"kill $(cat {folder}/pid) 2>/dev/null; rm -rf {folder}")


def _ssh(board: str, options: Sequence[str], command: str, sent: bytes = b"") -> bytes:
    done = _call(options, command, sent)
    if done.returncode == 0:
        return done.stdout
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode == _UNREACHED:
        reason = (said.splitlines() or ["no answer"])[-1].strip()
        told = f"{board} cannot be reached: {reason}; try: ssh {shlex.join(options)} true"
        raise UnreachableError(told)
    if done.returncode == _NOT_FOUND:
        raise DeviceError(f"{board} has no python3 where ssh finds programs; install it there")
    raise blame(board, said, done.returncode)


def _call(
    options: Sequence[str], command: str, sent: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    call = ["ssh", *options, f"sh -c {shlex.quote(command)}"]  # whatever the login shell is
    try:
        return subprocess.run(call, input=sent, capture_output=True, check=False)
    except FileNotFoundError:
        raise UnreachableError("there is no ssh here; install OpenSSH's client") from None


def _packed(session: Session) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in session.content.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
