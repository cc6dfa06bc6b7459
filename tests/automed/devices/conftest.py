"""Models to be timed, and a board: an OpenSSH server on this machine with keys of its own."""

import getpass
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from automed.devices import Artefact
from automed.exporters import onnx_file


@pytest.fixture(autouse=True)
def _own_lock(tmp_path, monkeypatch):
    """A lock of this test's own: it must not stall a search that runs on this machine."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def model():
    """A small convolutional network; one input (1, 1, 48, 48)."""
    return Artefact(onnx_file.reference(), ".onnx")


@pytest.fixture
def samples():
    return np.random.default_rng(0).normal(0, 1, (3, 1, 48, 48)).astype(np.float32)


@dataclass(frozen=True)
class Board:
    """A server, how it is named, and what its login finds on the PATH."""

    name: str
    programs: Path
    folder: Path

    def python(self, text):
        """Replace the board's python3 by a shell script; None takes it away."""
        path = self.programs / "python3"
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(f"#!/bin/sh\n{text}\n")
            path.chmod(0o700)

    def left(self):
        """Folders that automed made there and has not removed."""
        return sorted((self.folder / "tmp").iterdir())


@pytest.fixture
def board(tmp_path, monkeypatch):
    server = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if server is None or shutil.which("ssh") is None:
        pytest.skip("no sshd is installed: apt-get install openssh-server openssh-client")
    folder = tmp_path / "board"
    programs = folder / "bin"
    programs.mkdir(parents=True)
    (folder / "tmp").mkdir()
    for name in ("sh", "mkdir", "tar", "cat", "kill", "rm"):
        (programs / name).symlink_to(shutil.which(name) or "/bin/true")
    for key in ("host", "user"):
        keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key]
        subprocess.run(keygen, check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/user.pub\nStrictModes no\nUsePAM no\n"
        f"PermitRootLogin yes\nPasswordAuthentication no\n"
        f"SetEnv PATH={programs} HOME={folder} TMPDIR={folder}/tmp\n"
    )
    key = (folder / "host.pub").read_text()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {key}")
    (folder / "ssh_config").write_text(
        f"Host *\nIdentityFile {folder}/user\nIdentitiesOnly yes\n"
        f"UserKnownHostsFile {folder}/known_hosts\nGlobalKnownHostsFile /dev/null\n"
    )
    client = folder / "client" / "ssh"  # OpenSSH's own, with a configuration of this test's
    client.parent.mkdir()
    client.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/ssh_config "$@"\n')
    client.chmod(0o700)
    monkeypatch.setenv("PATH", f"{client.parent}:{os.environ['PATH']}")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd, as root, locks its children in
    with (folder / "log").open("w") as log:
        running = subprocess.Popen([server, "-D", "-e", "-f", folder / "sshd_config"], stderr=log)
    made = Board(f"ssh:{getpass.getuser()}@127.0.0.1:{port}", programs, folder)
    made.python(f'exec {sys.executable} "$@"')
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield made
    running.terminate()
    running.wait(10)
