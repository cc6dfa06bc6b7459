"""One tiny run by the real command, shared by everything that needs a finished run folder."""

import os
import subprocess
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from automed import api, registry

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


class Inline:
    """Runs trials in this process, so that a test pays for torch once."""

    def run(self, ask, evaluate, tell):
        evaluate.warm(0)
        while (trial := ask()) is not None:
            tell(trial, evaluate(trial))


@pytest.fixture(scope="module")
def inline():
    """The name of an executor for tests that call the API."""
    module = types.ModuleType("inline_executor")
    module.make = lambda resources: Inline()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, module.__name__, module)
        patch.setitem(registry.ROWS["executor"], "inline", module.__name__)
        registry.places.cache_clear()
        yield
    registry.places.cache_clear()


@pytest.fixture(scope="module")
def searched(tmp_path_factory, inline):
    """Searches the arrays of an .npz by the text of a task file, in this process."""

    def search(task, arrays, **options):
        folder = tmp_path_factory.mktemp("searched")
        (folder / "task.yaml").write_text(task)
        np.savez(folder / "data.npz", **arrays)
        return api.search(
            task=str(folder / "task.yaml"),
            data=folder / "data.npz",
            out=folder / "run",
            workers=1,
            executor="inline",
            **options,
        )

    return search


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
