"""The study behind a search: what comes back, what is refused, and who else can read it."""

import json
import os
import sqlite3
import time
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna
import pytest
from optuna.trial import TrialState

from automed.errors import RunError
from automed.record import STUDY_FILE, Record
from automed.space import Choice, Integer, Real, Space
from automed.task import Direction
from automed.trial import BASELINE, Outcome, Trial

OBJECTIVES: dict[str, Direction] = {"auc": "maximize", "latency_ms": "minimize"}
SETTINGS: dict[str, Any] = {"plan": {"seed": 3, "window": [-1000.0, 400.0]}, "data": "abc"}
SPACE: Space = {
    "family": Choice(("vgg", "resnet")),
    "width": Integer(4, 32, 4),
    "widening": Choice((1.0, 1.5, 2.0)),
    "separable": Choice((True, False)),
    "dropout": Real(0.0, 0.3),
}
POINT = {"family": "vgg", "width": 8, "widening": 1.0, "separable": False, "dropout": 0.1}
NOTHING_YET = Outcome(costs={"latency_ms": 2.0}, graph="g")
PAUSED = Outcome(
    scores={"auc": 0.7}, costs={"latency_ms": 2.0}, violations={"latency_ms": -0.2}, epochs=1
)
COMPLETE = Outcome(
    scores={"auc": 0.9, "accuracy": 0.8},
    costs={"latency_ms": 2.0, "params": 1000},
    violations={"latency_ms": -0.2},
    epochs=3,
    finished=True,
    curve=({"epoch": 1, "auc": 0.7}, {"epoch": 2, "auc": 0.9}),
    graph="g",
    device="cpu",
    seconds={"train": 1.5},
    checkpoint=b"weights",
)
INFEASIBLE = Outcome(costs={"latency_ms": 9.0}, violations={"latency_ms": 2.6, "macs": -0.5})
FAILED = Outcome(failure="out of memory")


def trial(number: int, epochs: int = 3, **point: Any) -> Trial:
    full = {**POINT, **point}
    return Trial(number, str(full["family"]), full, epochs, name=f"{full['family']}-{number:03d}")


