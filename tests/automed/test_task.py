"""Task files: what is read, and how a bad one is answered."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from automed.errors import TaskError
from automed.task import COSTS, Task

GOOD: dict[str, Any] = {
    "title": "Lesion or not",
    "problem": "classification",
    "data": "phantom:lesions",
    "families": ["vgg", "resnet"],
    "objectives": {"auc": "maximize", "latency_ms": "minimize"},
}


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "lesions.yaml"
    fields = {k: v for k, v in (GOOD | changes).items() if v is not ...}
    path.write_text(yaml.safe_dump(fields))
    return path


def test_a_short_file_is_a_task(tmp_path: Path) -> None:
    task = Task.read(write(tmp_path))
    assert (task.name, task.score, task.families) == ("lesions", "auc", ("vgg", "resnet"))
    assert (task.limits, task.baselines) == ({}, ())
    assert task.budget.trials >= 1


def test_numbers_as_people_write_them_in_yaml(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text() + "limits: {macs: 30e6, latency_ms: 2}\n")
    assert Task.read(path).limits == {"macs": 3e7, "latency_ms": 2.0}


def test_a_task_survives_the_record(tmp_path: Path) -> None:
    network = {"family": "vgg", "width": 8}
    task = Task.read(
        write(tmp_path, limits={"macs": 1e6}, networks={"tiny": network}, baselines=["tiny"])
    )
    assert Task.model_validate(task.model_dump()) == task


def test_the_score_is_the_first_objective_that_is_no_cost(tmp_path: Path) -> None:
    objectives = {"macs": "minimize", "accuracy": "maximize"}
    path = tmp_path / "lesions.yaml"
    path.write_text(yaml.safe_dump(GOOD | {"objectives": objectives}, sort_keys=False))
    assert Task.read(path).score == "accuracy"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"title": ...}, "title: Field required"),
        ({"data": ...}, "data: Field required"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"families": []}, "families"),
        ({"families": "vgg"}, "families"),
        ({"objectives": ...}, "objectives"),
        ({"objectives": {"auc": "up"}}, "objectives.auc"),
        ({"objectives": {}}, "objectives name only costs; name a score"),
        ({"objectives": dict.fromkeys(COSTS, "minimize")}, "objectives name only costs"),
        ({"limits": {"auc": 0.5}}, "limits: Value error, a limit on 'auc'; limits are on latency"),
        ({"limits": {"macs": 0}}, "limits: Value error, the limit on macs must be"),
        ({"limits": {"macs": -1.0}}, "limits: Value error, the limit on macs must be"),
        ({"limits": {"macs": float("nan")}}, "limits: Value error, the limit on macs must be"),
        ({"limits": {"macs": "many"}}, "limits.macs"),
        ({"window": [400, -1000]}, "window: Value error, a window is two numbers, the lower"),
        ({"window": [0]}, "window"),
        ({"budget": {"trials": 0}}, "budget.trials"),
        ({"budget": {"epoch": 3}}, "budget.epoch"),
        ({"training": {"learning_rate": -1}}, "training.learning_rate"),
        (
            {"training": {"augment": ["flip", "rotate"]}},
            "training.augment: Value error, no augmentation named 'rotate'; "
            "did you mean 'rotate90'",
        ),
        ({"networks": {"tiny": {"width": 8}}}, "networks: Value error, network 'tiny' names no"),
        ({"networks": {"tiny": 3}}, "networks.tiny"),
        ({"baselines": ["random-florest"]}, "baselines: .*did you mean 'random-forest'"),
        ({1: 2}, "1: Keys should be strings"),
    ],
)
def test_a_bad_field_is_named_with_its_file(
    tmp_path: Path, changes: dict[Any, Any], field: str
) -> None:
    path = tmp_path / "lesions.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in (GOOD | changes).items() if v is not ...}))
    with pytest.raises(TaskError, match=rf"^lesions\.yaml: {field}"):
        Task.read(path)


@pytest.mark.parametrize(
    "content", [b"", b"just words", b"- a\n- b\n", b"title: [", b"\xff\xfe\x00", b"a: b: c"]
)
def test_a_file_that_is_no_mapping_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "lesions.yaml"
    path.write_bytes(content)
    with pytest.raises(TaskError, match=r"^lesions\.yaml "):
        Task.read(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"^gone\.yaml "):
        Task.read(tmp_path / "gone.yaml")


def test_yaml_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lesions.yaml"
    path.write_text(f"title: !!python/object/apply:os.mkdir [{tmp_path / 'made'}]\n")
    with pytest.raises(TaskError):
        Task.read(path)
    assert not (tmp_path / "made").exists()


def test_changes_are_validated_anew(tmp_path: Path) -> None:
    task = Task.read(write(tmp_path))
    assert task.changed(limits={"macs": 5}).limits == {"macs": 5.0}
    assert task.limits == {}
    with pytest.raises(TaskError, match="lesions: limits"):
        task.changed(limits={"macs": -5})
    with pytest.raises(TaskError, match="lesions: objectives"):
        task.changed(objectives={"macs": "minimize"})
