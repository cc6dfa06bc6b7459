import json
from pathlib import Path

import pytest

from automed.report.results import Results


@pytest.mark.parametrize("case", ["results", "empty", "hostile", "errors"])
def test_results_round_trip_through_json(
    case: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    given: Results = request.getfixturevalue(case)
    given.save(tmp_path / "results.json")
    assert Results.load(tmp_path / "results.json") == given


def test_saving_leaves_one_valid_file(results: Results, tmp_path: Path) -> None:
    results.save(tmp_path / "results.json")
    results.save(tmp_path / "results.json")
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]
    assert json.loads((tmp_path / "results.json").read_text())["task"] == "lung-ct"


def test_front_and_baselines_part_the_models(results: Results) -> None:
    assert results.front + results.baselines == results.models
    assert (len(results.front), len(results.baselines)) == (6, 6)


def test_the_table_has_every_model_and_marks_one(results: Results) -> None:
    table = results.table()
    assert list(table["name"]) == [m.name for m in results.models]
    assert list(table.loc[table["chosen"], "name"]) == [results.chosen]
    model = results.front[2]
    row = table.set_index("name").loc[model.name]
    assert row["val_auc"] == model.validation["auc"].value
    assert row["test_auc_low"] == model.sealed["auc"].low
    assert row["latency_ms"] == model.costs["latency_ms"]


def test_the_table_of_nothing_is_empty(empty: Results) -> None:
    assert empty.table().empty
