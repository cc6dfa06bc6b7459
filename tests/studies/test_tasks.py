"""One contract for every task file that ships."""

from importlib.resources import files
from pathlib import Path

import pytest
import torch

from automed import registry
from automed.evaluate import architecture, network_of
from automed.sample import InputSpec, SampleSpec, TargetSpec
from automed.space import joint
from automed.task import COSTS, Task
from automed.trial import BASELINE, Trial

FILES = sorted(Path(str(files("automed.studies"))).rglob("*.yaml"))
paths = pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
SAMPLE = SampleSpec(
    inputs=(InputSpec(size=(48, 48)),), targets=(TargetSpec(classes=("without", "with")),)
)


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
    for trial in networks(path):
        config = architecture(trial).config()
        assert trial.point.items() <= config.items(), trial.name
        with torch.no_grad():
            logits = network_of(trial, SAMPLE, seed=0).eval()(torch.zeros(2, 1, 48, 48))
        assert logits.shape == (2, 2), trial.name


@paths
def test_its_networks_differ(path: Path) -> None:
    made = [architecture(trial) for trial in networks(path)]
    assert all(made.count(network) == 1 for network in made)


@paths
def test_equal_seeds_give_equal_weights(path: Path) -> None:
    for trial in networks(path)[:1]:
        one, same, other = (
            torch.cat([p.flatten() for p in network_of(trial, SAMPLE, seed=s).parameters()])
            for s in (0, 0, 1)
        )
        assert torch.equal(one, same)
        assert not torch.equal(one, other)