def exact(rows: Iterable[tuple[Trial, Outcome]]) -> list[str]:
    """Rows down to the types of their values, which == does not tell apart."""
    return [
        json.dumps([t.number, t.family, dict(t.point), t.epochs, t.origin, t.name, o.facts()])
        for t, o in rows
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "one"


@pytest.fixture
def record(folder: Path) -> Record:
    return Record.create(folder, "lung-ct", OBJECTIVES, SETTINGS)


def study(folder: Path) -> optuna.Study:
    """What anyone sees who has Optuna and the file."""
    return optuna.load_study(study_name=None, storage=f"sqlite:///{folder / STUDY_FILE}")


def test_rows_come_back_in_the_order_of_their_numbers(record: Record, folder: Path) -> None:
    rows = [
        (trial(2, family="resnet", width=32, separable=True, widening=2.0), COMPLETE),
        (trial(0, 0), NOTHING_YET),
        (trial(4, dropout=0.0), FAILED),
        (trial(1, 1), PAUSED),
        (trial(3, dropout=0.3), INFEASIBLE),
    ]
    for t, outcome in rows:
        record.write(t, outcome, SPACE)
    in_order = sorted(rows, key=lambda row: row[0].number)
    for seen in (record, Record.open(folder)):
        assert list(seen.rows()) == in_order
        assert exact(seen.rows()) == exact(in_order)
        assert seen.settings == SETTINGS
        assert list(seen.baselines()) == []


def test_baselines_come_back_in_the_order_of_their_numbers(record: Record, folder: Path) -> None:
    rows = [
        (Trial(0, "vgg", {"width": 100, "note": (1, 2)}, 3, BASELINE, "z-large"), COMPLETE),
        (Trial(1, "vgg", {"width": 3}, 3, BASELINE, "a-small"), FAILED),
        (Trial(2, "vgg", {"width": 5}, 3, BASELINE, "m-medium"), COMPLETE),
    ]
    for t, outcome in reversed(rows):
        record.write(t, outcome, SPACE)
    for seen in (record, Record.open(folder)):
        assert exact(seen.baselines()) == exact(rows)
        assert list(seen.rows()) == []
        assert seen.checkpoint(rows[0][0]) == b"weights"


def test_a_trial_goes_on_in_its_own_row(record: Record, folder: Path) -> None:
    record.write(trial(0, 0), NOTHING_YET, SPACE)
    record.write(trial(1, 0, width=16), NOTHING_YET, SPACE)
    later = Record.open(folder)  # a resumed search finds the row as well
    for epochs, outcome in ((1, PAUSED), (3, COMPLETE)):
        later.write(trial(1, epochs, width=16), outcome, SPACE)
    assert list(later.rows()) == [
        (trial(0, 0), NOTHING_YET),
        (trial(1, 3, width=16), COMPLETE),
    ]
    waiting, done = study(folder).get_trials()
    assert (waiting.state, done.state) == (TrialState.RUNNING, TrialState.COMPLETE)
    assert done.values == [0.9, 2.0]


def test_close_prunes_what_nobody_will_continue(record: Record, folder: Path) -> None:
    for number, outcome in enumerate([COMPLETE, PAUSED, NOTHING_YET, INFEASIBLE, FAILED]):
        record.write(trial(number), outcome, SPACE)
    before = exact(record.rows())
    record.close()
    assert [t.state for t in study(folder).get_trials()] == [
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.PRUNED,
        TrialState.PRUNED,
        TrialState.FAIL,
    ]
    assert exact(Record.open(folder).rows()) == before
    assert [o.state for _, o in record.rows()] == [
        *("complete", "paused", "lowered", "infeasible", "failed")
    ]


def test_checkpoints_come_back_and_the_latest_counts(record: Record, folder: Path) -> None:
    record.write(trial(0, 1), Outcome(epochs=1, checkpoint=b"first"), SPACE)
    assert record.checkpoint(trial(0, 1)) == b"first"
    record.write(trial(0, 3), COMPLETE, SPACE)
    assert Record.open(folder).checkpoint(trial(0, 3)) == b"weights"
    assert not list(folder.rglob("*.tmp"))
    with pytest.raises(RunError, match=r"lacks checkpoints/vgg-007\.pt"):
        record.checkpoint(trial(7))


def test_no_row_without_its_checkpoint(record: Record, folder: Path) -> None:
    (folder / "checkpoints").rmdir()
    for t in (trial(0), Trial(0, "vgg", {"width": 3}, 3, BASELINE, "small")):
        with pytest.raises(OSError, match="checkpoints"):
            record.write(t, COMPLETE, SPACE)
    assert list(record.rows()) == []
    assert list(record.baselines()) == []


def test_a_row_that_cannot_be_written_leaves_its_checkpoint(record: Record) -> None:
    with pytest.raises(KeyError, match="auc"):
        record.write(trial(0), Outcome(finished=True, checkpoint=b"weights"), SPACE)
    assert list(record.rows()) == []
    assert record.checkpoint(trial(0)) == b"weights"


def test_a_taken_folder_is_refused(record: Record, folder: Path) -> None:
    record.write(trial(0), COMPLETE, SPACE)
    with pytest.raises(RunError, match=r"holds a run already; name another --out or resume it"):
        Record.create(folder, "lung-ct", OBJECTIVES, SETTINGS)
    assert len(list(record.rows())) == 1


def test_of_two_that_make_a_record_at_once_one_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def late(source: Path, target: Path) -> None:
        target.write_bytes(b"another's")
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(RunError, match="holds a run already"):
        Record.create(folder, "toy", {"auc": "maximize"}, {})
    assert (folder / STUDY_FILE).read_bytes() == b"another's"


def test_a_folder_with_other_files_is_used(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    Record.create(folder, "lung-ct", OBJECTIVES, SETTINGS)
    assert (folder / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["with space", "größe", "50%", "50%3F", "a#b", "what?", "a&b=c"])
def test_folders_may_have_any_name(tmp_path: Path, name: str) -> None:
    record = Record.create(tmp_path / name, "lung-ct", OBJECTIVES, SETTINGS)
    record.write(trial(0), COMPLETE, SPACE)
    assert (tmp_path / name / STUDY_FILE).is_file()
    assert list(Record.open(tmp_path / name).rows()) == [(trial(0), COMPLETE)]


def test_where_nothing_can_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "run", Path("/proc/automed-run")):
        with pytest.raises(RunError, match=f"cannot write to {place}: .*; name another --out"):
            Record.create(place, "lung-ct", OBJECTIVES, SETTINGS)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"gone is no run folder: it holds no study\.db"):
        Record.open(tmp_path / "gone")
    for name, content in (("empty", b""), ("garbage", b"garbage" * 1000)):
        (tmp_path / name).mkdir()
        (tmp_path / name / STUDY_FILE).write_bytes(content)
        with pytest.raises(RunError, match=rf"{name} is no run folder: study\.db cannot be read"):
            Record.open(tmp_path / name)


def test_someone_elses_study_is_refused(tmp_path: Path) -> None:
    optuna.create_study(storage=f"sqlite:///{tmp_path / STUDY_FILE}")
    with pytest.raises(RunError, match="is no run folder"):
        Record.open(tmp_path)


