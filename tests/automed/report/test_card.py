from dataclasses import replace
from pathlib import Path

import pytest

from automed.errors import UnknownNameError
from automed.report import card, text
from automed.report.results import Results


def test_the_card_says_what_the_file_is(results: Results, tmp_path: Path) -> None:
    model = next(m for m in results.models if m.name == results.chosen)
    card.write(results, model.name, tmp_path / "card.md")
    written = (tmp_path / "card.md").read_text(encoding="utf-8")
    plain = written.replace("\\", "")
    assert results.simulated
    assert model.config
    first = next(line for line in written.splitlines() if line and not line.startswith("#"))
    assert results.simulated in first
    for needed in (
        "Not for clinical use",
        results.title,
        model.family,
        text.interval_text(model.validation["auc"]),
        text.interval_text(model.sealed["auc"]),
        text.milliseconds(model.costs["latency_ms"]),
        text.size(model.costs["size_bytes"]),
        model.artefact or "",
        "loaded again",
        "resampled by patient",
        "## Limits",
        *(label for label, _ in (*results.data, *results.run)),
        *model.config,
        *(m.name for m in results.baselines),
    ):
        assert needed in plain
    assert not any(e.png in written for e in results.examples)
    assert [p.name for p in tmp_path.iterdir()] == ["card.md"]


def test_the_card_of_a_baseline_and_of_hostile_names(hostile: Results, tmp_path: Path) -> None:
    card.write(hostile, "resnet18", tmp_path / "card.md")
    assert "not verified against a network" in (tmp_path / "card.md").read_text()
    assert hostile.chosen
    card.write(hostile, hostile.chosen, tmp_path / "card.md")
    assert "<script" not in (tmp_path / "card.md").read_text().replace("\\<", "")


def test_the_card_of_no_known_model_is_refused(results: Results, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="resnet18-w8"):
        card.write(results, "resnet18-w9", tmp_path / "card.md")


def test_the_card_names_the_unit_that_was_drawn(results: Results, tmp_path: Path) -> None:
    card.write(replace(results, resampled_by="sample"), "resnet18", tmp_path / "card.md")
    assert "resampled by sample." in (tmp_path / "card.md").read_text()
