import json
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from plotly.offline import get_plotlyjs

from automed import api, registry
from automed.earlier import known_latencies
from automed.errors import SpaceError, UnknownNameError
from automed.lowering import memo_key
from automed.record import Record
from automed.strategies.yardstick import numbers_at_random
from automed.task import Budget
from automed.timing import places
from automed.trial import BASELINE, Outcome, Trial

NODULE3D = (
    Path(__file__).parents[2].parent
    / "shared"
    / "data"
    / "lidc_nodule3d"
    / "lidc_nodule3d_trainval.npz"
)
CLINIC = "klinikum-beispielstadt"
PATIENTS = np.array([f"Mustermann_Erika_{number:04d}" for number in range(24)])
pytestmark = pytest.mark.usefixtures("inline")
NOISY = re.compile("latency|seconds")


class Watch:
    def __init__(self):
        self.began, self.finished, self.steps, self.headings = [], [], [], []

    def opened(self, plan, parts, folder, known):
        self.headings.append((plan.seed, len(parts.train), folder, known))

    def started(self, trial):
        self.began.append(trial.name)

    def ended(self, trial, outcome):
        self.finished.append((trial.name, outcome.state))

    def step(self, text):
        self.steps.append(text)


def clinic_file(folder, **changes):
    """Spots to be found, four images a patient, split by the clinic, patients by their names."""
    rng = np.random.default_rng(0)
    labels = np.arange(96) % 2
    images = rng.normal(100.0, 20.0, (96, 16, 16))
    images[labels == 1, 4:12, 4:12] += 6.0  # faint: scores must not all be perfect
    path = folder / CLINIC / "images.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {
        "images": images.clip(0, 255).astype(np.uint8),
        "labels": np.array(["benign", "malignant"])[labels],
        "patient": np.repeat(PATIENTS, 4),
        "split": np.repeat(["train", "val", "test"], [56, 20, 20]),
    }
    np.savez(path, **columns | changes)
    return path


def searched(data, out, **options):
    given = {"trials": 2, "epochs": 2, "seed": 3, "workers": 1, "families": ["vgg"]}
    given |= {"baselines": ["cnn5"], "executor": "inline", "strategy": "optuna:tpe"}
    return api.search(data=data, out=out, **given | options)


@pytest.fixture(scope="module")
def looked_on():
    return Watch()


@pytest.fixture(scope="module")
def run(tmp_path_factory, looked_on, inline):
    folder = tmp_path_factory.mktemp("api")
    return searched(clinic_file(folder), folder / "run", watch=looked_on)


def quiet(folder):
    """The table of trials without what a clock says."""
    table = pd.read_csv(folder / "trials.csv")
    return table[[name for name in table if not NOISY.search(name)]]


