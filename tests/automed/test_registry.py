"""Names: what is listed, what is found behind them, and what third parties add."""

import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from automed import registry
from automed.errors import SpaceError, TaskError, UnknownNameError

NAMES = [(kind, name) for kind in registry.KINDS for name in registry.names(kind)]
every_name = pytest.mark.parametrize(("kind", "name"), NAMES, ids=[":".join(n) for n in NAMES])
THIRD_PARTY_FAMILY = '''
"""A family from elsewhere."""
from dataclasses import dataclass
from torch import nn
from automed.family import Family
from automed.space import integer

@dataclass(frozen=True, kw_only=True)
class Elsewhere(Family):
    """Linear."""
    elsewhere_width: int = integer(2, 8)
    def build(self, sample):
        return nn.Flatten()

FAMILY = Elsewhere
'''
THIRD_PARTY_STRATEGIES = '''
"""Strategies from elsewhere."""
from collections import namedtuple
ALGORITHMS = {"spiral": namedtuple("Row", "summary")("Round and round.")}
'''
THIRD_PARTY_TASK = """
title: A task from elsewhere
problem: classification
data: phantom:lung-ct
families: [elsewhere, vgg]
objectives: {auc: maximize, latency_ms: minimize}
"""


@every_name
def test_every_name_has_a_summary(kind: str, name: str) -> None:
    summary = registry.summary(kind, name)
    assert 10 < len(summary) < 120
    assert "\n" not in summary


@every_name
def test_every_name_but_a_task_has_a_module(kind: str, name: str) -> None:
    if kind == "task":
        assert registry.task(name).name == name
    else:
        assert find_spec(registry.places(kind)[name.partition(":")[0]]) is not None


@every_name
def test_a_mistyped_name_suggests_the_nearest(kind: str, name: str) -> None:
    mistyped = f"{name}x"
    with pytest.raises(UnknownNameError, match=f"did you mean '{name}'") as raised:
        registry.task(mistyped) if kind == "task" else registry.part(kind, mistyped)
    assert all(known in str(raised.value) for known in registry.names(kind))


@pytest.mark.parametrize("kind", registry.KINDS)
def test_a_name_like_no_other_lists_them_all(kind: str) -> None:
    with pytest.raises(UnknownNameError) as raised:
        registry.task("0") if kind == "task" else registry.part(kind, "0")
    assert "did you mean" not in str(raised.value)
    assert all(known in str(raised.value) for known in registry.names(kind))


@pytest.mark.parametrize("kind", registry.LIBRARIES)
def test_a_library_is_none_of_its_algorithms(kind: str) -> None:
    libraries = {n.partition(":")[0] for n in registry.names(kind) if ":" in n}
    assert libraries
    for library in libraries:
        with pytest.raises(UnknownNameError, match=f"known: .*{library}:"):
            registry.part(kind, library)


def test_every_public_file_in_search_spaces_is_a_family() -> None:
    folder = Path(str(registry.files("automed.search_spaces")))
    stems = {p.stem.replace("_", "-") for p in folder.glob("*.py") if not p.stem.startswith("_")}
    assert stems == set(registry.names("family"))


