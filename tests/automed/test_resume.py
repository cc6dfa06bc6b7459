"""A driver that is killed or interrupted loses what was in flight, and nothing else."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from automed.errors import RunError
from automed.record import Record
from automed.report.results import Results

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")

TRIALS = 3
OPTIONS = (
    *("--data", "phantom:lung-ct?patients=30&seed=1", "--family", "vgg", "--baselines", "cnn5"),
    *("--trials", str(TRIALS), "--epochs", "1", "--workers", "2", "--seed", "5"),
)
START = (
    "import signal, sys\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a CI job may ignore it
    "from automed.cli import main\n"
    "sys.exit(main())\n"
)


@contextmanager
def driver(*arguments):
    """A search in a process group of its own, as a terminal starts it."""
    process = subprocess.Popen(
        [sys.executable, "-c", START, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        process.stderr.close()


def members(group):
    """(pid, start time) of the living processes of a session."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError, IndexError, ValueError):
                facts = (folder / "stat").read_text().rpartition(")")[2].split()
                if int(facts[3]) == group and facts[0] != "Z":
                    found.add((int(folder.name), facts[19]))
    return found


def all_gone(group, seconds=5.0):
    """Whether a session's processes have ended within the seconds a search is allowed."""
    end = time.monotonic() + seconds
    while members(group) and time.monotonic() < end:
        time.sleep(0.1)
    return not members(group)


def recorded(folder):
    """What the record holds by now, as plain values by name."""
    try:
        return {t.name: (dict(t.point), o.facts()) for t, o in Record.open(folder).rows()}
    except (RunError, KeyError):
        return {}


def wait_for(what, seconds, process):
    end = time.monotonic() + seconds
    while not (seen := what()):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)
    return seen


def assert_complete(folder, before):
    after = recorded(folder)
    assert len(after) == TRIALS
    assert {name: after[name] for name in before} == before
    results = Results.load(folder / "results.json")
    assert results.complete
    assert len(results.trials) == TRIALS
    assert all(model.sealed for model in results.models)
    for name in ("report.html", "pareto.csv", "trials.csv", "model-card.md"):
        assert (folder / name).is_file()
    assert not list(folder.rglob("*.tmp"))
    table = pd.read_csv(folder / "trials.csv")
    assert sorted(table["number"]) == sorted(set(table["number"]))


def test_a_killed_driver_leaves_no_worker_and_the_search_goes_on(command, tmp_path):
    folder = tmp_path / "run"
    with driver("search", *OPTIONS, "--out", folder) as process:
        wait_for(lambda: recorded(folder), 240, process)
        assert len(members(process.pid)) > 1
        process.kill()
        process.wait()
        assert all_gone(process.pid)
    before = recorded(folder)
    assert 0 < len(before) < TRIALS
    assert not (folder / "results.json").exists()
    told = command("report", folder)
    assert told.code == 2
    assert "automed resume" in told.stderr
    told = command("resume", folder)
    assert told.code == 0, told.stderr
    assert f"[{TRIALS}/{TRIALS}" in told.stdout
    assert "Take " in told.stdout
    assert_complete(folder, before)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A run folder as Ctrl-C leaves it, what was shown, and how long that took."""
    folder = tmp_path_factory.mktemp("interrupted") / "run"
    one = (*OPTIONS, "--baselines", "none", "--workers", "1")
    with driver("search", *one, "--out", folder) as process:
        wait_for(lambda: recorded(folder), 300, process)
        os.killpg(process.pid, signal.SIGINT)
        begun = time.monotonic()
        shown, errors = process.communicate(timeout=200)
        seconds = time.monotonic() - begun
        assert process.returncode in (0, 130), errors
        assert all_gone(process.pid)
    return folder, shown, errors, seconds


def test_an_interrupted_driver_reports_what_is_there(interrupted):
    folder, shown, errors, seconds = interrupted
    assert errors == "", "not even a word on semaphores that a worker left"
    assert f"automed resume {folder}" in shown
    assert "interrupted: stopping the workers" in shown
    assert seconds < 60, "twenty, where the cores are not busy with other things"
    results = Results.load(folder / "results.json")
    assert not results.complete
    assert 0 < len(results.trials) < TRIALS
    assert not any(model.sealed for model in results.models)
    assert "test_auc" not in (folder / "pareto.csv").read_text()
    assert "sealed" in (folder / "report.html").read_text()


@pytest.mark.slow
def test_an_interrupted_search_goes_on(interrupted, command):
    folder = interrupted[0]
    before = recorded(folder)
    told = command("resume", folder)
    assert told.code == 0, told.stderr
    assert_complete(folder, before)


def test_an_interruption_before_any_trial_has_ended_says_so(tmp_path):
    folder = tmp_path / "run"
    with driver("search", *OPTIONS, "--out", folder) as process:
        wait_for(lambda: (folder / "study.db").exists(), 240, process)
        time.sleep(1)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=120)
        assert all_gone(process.pid)
    if not recorded(folder):
        assert process.returncode in (2, 130)
        assert "Traceback" not in errors
        assert errors.startswith("automed: interrupted")
        assert errors.count("\n") == 1


def npz(folder, swapped=None):
    """Spots to be found, delivered in three parts, one of which may have got other pixels."""
    split = np.repeat(["train", "val", "test"], 20)
    labels = np.arange(60) % 2
    images = np.random.default_rng(0).integers(0, 200, (60, 16, 16)).astype(np.uint8)
    images[labels == 1, 4:12, 4:12] += 50
    images[split == swapped] += 1
    np.savez(folder / "images.npz", images=images, labels=labels, split=split)
    return folder / "images.npz"


def begun(folder, data):
    """A run folder as a search leaves it that was killed before its first trial ended."""
    from automed import registry
    from automed.data import Source, open_parts
    from automed.plan import Plan

    task = registry.task("lung-ct").changed(families=("vgg",), baselines=())
    plan = Plan(task=task, data=str(data), workers=1)
    parts = open_parts(Source(place=plan.data, hu_window=task.window))
    settings = {"plan": plan.settings(), "data": parts.digest()}
    Record.create(folder, task.name, task.objectives, settings)


@pytest.mark.parametrize("change", ["train", "val", "test", "gone"])
def test_data_that_changed_in_between_is_refused(cli, tmp_path, change):
    data = npz(tmp_path)
    begun(tmp_path / "run", data)
    if change == "gone":
        data.unlink()
    else:
        npz(tmp_path, swapped=change)
    told = cli("resume", tmp_path / "run")
    assert told.code == 2
    assert told.stderr.startswith("automed: ")
    assert told.stderr.count("\n") == 1
    assert ("no such file" if change == "gone" else "not those the search began with") in (
        told.stderr
    )


def test_a_copied_folder_resumes_too(cli, tiny_run, tmp_path):
    shutil.copytree(tiny_run.folder, tmp_path / "copy")
    (tmp_path / "copy" / "results.json").unlink()
    told = cli("resume", tmp_path / "copy")
    assert told.code == 0, told.stderr
    assert Results.load(tmp_path / "copy" / "results.json").complete
