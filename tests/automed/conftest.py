"""One tiny run by the real command, shared by everything that needs a finished run folder."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

TINY = (
    *("--data", "phantom:lung-ct?patients=30&seed=1"),
    *("--family", "vgg", "--family", "mobile"),
    *("--trials", "3", "--epochs", "1", "--workers", "1", "--seed", "3"),
    *("--baselines", "cnn5,logistic-regression"),
)


@dataclass(frozen=True)
class Finished:
    folder: Path
    stdout: str
    stderr: str
    code: int


def automed(*arguments, cwd=None, timeout=540):
    """The installed command in a process of its own, at 100 columns and without a terminal."""
    done = subprocess.run(
        [sys.executable, "-m", "automed", *map(str, arguments)],
        cwd=cwd,
        timeout=timeout,
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "100"},
        check=False,
    )
    return Finished(Path(cwd or "."), done.stdout, done.stderr, done.returncode)


@pytest.fixture(scope="session")
def tiny_options():
    return TINY


@pytest.fixture(scope="session")
def command():
    return automed


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny") / "run"
    done = automed("search", *TINY, "--out", folder)
    assert done.code == 0, done.stderr
    return Finished(folder, done.stdout, done.stderr, done.code)


@pytest.fixture
def cli(monkeypatch, capsys):
    """The command in this process: code, stdout and stderr; quicker where nothing is trained."""
    from automed.cli import main

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["automed", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "100")
        capsys.readouterr()
        try:
            code = main()
        except SystemExit as end:
            code = end.code or 0
        shown = capsys.readouterr()
        return Finished(Path(), shown.out, shown.err, code)

    return call
