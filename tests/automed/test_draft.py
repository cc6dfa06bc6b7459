"""A drafted task is one that can be searched, on whatever data it was drafted for."""

import numpy as np
import pytest
import yaml

from automed import api, data, draft, registry
from automed.errors import DataError, SpaceError, TaskError, UnknownNameError

RNG = np.random.default_rng(3)
NUM = 40
LABELS = np.arange(NUM) % 2
BLOB = (np.hypot(*np.mgrid[-8:8, -8:8]) < 4).astype(np.uint8)
ARRAYS = {
    "classification": {
        "images": RNG.integers(0, 99, (NUM, 16, 16), np.uint8) + 60 * LABELS[:, None, None],
        "labels": LABELS,
    },
    "segmentation": {
        "images": RNG.integers(0, 99, (NUM, 16, 16), np.uint8) + 90 * BLOB,
        "masks": np.broadcast_to(BLOB, (NUM, 16, 16)),
    },
    "multilabel": {
        "images": RNG.integers(0, 99, (NUM, 16, 16), np.uint8) + 60 * LABELS[:, None, None],
        "labels": np.column_stack([LABELS, np.arange(NUM) // 2 % 2]),
    },
    "regression": {
        "images": RNG.integers(0, 99, (NUM, 16, 16), np.uint8),
        "values": RNG.normal(60, 9, NUM),
    },
    "signals": {"signals": RNG.normal(size=(NUM, 1, 64)), "labels": LABELS},
    "table": {"table": RNG.normal(size=(NUM, 5)), "labels": LABELS},
    "volumes": {"images": RNG.integers(-900, 300, (NUM, 16, 16, 16), np.int16), "labels": LABELS},
}


@pytest.fixture
def source(tmp_path):
    def saved(kind, **more):
        np.savez(tmp_path / "mine.npz", **ARRAYS[kind], **more)
        return str(tmp_path / "mine.npz")

    return saved


@pytest.mark.parametrize("kind", ARRAYS)
def test_a_draft_fits_its_data(kind, source, tmp_path):
    problem = kind if kind in registry.names("problem") else "classification"
    path = tmp_path / "mine.yaml"
    task = draft.write(path, problem, source(kind), {})
    assert task == registry.task(str(path))
    assert task.name == "mine"
    target = registry.part("problem", problem).PROBLEM.target
    sample = data.read(task.data, {}, target).sample
    registry.require_serving(task, sample)
    registry.require_answering(task)
    assert registry.space(task.families, problem)
    for network in task.networks.values():
        config = {k: v for k, v in network.items() if k != "family"}
        registry.family(network["family"])(**config).build(sample)
    assert path.read_text().count("#") > 4


def test_roles_of_arrays_are_told_in_the_draft(tmp_path):
    np.savez(tmp_path / "x.npz", scans=ARRAYS["classification"]["images"], labels=LABELS)
    draft.write(tmp_path / "x.yaml", "classification", str(tmp_path / "x.npz"), {"images": "scans"})
    assert "--task x.yaml --keys images=scans" in (tmp_path / "x.yaml").read_text()


@pytest.mark.parametrize("kind", ["classification", "multilabel", "regression", "segmentation"])
def test_a_draft_is_searched_as_it_is(kind, source, tmp_path, inline):
    path = tmp_path / "mine.yaml"
    draft.write(path, kind, source(kind), {})
    run = api.search(str(path), out=tmp_path / "run", trials=1, epochs=1, executor="inline")
    assert {m.name for m in run.results.baselines} >= {"plain"}
    assert run.results.front


@pytest.mark.parametrize(
    ("name", "problem", "given", "error", "said"),
    [
        ("taken.yaml", "classification", None, TaskError, "is there already"),
        ("mine.txt", "classification", None, TaskError, "a task is a .yaml file"),
        ("mine.yaml", "clasification", None, UnknownNameError, "classification"),
        ("mine.yaml", "classification", "nowhere.npz", DataError, "no such file"),
        ("none/mine.yaml", "classification", None, DataError, "cannot write mine.yaml"),
    ],
)
def test_what_cannot_be_drafted_is_refused(name, problem, given, error, said, source, tmp_path):
    (tmp_path / "taken.yaml").write_text("mine")
    with pytest.raises(error, match=said):
        draft.write(tmp_path / name, problem, given or source("classification"), {})
    assert sorted(p.name for p in tmp_path.glob("*.yaml")) == ["taken.yaml"]
    assert (tmp_path / "taken.yaml").read_text() == "mine"


def test_samples_that_no_family_takes_are_refused(source, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "names", lambda kind: ["unet"])
    with pytest.raises(SpaceError, match="no family answers classification"):
        draft.write(tmp_path / "mine.yaml", "classification", source("classification"), {})


def test_the_command_writes_and_tells_what_next(command, source, tmp_path):
    np.savez(tmp_path / "mine.npz", **ARRAYS["segmentation"])
    told = command(
        "init", "my-task", "--problem", "segmentation", "--data", "mine.npz", cwd=tmp_path
    )
    assert told.code == 0, told.stderr
    assert "scored by dice" in told.stdout
    assert "automed search --task my-task.yaml" in told.stdout
    assert yaml.safe_load((tmp_path / "my-task.yaml").read_text())["problem"] == "segmentation"
    again = command("init", "my-task", "--data", "mine.npz", cwd=tmp_path)
    assert again.code == 2
    assert again.stderr.startswith("automed: my-task.yaml is there already")
