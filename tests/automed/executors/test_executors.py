"""One contract for every executor: processes and crashes are theirs alone."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from automed import registry
from automed.executors import Resources
from automed.trial import Trial

HERE = Path(__file__).parent
NEEDS_RAY = {"ray"}
WORKERS = 2


@pytest.fixture(scope="module", autouse=True)
def _importable():
    """Workers import the evaluations by name, wherever they are started."""
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", path)
        patch.syspath_prepend(str(HERE))
        yield


@pytest.fixture(scope="module")
def cluster(_importable):
    """One Ray for all tests of this module; the executor joins what is there."""
    import ray

    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(
    params=[
        pytest.param(name, marks=pytest.mark.ray if name in NEEDS_RAY else ())
        for name in registry.names("executor")
    ]
)
def executor(request):
    if request.param in NEEDS_RAY:
        request.getfixturevalue("cluster")
    return registry.part("executor", request.param).make(Resources(workers=WORKERS))


@pytest.fixture
def scripted(tmp_path):
    from evaluations import Scripted

    return Scripted(str(tmp_path))


class Script:
    """Asks for trials of given points, and remembers what was told."""

    def __init__(self, *points, told=None):
        self.trials = [Trial(n, "it", point, 1) for n, point in enumerate(points)]
        self.asked, self.told, self._on_tell = [], {}, told

    def ask(self):
        if len(self.asked) == len(self.trials):
            return None
        self.asked.append(self.trials[len(self.asked)])
        return self.asked[-1]

    def tell(self, trial, outcome):
        assert trial.number not in self.told, "told twice"
        self.told[trial.number] = (trial, outcome)
        if self._on_tell is not None:
            self._on_tell(trial, outcome)

    @property
    def outcomes(self):
        return [self.told[number][1] for number in sorted(self.told)]


def pids(folder):
    """Every process that was warmed or began a trial."""
    return {int(p.name[5:]) for p in folder.glob("warm-*")} | {
        int(p.read_text()) for p in folder.glob("start-*")
    }


def alive(pid):
    with contextlib.suppress(OSError, IndexError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z"
    return False


def all_gone(folder, seconds=10.0):
    end = time.monotonic() + seconds
    while any(map(alive, pids(folder))) and time.monotonic() < end:
        time.sleep(0.1)
    return not any(map(alive, pids(folder)))


def test_every_trial_is_told_once(executor, scripted, tmp_path):
    script = Script(*({} for _ in range(7)))
    executor.run(script.ask, scripted, script.tell)
    assert sorted(script.told) == list(range(7))
    for trial, outcome in script.told.values():
        assert (trial.family, trial.point) == ("it", {})
        assert outcome.scores["auc"] == trial.number / 100
        assert (outcome.failure, outcome.finished) == (None, True)
        assert outcome.checkpoint == b"x" * 100_000
    assert all(outcome.costs["pid"] != os.getpid() for outcome in script.outcomes)
    assert all_gone(tmp_path)


def test_nothing_to_ask_ends_at_once(executor, scripted, tmp_path):
    script = Script()
    executor.run(script.ask, scripted, script.tell)
    assert script.told == {}
    assert all_gone(tmp_path)


def test_ask_meets_what_was_told_before(executor, scripted):
    """A strategy is never asked further ahead than there are workers."""
    script, ahead = Script(*({} for _ in range(8))), []

    def ask():
        ahead.append(len(script.asked) - len(script.told))
        return script.ask()

    executor.run(ask, scripted, script.tell)
    assert max(ahead) <= WORKERS
    assert len(script.told) == 8


def test_trials_run_side_by_side_in_warmed_processes(executor, scripted, tmp_path):
    script = Script(*({"seconds": 2.0} for _ in range(8)))  # a second actor needs some to start
    executor.run(script.ask, scripted, script.tell)
    workers = {int(outcome.costs["pid"]) for outcome in script.outcomes}
    warmed = {int(p.name[5:]) for p in tmp_path.glob("warm-*")}
    assert len(workers) == WORKERS
    assert workers <= warmed


@pytest.mark.parametrize("behaviour", ["raise", "kill", "exit"])
def test_a_broken_trial_fails_and_the_others_go_on(executor, scripted, tmp_path, behaviour):
    script = Script({}, {"behaviour": behaviour}, {}, {"behaviour": behaviour}, {}, {}, {})
    executor.run(script.ask, scripted, script.tell)
    assert sorted(script.told) == list(range(7))
    states = [outcome.state for outcome in script.outcomes]
    assert states == ["failed" if n in (1, 3) else "complete" for n in range(7)]
    for outcome in (script.outcomes[1], script.outcomes[3]):
        assert "died" in outcome.failure
        assert "/" not in outcome.failure
    assert all_gone(tmp_path)


def test_every_trial_may_break(executor, scripted, tmp_path):
    script = Script(*({"behaviour": "kill"} for _ in range(4)))
    executor.run(script.ask, scripted, script.tell)
    assert [outcome.state for outcome in script.outcomes] == ["failed"] * 4
    assert all_gone(tmp_path)


class Stop(Exception):  # noqa: N818 - not an error of the code under test
    pass


@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt])
def test_a_raising_tell_ends_the_run(executor, scripted, tmp_path, error):
    def told(trial, outcome):
        raise error("enough")

    script = Script({}, *({"seconds": 0.2} for _ in range(20)), told=told)
    with pytest.raises(error, match="enough"):
        executor.run(script.ask, scripted, script.tell)
    assert len(script.told) < 20
    assert all_gone(tmp_path)


def test_a_raising_ask_ends_the_run(executor, scripted, tmp_path):
    script = Script(*({} for _ in range(3)))

    def ask():
        if len(script.asked) == 3:
            raise Stop("enough")
        return script.ask()

    with pytest.raises(Stop, match="enough"):
        executor.run(ask, scripted, script.tell)
    assert all_gone(tmp_path)


def test_an_end_does_not_wait_for_long_trials(executor, scripted, tmp_path):
    def told(trial, outcome):
        raise KeyboardInterrupt

    script = Script({"seconds": 1.0}, {"seconds": 100.0}, told=told)
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        executor.run(script.ask, scripted, script.tell)
    assert time.monotonic() - start < 60
    assert all_gone(tmp_path)


def test_an_executor_runs_again(executor, scripted, tmp_path):
    for _ in range(2):
        script = Script({}, {})
        executor.run(script.ask, scripted, script.tell)
        assert len(script.told) == 2


def test_a_worker_that_cannot_warm_up_still_answers(executor):
    from evaluations import Unwarmable

    script = Script({}, {})
    executor.run(script.ask, Unwarmable(), script.tell)
    assert [o.failure for o in script.outcomes] == ["no data"] * 2


def local(workers):
    return registry.part("executor", "local").make(Resources(workers=workers))


def test_workers_are_numbered_and_warmed_before_their_first_trial(scripted, tmp_path):
    script = Script(*({"seconds": 0.3} for _ in range(6)))
    local(3).run(script.ask, scripted, script.tell)
    warmed = {int(p.name[5:]): p for p in tmp_path.glob("warm-*")}
    assert sorted(p.read_text() for p in warmed.values()) == ["0", "1", "2"]
    for start in tmp_path.glob("start-*"):
        assert warmed[int(start.read_text())].stat().st_mtime_ns <= start.stat().st_mtime_ns


def test_a_replaced_worker_keeps_its_number(scripted, tmp_path):
    script = Script({"behaviour": "kill"}, {}, {})
    local(1).run(script.ask, scripted, script.tell)
    assert [p.read_text() for p in tmp_path.glob("warm-*")] == ["0", "0"]
    assert [o.state for o in script.outcomes] == ["failed", "complete", "complete"]


def test_the_reason_names_the_signal(scripted):
    script = Script({"behaviour": "kill"}, {"behaviour": "exit"})
    local(1).run(script.ask, scripted, script.tell)
    assert [o.failure for o in script.outcomes] == [
        "the worker died (SIGKILL, perhaps out of memory)",
        "the worker died (exit code 3)",
    ]


def test_no_worker_outlives_a_killed_driver(tmp_path):
    driver = subprocess.Popen([sys.executable, str(HERE / "driver.py"), str(tmp_path)])
    try:
        end = time.monotonic() + 60
        while len(list(tmp_path.glob("start-*"))) < 2 and time.monotonic() < end:
            time.sleep(0.1)
        workers = pids(tmp_path)
        assert len(workers) == 2
        assert all(map(alive, workers))
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait(30)
    assert all_gone(tmp_path, seconds=5.0)


def test_ctrl_c_ends_the_driver_and_its_workers(tmp_path):
    """The signal goes to the whole group, as a terminal sends it."""
    driver = subprocess.Popen(
        [sys.executable, str(HERE / "driver.py"), str(tmp_path)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    end = time.monotonic() + 60
    while len(list(tmp_path.glob("start-*"))) < 2 and time.monotonic() < end:
        time.sleep(0.1)
    os.killpg(driver.pid, signal.SIGINT)
    _, said = driver.communicate(timeout=30)
    assert said.rstrip().endswith("KeyboardInterrupt")
    assert said.count("Traceback") == 1, "workers stay silent"
    assert all_gone(tmp_path, seconds=5.0)