def test_listing_imports_no_heavy_library() -> None:
    code = (
        "import sys; from automed import registry\n"
        "for kind in registry.KINDS:\n"
        "    for name in registry.names(kind): registry.summary(kind, name)\n"
        "heavy = {'torch', 'monai', 'optuna', 'ray', 'onnx', 'onnxruntime', 'sklearn', 'pandas'}\n"
        "sys.exit(' '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_task_file_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(THIRD_PARTY_TASK)
    assert registry.task(str(path)).name == "mine"
    with pytest.raises(TaskError, match=r"no task file .*gone\.yaml; give .*lung-ct"):
        registry.task(str(tmp_path / "gone.yaml"))


def test_a_joint_space_is_of_families_for_the_problem() -> None:
    every = tuple(
        n for n in registry.names("family") if "classification" in registry.family(n).problems
    )
    space = registry.space(every, "classification")
    assert space["family"].ends == (every[0], every[-1])
    with pytest.raises(SpaceError, match=f"family {every[0]} is not for reading-minds"):
        registry.space(every, "reading-minds")
    with pytest.raises(SpaceError, match=r"family unet is not .*these are: .*vgg"):
        registry.space((*every, "unet"), "classification")
    with pytest.raises(UnknownNameError, match="no family named 'vgq'"):
        registry.space(("vgq",), "classification")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A distribution from elsewhere with one name in every group."""
    (tmp_path / "elsewhere_family.py").write_text(THIRD_PARTY_FAMILY)
    (tmp_path / "elsewhere_strategies.py").write_text(THIRD_PARTY_STRATEGIES)
    (tmp_path / "elsewhere_part.py").write_text('"""A part from elsewhere."""\n')
    (tmp_path / "elsewhere_studies").mkdir()
    (tmp_path / "elsewhere_studies" / "__init__.py").touch()
    (tmp_path / "elsewhere_studies" / "liver-mr.yaml").write_text(THIRD_PARTY_TASK)
    places = dict.fromkeys(registry.ROWS, "elsewhere = elsewhere_part") | {
        "family": "elsewhere = elsewhere_family",
        "strategy": "elsewhere = elsewhere_strategies",
        "task": "liver-mr = elsewhere_studies",
    }
    dist = tmp_path / "elsewhere-1.0.dist-info"
    dist.mkdir()
    (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n")
    (dist / "entry_points.txt").write_text(
        "".join(f"[automed.{kind}]\n{row}\n" for kind, row in places.items())
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("elsewhere_family", "elsewhere_strategies", "elsewhere_part"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    registry.places.cache_clear()
    yield tmp_path
    registry.places.cache_clear()


def test_third_parties_add_names_of_every_kind(installed: Path) -> None:
    added = {
        kind: set(registry.names(kind)) - {n for k, n in NAMES if k == kind}
        for kind in registry.KINDS
    }
    expected = {kind: {"elsewhere"} for kind in registry.KINDS}
    assert added == expected | {"task": {"liver-mr"}, "strategy": {"elsewhere:spiral"}}
    for kind, names in added.items():
        for name in names:
            assert registry.summary(kind, name)


def test_third_party_parts_are_found(installed: Path) -> None:
    assert registry.family("elsewhere")().config() == {"elsewhere_width": 2}
    assert registry.part("strategy", "elsewhere:spiral").__name__ == "elsewhere_strategies"
    for kind in set(registry.ROWS) - {"strategy"}:
        assert registry.part(kind, "elsewhere").__file__ == str(installed / "elsewhere_part.py")
    task = registry.task("liver-mr")
    assert (task.name, task.title) == ("liver-mr", "A task from elsewhere")
    assert "elsewhere_width" in registry.space(task.families, task.problem)


def test_a_baseline_that_cannot_answer_the_problem_is_refused() -> None:
    task = registry.task("lung-ct")
    registry.require_answering(task)
    registry.require_answering(task.changed(baselines=["random-forest", "cnn5"]))
    with pytest.raises(
        TaskError, match=r"threshold is not for classification; .*random-forest.*cn"
    ):
        registry.require_answering(task.changed(baselines=["threshold"]))
    masks = {"problem": "segmentation", "objectives": {"dice": "maximize"}, "families": ["unet"]}
    networks = {"tiny": {"family": "unet", "width": 4}, "flat": {"family": "vgg"}}
    task = task.changed(**masks, networks=networks, baselines=["threshold", "tiny"])
    registry.require_answering(task)
    for name in ("random-forest", "flat"):
        with pytest.raises(
            TaskError, match=f"{name} is not for segmentation; .*: threshold, tiny$"
        ):
            registry.require_answering(task.changed(baselines=[name]))