def test_search_is_callable_whatever_was_imported_before():
    code = (
        "import automed, automed.report, automed.api, automed.cli\n"
        "from automed import report, api\n"
        "assert callable(automed.search) and automed.search is api.search\n"
        "assert automed.__all__ == ['search']\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_front_is_a_table_of_models(run):
    front = run.front
    assert isinstance(front, pd.DataFrame)
    wanted = {"name", "family", "chosen", "val_auc", "val_auc_low", "val_auc_high", "test_auc"}
    wanted |= {"latency_ms", "latency_p95_ms", "size_bytes", "params", "macs", "artefact"}
    assert wanted <= set(front.columns)
    assert set(front["origin"]) == {"search"}
    assert front["latency_ms"].is_monotonic_increasing
    assert front["val_auc"].is_monotonic_increasing
    assert front["chosen"].sum() == 1
    for artefact in front["artefact"]:
        assert (run.folder / artefact).is_file()


def test_the_best_model_is_the_chosen_one(run):
    (chosen,) = run.front.loc[run.front["chosen"], "name"]
    assert run.best.name == chosen
    assert run.best.verified["samples"] == 20


def test_export_and_report_return_what_they_wrote(run, tmp_path):
    assert run.export(tmp_path / "m.onnx") == tmp_path / "m.onnx"
    assert run.export(str(tmp_path), run.best.name) == tmp_path / f"{run.best.name}.onnx"
    assert run.report() == run.folder / "report.html"
    with pytest.raises(UnknownNameError, match=run.best.name):
        run.export(tmp_path, f"{run.best.name}x")


def test_a_run_opens_as_it_was_returned(run):
    opened = api.Run.open(run.folder)
    assert opened.results == run.results
    pd.testing.assert_frame_equal(opened.front, run.front)


def test_who_watches_gets_every_trial(run, looked_on):
    (heading,) = looked_on.headings
    assert heading == (3, 56, run.folder, 0)
    names = [f"vgg-{number:03d}" for number in range(2)]
    assert looked_on.began == ["cnn5", *names]
    assert [name for name, _ in looked_on.finished] == ["cnn5", *names]
    assert {state for _, state in looked_on.finished} <= {"complete", "infeasible"}
    assert any("sealed" in step for step in looked_on.steps)


def test_a_trial_is_known_again_by_its_own_latency(tmp_path):
    """Trials that differ in dropout have one graph, and perhaps that of a baseline."""
    space = registry.space(("vgg",), "classification")
    record = Record.create(
        tmp_path,
        "t",
        {"auc": "maximize", "latency_ms": "minimize"},
        {"plan": {"targets": ["onnx"], "devices": ["host"]}},
    )
    for number, dropout in enumerate((0.0, 0.2)):
        point = {"family": "vgg", **registry.family("vgg")(dropout=dropout).config()}
        trial = Trial(number, "vgg", point, 0, name=f"vgg-{number:03d}")
        record.write(trial, Outcome(costs={"latency_ms": 1.0 + number}, graph="g"), space)
    baseline = Trial(0, "vgg", {}, 0, BASELINE, "cnn5")
    record.write(baseline, Outcome(costs={"latency_ms": 9.0}, graph="g"), space)
    known = known_latencies(tmp_path)
    (place,) = places(("onnx",), ("host",))
    told = {name: known[memo_key("g", place, name)]["latency_ms"] for name in ("vgg-000", "cnn5")}
    assert told == {"vgg-000": 1.0, "cnn5": 9.0}
    assert known[memo_key("g", place, "vgg-001")] == {"latency_ms": 2.0}
    assert known[memo_key("g", place)] == {"latency_ms": 2.0}, "a strategy is told of trials only"


@pytest.fixture(scope="module")
def again(run, tmp_path_factory):
    """The same search without pictures, on data with another test part."""
    folder = tmp_path_factory.mktemp("again")
    with np.load(run.folder.parent / CLINIC / "images.npz") as delivered:
        columns = dict(delivered)
    is_test = columns["split"] == "test"
    columns["images"][is_test] = np.random.default_rng(1).permuted(columns["images"][is_test])
    columns["labels"][is_test] = np.roll(columns["labels"][is_test], 1)
    data = clinic_file(folder, **columns)
    return searched(data, folder / "run", latencies=run.folder, examples=False)


def test_no_trial_sees_the_sealed_part(run, again):
    pd.testing.assert_frame_equal(quiet(again.folder), quiet(run.folder))
    assert [m.validation for m in again.results.models if m.name == "cnn5"] == [
        m.validation for m in run.results.models if m.name == "cnn5"
    ]
    sealed = [next(m for m in r.results.models if m.name == "cnn5").sealed for r in (run, again)]
    assert sealed[0] != sealed[1]


def test_pixels_are_in_the_results_only_where_they_are_wanted(run, again):
    assert [e.title for e in run.results.examples][-3:] == ["Most sure"] * 3
    start_of_a_png = "iVBOR"
    for name, mark in (("results.json", start_of_a_png), ("report.html", "<img ")):
        assert mark in (run.folder / name).read_text().replace(get_plotlyjs(), "")
        assert mark not in (again.folder / name).read_text().replace(get_plotlyjs(), "")
    assert again.results.examples == ()
    assert start_of_a_png not in (run.folder / "model-card.md").read_text()


@pytest.mark.slow
def test_another_seed_gives_another_table(run, tmp_path):
    other = searched(run.folder.parent / CLINIC / "images.npz", tmp_path / "run", seed=4)
    configs = [
        table[[name for name in table if name.startswith("config_")]]
        for table in (quiet(run.folder), quiet(other.folder))
    ]
    assert not configs[0].equals(configs[1])
    assert not quiet(run.folder)["auc"].equals(quiet(other.folder)["auc"])


def test_nothing_that_leaves_the_run_names_a_patient_or_the_folder(run):
    private = [b"Mustermann", b"Erika", CLINIC.encode()]
    shared = [p for p in run.folder.rglob("*") if p.is_file() and p.name != "study.db"]
    assert {".html", ".csv", ".md", ".json", ".onnx", ".pt"} <= {p.suffix for p in shared}
    for path in shared:
        for word in private:
            assert word not in path.read_bytes(), (path.name, word)
    for path in run.folder.glob("models/*.onnx"):
        metadata = {m.key: m.value for m in onnx.load(path).metadata_props}
        assert json.loads(metadata["target"])["classes"] == ["benign", "malignant"]
        assert not any(word.decode() in str(metadata) for word in private)


def test_the_record_names_the_source_once_and_no_patient(run):
    with sqlite3.connect(run.folder / "study.db") as database:
        dump = "\n".join(database.iterdump())
    assert "Mustermann" not in dump
    assert "Erika" not in dump
    assert dump.count(CLINIC) == 1, "the plan holds it, so that a search can be resumed"


@pytest.mark.slow
def test_one_worker_and_known_latencies_repeat_to_the_same_table(
    tiny_run, tiny_options, command, tmp_path
):
    again = tmp_path / "again"
    done = command("search", *tiny_options, "--latencies", tiny_run.folder, "--out", again)
    assert done.code == 0, done.stderr
    pd.testing.assert_frame_equal(quiet(again), quiet(tiny_run.folder))


def test_a_search_begins_with_the_front_of_an_earlier_one(run, tmp_path):
    data = clinic_file(tmp_path)
    again = searched(data, tmp_path / "run", seed=4, warm_start=run.folder)
    record = Record.open(again.folder)
    starts = record.settings["plan"]["starts"]
    earlier = [dict(t.point) for t, _ in Record.open(run.folder).rows()]
    assert starts
    assert all(point in earlier for point in starts)
    told = record.settings["plan"]["earlier"]
    assert [point for point, _ in told] == earlier
    aucs = [-o.scores["auc"] for _, o in Record.open(run.folder).rows()]
    assert [loss for _, loss in told] == aucs
    begun = [{**t.point} for t, _ in record.rows()]
    assert all(point in begun for point in starts)
    assert str(run.folder) not in (again.folder / "study.db").read_bytes().decode("latin-1")


def test_what_was_found_is_held_against_the_best_that_was_drawn_blindly(tmp_path):
    text = (Path(api.__file__).parents[1] / "studies" / "lung-ct.yaml").read_text()
    task = tmp_path / "blind.yaml"
    task.write_text(text.replace("{trials: 20,", "{at_random: 0.5, trials: 20,"))
    run = searched(clinic_file(tmp_path), tmp_path / "run", task=task, trials=4, epochs=1)
    (drawn,) = (m for m in run.results.baselines if "random" in m.name)
    numbers = numbers_at_random(Budget(trials=4, at_random=0.5), first=1)
    blind = [t for t in run.results.trials if t["number"] in numbers and t["state"] == "complete"]
    assert drawn.name == f"best-of-{len(blind)}-random"
    assert max(t["scores"]["auc"] for t in blind) == pytest.approx(
        drawn.validation["auc"].value, abs=0.02
    )
    assert drawn.config in [t["config"] for t in blind]
    assert drawn.artefact is None
    assert {m.name for m in run.results.front} == {
        c.model for c in run.results.comparisons if c.baseline == drawn.name
    }


def test_a_search_over_another_space_cannot_begin_so(run, tmp_path):
    with pytest.raises(SpaceError, match="leave out --warm-start"):
        searched(
            clinic_file(tmp_path), tmp_path / "run", families=["resnet"], warm_start=run.folder
        )


def test_a_resumed_run_finds_its_data_from_anywhere(run, tmp_path, monkeypatch):
    plan = Record.open(run.folder).settings["plan"]
    assert Path(plan["data"]).is_absolute()
    monkeypatch.chdir(run.folder.parent / CLINIC)
    from automed.data import Source, open_parts

    assert len(open_parts(Source(place="images.npz", hu_window=(-1.0, 1.0))).train)


@pytest.mark.slow
def test_volumes_with_named_arrays(tmp_path):
    if not NODULE3D.exists():
        pytest.skip(f"{NODULE3D.name} is not in ../shared/data")
    run = api.search(
        data=NODULE3D,
        out=tmp_path / "run",
        trials=1,
        epochs=1,
        workers=1,
        families=["vgg"],
        baselines=[],
        limits={"macs": 1e10},
        keys={"images": "volumes", "labels": "texture_class", "group": "patient"},
        executor="inline",
    )
    assert len(run.front) == 1
    model = onnx.load(run.folder / run.best.artefact)
    assert len(model.graph.input[0].type.tensor_type.shape.dim) == 5
    split = dict(run.results.data)
    assert "patient" in split["split"] or "delivered" in split["split"]
    assert "patients or scans" in split
