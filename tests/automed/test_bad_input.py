"""Whatever a user gets wrong is told in one line, with exit code 2, and leaves nothing behind."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automed import registry

PHANTOM = "phantom:lung-ct?patients=30&seed=1"


def pixels(count=40, size=(20, 20), dtype=np.uint8):
    return np.random.default_rng(0).integers(0, 255, (count, *size)).astype(dtype)


def labels(count=40):
    return np.arange(count) % 2


def missing(folder):
    return folder / "none.npz"


def missing_csv(folder):
    return folder / "none.csv"


def of_no_format(folder):
    path = folder / "images.tar"
    path.write_text("")
    return path


def empty_folder(folder):
    path = folder / "images"
    path.mkdir()
    return path


def folder_without_images(folder):
    path = folder / "images"
    (path / "benign").mkdir(parents=True)
    (path / "benign" / "notes.txt").write_text("no image")
    return path


def class_folders(folder, sizes):
    path = folder / "images"
    for number, size in enumerate(sizes):
        target = path / ("benign" if number % 2 else "malignant")
        target.mkdir(parents=True, exist_ok=True)
        image = np.random.default_rng(number).integers(0, 255, size).astype(np.uint8)
        Image.fromarray(image).save(target / f"{number}.png")
    return path


def mixed_sizes(folder):
    return class_folders(folder, [(20, 20)] * 11 + [(24, 20)])


def one_class_folder(folder):
    path = class_folders(folder, [(20, 20)] * 24)
    shutil.rmtree(path / "benign")
    return path


def mixed_sizes_csv(folder):
    images = class_folders(folder, [(20, 20)] * 11 + [(24, 20)])
    rows = [f"{p.relative_to(folder)},{p.parent.name}" for p in sorted(images.rglob("*.png"))]
    path = folder / "table.csv"
    path.write_text("\n".join(["path,label", *rows]))
    return path


def csv_of_a_missing_image(folder):
    path = mixed_sizes_csv(folder)
    path.write_text(path.read_text() + "\nimages/benign/none.png,benign")
    return path


def csv_without_labels(folder):
    path = folder / "table.csv"
    path.write_text("path,finding\na.png,1\n")
    return path


def npz(folder, **arrays):
    path = folder / "made.npz"
    np.savez(path, **{"images": pixels(), "labels": labels()} | arrays)
    return path


def one_class(folder):
    return npz(folder, labels=np.zeros(40, int))


def nan_pixels(folder):
    images = pixels(dtype=np.float32)
    images[7, 3, 3] = np.nan
    return npz(folder, images=images)


def inf_pixels(folder):
    images = pixels(dtype=np.float32)
    images[7, 3, 3] = np.inf
    return npz(folder, images=images)


def too_few_labels(folder):
    return npz(folder, labels=labels(39))


def torn_patient(folder):
    split = np.array((["train"] * 4 + ["val", "test"]) * 7)[:40]
    return npz(folder, split=split, patient=np.arange(40) // 2)


def part_without_a_class(folder):
    split = np.repeat(["train", "val", "test"], [30, 5, 5])
    return npz(folder, split=split, labels=np.r_[labels(35), np.zeros(5, int)])


def no_array_of_labels(folder):
    path = folder / "made.npz"
    np.savez(path, images=pixels())
    return path


def objects(folder):
    return npz(folder, images=np.array([np.zeros((i, 20)) for i in range(20, 60)], object))


def damaged(folder):
    path = npz(folder)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content[: len(content) - 30])
    return path


def flat(folder):
    return npz(folder, images=np.zeros((40, 20, 20), np.uint8))


DATA = {
    missing: "no such file",
    missing_csv: "no such file",
    of_no_format: "no data at",
    empty_folder: "no image found",
    folder_without_images: "no image found",
    mixed_sizes: "more than one size: 11 of 20x20, 1 of 24x20",
    mixed_sizes_csv: "more than one size: 11 of 20x20, 1 of 24x20",
    csv_of_a_missing_image: "row 14: the image is missing",
    csv_without_labels: "no column named label",
    one_class: "one class",
    one_class_folder: "one class",
    nan_pixels: "NaN or Inf (rows 7)",
    inf_pixels: "NaN or Inf (rows 7)",
    too_few_labels: "40 images, 39 labels",
    torn_patient: "6 of 20 patients are in more than one part",
    part_without_a_class: "no class 1 in the test part",
    no_array_of_labels: "no array named labels",
    objects: "Python objects",
    damaged: "damaged",
    flat: "flat",
}

OPTIONS = {
    ("--task", "lung-cd"): "did you mean 'lung-ct'?",
    ("--task", "none.yaml"): "no task file none.yaml",
    ("--family", "resnett"): "did you mean 'resnet'?",
    ("--strategy", "optuna:tpee"): "did you mean 'optuna:tpe'?",
    ("--strategy", "nsga2"): "did you mean 'optuna:nsga2'?",
    ("--stopping", "halvin"): "did you mean 'halving'?",
    ("--strategy", "pareto", "--stopping", "halving"): "leave out --stopping halving",
    ("--stopping", "nni"): "nni:medianstop",
    ("--strategy", "nni:gp"): "take optuna:gp",
    ("--strategy", "nni:bohb"): "take optuna:tpe --stopping halving",
    ("--objective", "acuracy", "--objective", "macs"): "did you mean 'accuracy'?",
    ("--objective", "latency"): "did you mean 'latency_ms'?",
    ("--objective", "latency_ms"): "name a score too",
    ("--baselines", "resnet-18"): "did you mean 'resnet18'?",
    ("--baselines", "threshold"): "threshold is not for classification",
    ("--max-latency", "quick"): "2ms, 500us or 0.1s",
    ("--max-latency", "2"): "2ms, 500us or 0.1s",
    ("--max-latency", "0ms"): "2ms, 500us or 0.1s",
    ("--max-latency", "1e999ms"): "2ms, 500us or 0.1s",
    ("--max-latency=-2ms",): "2ms, 500us or 0.1s",
    ("--max-size", "2 parsecs"): "500kB or 2MB",
    ("--max-params", "many"): "200k or 1.5M",
    ("--max-macs", "20MB"): "200k or 1.5M",
    ("--keys", "images"): "role=name",
    ("--keys", "images="): "role=name",
    ("--window", "400"): "low,high",
    ("--window", "low,high"): "low,high",
    ("--window", "400,-1000"): "lower number first",
    ("--window", "nan,nan"): "number",
    ("--window=-inf,inf",): "number",
    ("--latencies", "none"): "none is no run folder",
    ("--warm-start", "none"): "none is no run folder",
}


def assert_one_line(told, wanted):
    assert told.code == 2, told.stdout + told.stderr
    assert told.stderr.startswith("automed: ")
    assert told.stderr.count("\n") == 1, told.stderr
    assert wanted in told.stderr


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder, in which the default run folder would be made."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    ("make", "wanted"), DATA.items(), ids=lambda value: getattr(value, "__name__", str(value))[:40]
)
def test_data_that_cannot_be_used(cli, here, tmp_path, make, wanted):
    source = make(tmp_path)
    told = cli("search", "--data", source, "--trials", 1)
    assert_one_line(told, wanted)
    assert not list(here.iterdir())


@pytest.mark.parametrize(("given", "wanted"), OPTIONS.items(), ids=lambda value: str(value)[:40])
def test_options_that_make_no_sense(cli, here, given, wanted):
    told = cli("search", "--data", PHANTOM, "--trials", 1, *given)
    assert_one_line(told, wanted)
    assert not list(here.iterdir())


def test_a_network_of_an_unknown_family_is_refused_before_the_data_is_read(cli, here, tmp_path):
    task = tmp_path / "lesions.yaml"
    known = registry.task("lung-ct").model_dump(mode="json")
    task.write_text(json.dumps(known | {"networks": {"cnn5": {"family": "vvg"}}, "baselines": []}))
    told = cli("search", "--task", task, "--data", "none.npz")
    assert_one_line(told, "networks.cnn5: no family named 'vvg'; did you mean 'vgg'?")
    told = cli("search", "--family", "resnett", "--data", "none.npz")
    assert_one_line(told, "did you mean 'resnet'?")
    assert not list(here.iterdir())


def test_keys_that_name_no_array_list_those_there_are(cli, here, tmp_path):
    told = cli("search", "--data", npz(tmp_path), "--keys", "images=volumes")
    assert_one_line(told, "it holds images, labels")
    told = cli("search", "--data", npz(tmp_path), "--keys", "pictures=images")
    assert_one_line(told, "roles are images, signals")
    assert not list(here.iterdir())


@pytest.mark.parametrize("option", ["--trials", "--epochs", "--workers"])
def test_a_count_of_nought_is_refused_by_the_parser(cli, here, option):
    told = cli("search", option, 0)
    assert told.code == 2
    assert option in told.stderr
    assert "Traceback" not in told.stderr
    assert not list(here.iterdir())


def test_a_limit_that_nothing_meets_names_the_fastest_seen(cli, here):
    told = cli(
        *("search", "--data", PHANTOM, "--family", "vgg", "--trials", 1),
        *("--max-latency", "0.1us", "--baselines", "none"),
    )
    assert_one_line(told, "least seen 0.")
    assert "latency" in told.stderr
    assert not list(here.iterdir())


@pytest.mark.parametrize("inside", ["file", "file/run"])
def test_an_out_that_cannot_be_written_is_refused_before_the_data_is_read(cli, here, inside):
    (here / "file").write_text("mine")
    told = cli("search", "--data", "none.npz", "--trials", 1, "--out", inside)
    assert_one_line(told, f"cannot write to {inside}")
    assert [path.name for path in here.iterdir()] == ["file"]
    assert (here / "file").read_text() == "mine"


def test_an_out_without_permission_is_refused_before_the_data_is_read(cli, here, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != here)  # root may anything
    told = cli("search", "--data", "none.npz", "--out", "new/run")
    assert_one_line(told, "cannot write to new/run: permission denied")
    assert not list(here.iterdir())


def test_an_out_that_holds_a_run_is_left_alone(cli, here):
    (here / "run").mkdir()
    (here / "run" / "study.db").write_bytes(b"mine")
    told = cli("search", "--data", "none.npz", "--trials", 1, "--out", "run")
    assert_one_line(told, "holds a run already")
    assert [p.name for p in here.rglob("*")] == ["run", "study.db"]
    assert (here / "run" / "study.db").read_bytes() == b"mine"


def no_folder(folder):
    return folder / "none"


def ordinary_folder(folder):
    return folder


def ordinary_file(folder):
    path = folder / "file"
    path.write_text("mine")
    return path


def broken_record(folder):
    (folder / "study.db").write_bytes(b"no database" * 100)
    return folder


def foreign_results(folder):
    (folder / "results.json").write_text(json.dumps({"accuracy": 0.9}))
    return folder


def broken_results(folder):
    (folder / "results.json").write_text('{"task": "lung')
    return folder


NO_RUNS = [no_folder, ordinary_folder, ordinary_file, broken_record]


@pytest.mark.parametrize("make", [*NO_RUNS, foreign_results, broken_results])
@pytest.mark.parametrize("command", ["resume", "report", "export"])
def test_a_folder_that_is_no_run(cli, here, command, make):
    folder = make(here)
    before = sorted(here.iterdir())
    told = cli(command, folder, *(["model.onnx"] if command == "export" else []))
    assert_one_line(told, "")
    assert folder.name in told.stderr
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize("make", NO_RUNS)
def test_latencies_of_a_folder_that_is_no_run(cli, here, tmp_path, make):
    told = cli("search", "--data", PHANTOM, "--trials", 1, "--latencies", make(tmp_path))
    assert_one_line(told, "is no run folder")
    assert not list(here.iterdir())