def test_a_torn_study_is_refused(record: Record, folder: Path) -> None:
    record.write(trial(0), COMPLETE, SPACE)
    content = (folder / STUDY_FILE).read_bytes()
    (folder / STUDY_FILE).write_bytes(content[: len(content) // 3])
    with pytest.raises(RunError, match="cannot be read"):
        Record.open(folder)


def test_plain_optuna_reads_it(record: Record, folder: Path) -> None:
    record.write(trial(0), COMPLETE, SPACE)
    record.write(trial(1, width=16), INFEASIBLE, SPACE)
    record.write(trial(2, width=24), FAILED, SPACE)
    seen = study(folder)
    assert seen.study_name == "lung-ct"
    assert seen.metric_names == list(OBJECTIVES)
    assert [d.name.lower() for d in seen.directions] == list(OBJECTIVES.values())
    assert [t.number for t in seen.best_trials] == [0]
    complete, infeasible, failed = seen.get_trials()
    assert complete.params == POINT
    assert complete.distributions.keys() == SPACE.keys()
    assert complete.constraints == COMPLETE.violations
    assert (infeasible.state, failed.state) == (TrialState.PRUNED, TrialState.FAIL)
    assert infeasible.constraints == INFEASIBLE.violations
    assert json.loads(failed.user_attrs["outcome"])["failure"] == "out of memory"
    assert len(seen.trials_dataframe()) == 3


def test_two_hundred_rows_cost_little(record: Record, folder: Path) -> None:
    def seconds(numbers: range) -> float:
        begun = time.process_time()
        for number in numbers:
            record.write(trial(number, width=4 + 4 * (number % 8)), COMPLETE, SPACE)
        return (time.process_time() - begun) / len(numbers)

    early, _, late = seconds(range(30)), seconds(range(30, 170)), seconds(range(170, 200))
    assert early < 0.2
    assert late < 2.5 * early
    begun = time.process_time()
    assert len(list(Record.open(folder).rows())) == 200
    assert time.process_time() - begun < 3


def test_the_file_is_whole_while_it_is_written(record: Record, folder: Path) -> None:
    """A copy taken between two writes opens: nothing waits in a neighbouring journal."""
    record.write(trial(0), COMPLETE, SPACE)
    copy = folder.parent / "copy"
    copy.mkdir()
    (copy / STUDY_FILE).write_bytes((folder / STUDY_FILE).read_bytes())
    assert list(Record.open(copy).rows()) == [(trial(0), COMPLETE)]
    with sqlite3.connect(copy / STUDY_FILE) as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)


def test_a_study_appears_whole(tmp_path: Path) -> None:
    """Who watches a folder for its study, as a test or a dashboard does, never gets in the way."""
    folder = tmp_path / "one"
    met: list[Record] = []

    def watch() -> None:
        while not (folder / STUDY_FILE).exists():
            time.sleep(0.0005)
        met.append(Record.open(folder))

    watcher = Thread(target=watch)
    watcher.start()
    Record.create(folder, "lung-ct", OBJECTIVES, SETTINGS)
    watcher.join(timeout=60)
    assert [record.settings for record in met] == [SETTINGS]
    assert [path.name for path in folder.iterdir() if path.is_file()] == [STUDY_FILE]


def get(app: Any, path: str) -> tuple[str, bytes]:
    """One request to a WSGI application, in this process."""
    environ: dict[str, Any] = {"PATH_INFO": path, "wsgi.input": BytesIO()}
    setup_testing_defaults(environ)
    told: list[str] = []
    body = b"".join(app(environ, lambda status, headers, _=None: told.append(status)))
    return told[0], body


@pytest.mark.slow
def test_optuna_dashboard_shows_it(record: Record, folder: Path) -> None:
    import optuna_dashboard

    for number, outcome in enumerate([COMPLETE, PAUSED, INFEASIBLE, FAILED]):
        record.write(trial(number), outcome, SPACE)
    record.write(Trial(0, "vgg", {"width": 3}, 3, BASELINE, "small"), COMPLETE, SPACE)
    app = optuna_dashboard.wsgi(f"sqlite:///{folder / STUDY_FILE}")

    status, body = get(app, "/api/studies")
    assert status.startswith("200"), body
    (summary,) = json.loads(body)["study_summaries"]
    assert summary["study_name"] == "lung-ct"
    assert summary["directions"] == list(OBJECTIVES.values())

    status, body = get(app, f"/api/studies/{summary['study_id']}")
    assert status.startswith("200"), body
    detail = json.loads(body)
    assert detail["objective_names"] == list(OBJECTIVES)
    assert [t["state"] for t in detail["trials"]] == ["Complete", "Running", "Pruned", "Fail"]
    assert {p["name"] for p in detail["trials"][0]["params"]} == SPACE.keys()
    assert get(app, "/dashboard/")[0].startswith("200")
