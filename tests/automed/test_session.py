"""What a session makes of a plan."""

from pathlib import Path

import pytest

from automed import files, registry
from automed.errors import RunError, UnreachableError
from automed.plan import Plan
from automed.session import FEW, Session, Silent
from automed.task import Budget


@pytest.mark.parametrize(
    ("strategy", "stopping", "trials", "epochs"),
    [
        ("pareto", "none", FEW + 1, 1),
        ("pareto", "none", FEW, 9),
        ("random", "halving", FEW + 1, 1),
        ("random", "none", FEW + 1, 9),
    ],
)
def test_the_default_of_a_family_has_to_earn_its_training(
    strategy: str, stopping: str, trials: int, epochs: int
) -> None:
    budget = Budget(trials=trials, epochs=9)
    task = registry.task("lung-ct").model_copy(update={"budget": budget})
    data = "phantom:lung-ct?patients=12&seed=1"
    session = Session(Plan(task=task, data=data, strategy=strategy, stopping=stopping), Silent())
    starts = session._starts()
    assert [start.family for start in starts] == list(task.families)
    assert {start.epochs for start in starts} == {epochs}


def test_a_device_that_is_gone_ends_the_run_until_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*arguments: object) -> None:
        raise UnreachableError("board cannot be reached: no route")

    monkeypatch.setattr(Session, "_searched", gone)
    task = registry.task("lung-ct")
    session = Session(Plan(task=task, data="phantom:lung-ct?patients=12&seed=1"), Silent())
    with pytest.raises(RunError, match=r"no route; see to it, then `automed resume .*RUN`"):
        session.start(tmp_path / "RUN", probe=False)


def test_a_folder_is_searched_by_one_at_a_time(tmp_path: Path) -> None:
    session = Session(
        Plan(task=registry.task("lung-ct"), data="phantom:lung-ct?patients=12&seed=1"), Silent()
    )
    folder = tmp_path / "RUN"
    folder.mkdir()
    with files.alone(folder), pytest.raises(RunError, match="RUN is in use by a search"):
        session.start(folder, probe=False)
