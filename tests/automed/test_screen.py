import io
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from automed import registry
from automed.screen import Screen
from automed.trial import BASELINE, Outcome, Trial


@pytest.fixture
def plan():
    task = registry.task("lung-ct")
    task = task.changed(budget=task.budget.model_dump() | {"trials": 4})
    return SimpleNamespace(
        task=task,
        strategy="random",
        stopping="none",
        executor="local",
        num_workers=1,
        seed=0,
        workers=1,
        own_limits=(),
    )


@pytest.fixture
def parts():
    train = SimpleNamespace(description="12 samples", simulated="")
    return SimpleNamespace(train=train, facts=(("classes", "3 [benign], 9 [bold]"),))


def outcome(auc):
    costs = {"latency_ms": 1.0, "macs": 5.0}
    return Outcome(scores={"auc": auc}, costs=costs, epochs=8, finished=True)


def shown(**options):
    return Console(file=io.StringIO(), width=100, **options)


def test_the_live_view_moves_while_nothing_happens(plan, parts, tmp_path):
    console = shown(force_terminal=True)
    with Screen(console) as screen:
        screen.opened(plan, parts, tmp_path, 0)
        screen.started(Trial(0, "vgg", {}, 8, name="vgg-000"))
        time.sleep(1.6)
    text = console.file.getvalue()
    assert "vgg-000  0 s" in text
    assert "vgg-000  1 s" in text
    assert len({frame for frame in "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏" if frame in text}) > 1


def test_a_resumed_search_counts_on(plan, parts, tmp_path):
    console = shown()
    with Screen(console) as screen:
        screen.opened(plan, parts, tmp_path, 3)
        trial = Trial(3, "vgg", {}, 8, name="vgg-003")
        screen.started(trial)
        screen.ended(trial, outcome(0.9))
    assert "[4/4, done]" in console.file.getvalue()


def test_baselines_are_told_while_the_bar_stands(plan, parts, tmp_path):
    plan.task = plan.task.changed(baselines=("random-forest", "cnn5", "resnet18"))
    trial = Trial(1, "resnet", {}, 8, BASELINE, "resnet18")
    for console in (shown(force_terminal=True), shown()):
        with Screen(console) as screen:
            screen.opened(plan, parts, tmp_path, 0)
            screen.started(trial)
        assert "training baseline resnet18 (2/2)" in console.file.getvalue()


def test_a_limit_says_whose_it_is(plan, parts, tmp_path):
    plan.task = plan.task.changed(limits={"macs": 30e6, "latency_ms": 2.0})
    plan.own_limits = ("latency_ms",)
    console = shown()
    with Screen(console) as screen:
        screen.opened(plan, parts, tmp_path, 0)
    lines = [line.strip("\u2502 ") for line in console.file.getvalue().splitlines()]
    assert "limit: macs at most 30 M (the task's default)" in lines
    assert "limit: latency_ms at most 2 ms" in lines


def test_brackets_in_names_of_classes_are_shown(plan, parts):
    console = shown()
    with Screen(console) as screen:
        screen.opened(plan, parts, Path("[run]"), 0)
    assert "3 [benign], 9 [bold]" in console.file.getvalue()
    assert "run folder: [run]" in console.file.getvalue()
