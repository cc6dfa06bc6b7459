import json
import re
import resource
import shutil
import subprocess
import sys

import pandas as pd
import pytest

COMMANDS = ("search", "resume", "report", "export", "predict", "list", "init", "doctor")
FILES = ("report.html", "pareto.csv", "trials.csv", "model-card.md", "results.json", "study.db")


def artefacts(run):
    """Names of the models whose files lie there; those in int8 lie beside theirs."""
    stems = (path.stem for path in (run.folder / "models").glob("*.onnx"))
    return sorted(stem for stem in stems if not stem.endswith(".int8"))


def test_search_leaves_everything_in_the_run_folder(tiny_run):
    for name in FILES:
        assert (tiny_run.folder / name).stat().st_size > 0, name
    assert artefacts(tiny_run)
    assert not list(tiny_run.folder.rglob("*.tmp"))
    front = pd.read_csv(tiny_run.folder / "pareto.csv").query("origin == 'search'")
    assert sorted(front["name"]) == artefacts(tiny_run)
    trials = pd.read_csv(tiny_run.folder / "trials.csv")
    assert len(trials) == 3
    assert set(trials["state"]) <= {"complete", "infeasible"}


def test_search_says_what_it_reads_does_and_recommends(tiny_run):
    said = " ".join(tiny_run.stdout.split())
    assert "simulated" in said
    assert "30 simulated patients" in said
    assert re.search(r"Take (vgg|mobile)-\d\d\d", said)
    assert "report.html" in said
    assert "training baseline cnn5 (1/1)" in said
    assert f"automed export {tiny_run.folder} lung-ct.onnx" in said
    assert "[3/3" in said


def test_search_warns_of_nothing_that_a_user_cannot_mend(tiny_run):
    assert "Traceback" not in tiny_run.stderr
    assert "Warning" not in tiny_run.stderr


def test_the_table_of_the_terminal_shows_front_and_baselines(tiny_run):
    shown = tiny_run.stdout
    for name in (*artefacts(tiny_run), "cnn5", "logistic-regression"):
        assert name in shown
    assert "test AUC" in shown


def test_resume_of_a_complete_run_gives_what_is_there(cli, tiny_run):
    before = (tiny_run.folder / "results.json").stat().st_mtime_ns
    told = cli("resume", tiny_run.folder)
    assert told.code == 0
    assert "Take " in told.stdout
    assert (tiny_run.folder / "results.json").stat().st_mtime_ns == before


def test_report_writes_anew_what_was_deleted(cli, tiny_run):
    names = ("report.html", "pareto.csv", "trials.csv", "model-card.md")
    before = {name: (tiny_run.folder / name).read_bytes() for name in names}
    for name in names:
        (tiny_run.folder / name).unlink()
    told = cli("report", tiny_run.folder)
    assert told.code == 0
    assert "Take " in told.stdout
    for name in ("pareto.csv", "trials.csv", "model-card.md"):
        assert (tiny_run.folder / name).read_bytes() == before[name], name
    assert (tiny_run.folder / "report.html").stat().st_size == pytest.approx(
        len(before["report.html"]), rel=0.01
    )


def test_export_copies_the_chosen_model_to_a_file(cli, tiny_run, tmp_path):
    told = cli("export", tiny_run.folder, tmp_path / "nodule.onnx")
    assert told.code == 0
    assert str(tmp_path / "nodule.onnx") in told.stdout.replace("\n", "")
    chosen = json.loads((tiny_run.folder / "results.json").read_text())["chosen"]
    source = tiny_run.folder / "models" / f"{chosen}.onnx"
    assert (tmp_path / "nodule.onnx").read_bytes() == source.read_bytes()
    assert not list(tmp_path.glob("*.tmp"))


def test_export_into_a_folder_keeps_the_name(cli, tiny_run, tmp_path):
    for name in artefacts(tiny_run):
        assert cli("export", tiny_run.folder, tmp_path, "--model", name).code == 0
    assert sorted(path.stem for path in tmp_path.glob("*.onnx")) == artefacts(tiny_run)


