"""What a session makes of a plan."""

import pytest

from automed import registry
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
