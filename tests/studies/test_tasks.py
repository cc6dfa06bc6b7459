"""One contract for every task file that ships."""

from functools import cache
from importlib.resources import files
from pathlib import Path

import pytest
import torch

from automed import data, registry
from automed.data.splits import Parts
from automed.evaluate import architecture, network_of
from automed.space import joint
from automed.task import COSTS, Task
from automed.trial import BASELINE, Trial

FILES = sorted(Path(str(files("automed.studies"))).rglob("*.yaml"))
paths = pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
FEW = {"phantom": "patients=12", "demo": "samples=60"}
"""What makes embedded data small enough to open in a moment."""


def opened(task: Task, source: str) -> Parts:
    """A source read and split as a search for this task would."""
    problem = registry.part("problem", task.problem).PROBLEM
    return data.open_parts(
        data.Source(
            place=source,
            hu_window=task.window,
            target=problem.target,
            one_class=problem.one_class,
        )
    )


@cache
def few(path: Path) -> Parts:
    """The first samples of a task's default data."""
    task = Task.read(path)
    name = task.data.partition("?")[0]
    return opened(task, f"{name}?{FEW[name.partition(':')[0]]}")


def networks(path: Path) -> list[Trial]:
    """Every unsearched network of a task, as the search would ask for it."""
    return [
        Trial(
            number,
            str(network["family"]),
            {k: v for k, v in network.items() if k != "family"},
            1,
            BASELINE,
            name,
        )
        for number, (name, network) in enumerate(Task.read(path).networks.items())
    ]


def test_every_top_level_file_can_be_named() -> None:
    assert FILES
    shipped = {p.stem for p in FILES if p.parent.name == "studies"}
    assert shipped <= set(registry.names("task"))
    for name in shipped:
        assert registry.task(name).name == name


@paths
def test_its_parts_exist(path: Path) -> None:
    task = Task.read(path)
    assert task.name == path.stem
    assert task.title
    problem = registry.part("problem", task.problem).PROBLEM
    assert set(task.objectives) <= {*problem.metrics, *COSTS}
    assert set(task.families) <= set(registry.names("family"))
    assert set(task.baselines) <= {*task.networks, *problem.classical}
    registry.require_answering(task)
    assert registry.space(task.families, task.problem) == joint(
        {name: registry.family(name).space() for name in task.families}
    )


@paths
def test_costs_are_minimised(path: Path) -> None:
    objectives = Task.read(path).objectives
    assert {objectives[name] for name in objectives if name in COSTS} <= {"minimize"}


@paths
def test_its_networks_build(path: Path) -> None:
    sample = few(path).train.sample
    inputs = [torch.zeros(2, *spec.shape) for spec in sample.inputs]
    grid = sample.image.size if sample.target.kind in ("mask", "image", "field") else ()
    for trial in networks(path):
        config = architecture(trial).config()
        assert trial.point.items() <= config.items(), trial.name
        with torch.no_grad():
            logits = network_of(trial, sample, seed=0).eval()(*inputs)
        if sample.target.kind == "points":  # its grid may be coarser than the image
            grid = logits.shape[2:]
        assert logits.shape == (2, sample.target.channels, *grid), trial.name


@paths
def test_its_default_data_opens_and_its_families_serve_it(path: Path) -> None:
    task, parts = Task.read(path), few(path)
    registry.require_serving(task, parts.train.sample)
    assert parts.train.simulated
    assert parts.train.groups is not None
    if task.problem == "segmentation":
        assert parts.train.truth.any()
        assert parts.val.truth.any()


@pytest.mark.slow
@paths
def test_all_of_its_default_data_opens(path: Path) -> None:
    task = Task.read(path)
    parts, first = opened(task, task.data), few(path)
    assert len(parts.train) > 2 * len(first.train)
    assert len(parts.val) >= 40
    assert len(parts.sealed) >= 40
    assert parts.train.sample.inputs[0].shape == first.train.sample.inputs[0].shape


@paths
def test_its_networks_differ(path: Path) -> None:
    made = [architecture(trial) for trial in networks(path)]
    assert all(made.count(network) == 1 for network in made)


@paths
def test_equal_seeds_give_equal_weights(path: Path) -> None:
    for trial in networks(path)[:1]:
        sample = few(path).train.sample
        one, same, other = (
            torch.cat([p.flatten() for p in network_of(trial, sample, seed=s).parameters()])
            for s in (0, 0, 1)
        )
        assert torch.equal(one, same)
        assert not torch.equal(one, other)