def test_export_into_a_folder_that_is_not_there_makes_it(cli, tiny_run, tmp_path):
    told = cli("export", tiny_run.folder, f"{tmp_path}/new/models/")
    assert told.code == 0, told.stderr
    (made,) = (tmp_path / "new" / "models").iterdir()
    assert made.stem in artefacts(tiny_run)
    assert str(made) in told.stdout.replace("\n", "")


def test_export_from_a_run_that_lacks_the_model_blames_the_run(cli, tiny_run, tmp_path):
    shutil.copytree(tiny_run.folder, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "models")
    told = cli("export", tmp_path / "copy", tmp_path / "mine.onnx")
    assert told.code == 2
    assert told.stderr.startswith(f"automed: {tmp_path / 'copy'} lacks models/")
    assert told.stderr.count("\n") == 1
    assert not (tmp_path / "mine.onnx").exists()


def test_export_of_an_unknown_model_names_the_nearest(cli, tiny_run, tmp_path):
    name = artefacts(tiny_run)[0]
    told = cli("export", tiny_run.folder, tmp_path, "--model", name.replace("-", "_"))
    assert told.code == 2
    assert f"did you mean '{name}'?" in told.stderr
    assert not list(tmp_path.iterdir())


def test_export_to_where_nothing_can_be_written(cli, tiny_run, tmp_path):
    (tmp_path / "file").write_text("")
    told = cli("export", tiny_run.folder, tmp_path / "file" / "model.onnx")
    assert told.code == 2
    assert told.stderr.startswith("automed: cannot write")
    assert told.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "kind", ["tasks", "families", "strategies", "stopping", "executors", "exporters"]
)
def test_list_begins_each_line_with_a_name_and_json_agrees(cli, kind):
    lines = cli("list", kind).stdout.splitlines()
    known = json.loads(cli("list", kind, "--json").stdout)
    assert [line.split()[0] for line in lines] == list(known)
    assert all(known.values())
    for line, text in zip(lines, known.values(), strict=True):
        assert line.endswith(text)


def test_list_without_a_kind_shows_all(cli):
    known = json.loads(cli("list", "--json").stdout)
    assert set(known) == {
        "tasks",
        "problems",
        "families",
        "strategies",
        "stopping",
        "executors",
        "exporters",
    }
    assert "lung-ct" in known["tasks"]
    assert {"vgg", "inception", "resnet", "densenet", "mobile"} <= set(known["families"])
    assert {"random", "optuna:nsga2", "optuna:tpe", "optuna:gp"} <= set(known["strategies"])
    assert {"local", "ray"} <= set(known["executors"])
    assert "onnx" in known["exporters"]
    shown = cli("list").stdout
    assert all(f"{title}:" in shown for title in known)


def test_list_of_an_unknown_kind_names_the_nearest(cli):
    told = cli("list", "familys")
    assert told.code == 2
    assert "families" in told.stderr
    assert told.stderr.count("\n") == 1


def test_doctor_shows_versions_devices_and_caches(cli):
    told = cli("doctor")
    assert told.code == 0
    names = [line.split()[0] for line in told.stdout.splitlines()]
    assert {"automed", "python", "torch", "onnxruntime", "cpu", "gpu", "cache"} <= set(names)
    assert "missing" not in told.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command_has_an_example(cli, name):
    told = cli(name, "--help")
    assert told.code == 0
    assert f"Example: automed {name}" in " ".join(told.stdout.split())


def test_help_is_quick_and_loads_no_torch():
    code = (
        "import sys\n"
        "from automed.cli import main\n"
        "for argv in (['--help'], ['search', '--help'], ['list', '--json']):\n"
        "    sys.argv = ['automed', *argv]\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit:\n"
        "        pass\n"
        "heavy = {'torch', 'optuna', 'ray', 'onnx', 'monai', 'pandas', 'sklearn', 'plotly'}\n"
        "sys.exit(' '.join(sorted(heavy & set(sys.modules))) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_help_takes_less_than_half_a_second(command):
    def seconds():
        """Of processor time, which other work on the machine hardly changes; it never waits."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(5)) < 0.5
