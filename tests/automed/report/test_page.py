import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from plotly.offline import get_plotlyjs

from automed.report import drawing, page
from automed.report.results import Results

FETCHING = {"src", "href", "data", "action", "poster", "srcset", "background"}


class Reader(HTMLParser):
    """A page as a browser would take it in: its text, attributes and the cells of its tables."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str, str]] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.rows: dict[str, dict[str, list[float]]] = {}
        self._table = self._model = ""
        self.feed(source.replace(get_plotlyjs(), ""))

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {k: v or "" for k, v in attrs}
        self.tags.append(tag)
        self.attributes += [(tag, k, v) for k, v in given.items()]
        if tag == "table":
            self._table = given.get("id", "")
        if tag == "tr":
            self._model = given.get("data-model", "")
        if tag == "data":
            row = self.rows.setdefault(self._table, {}).setdefault(self._model, [])
            row.append(float(given["value"]))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] not in ("script", "style"):
            self.words.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self.tags.append(f"/{tag}")


def written(results: Results, folder: Path) -> str:
    page.write(results, folder / "report.html")
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def hostile_source(hostile: Results, tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(hostile, tmp_path_factory.mktemp("hostile"))


def test_the_page_fetches_nothing(results: Results, source: str) -> None:
    fetched = {v for _, k, v in Reader(source).attributes if k in FETCHING}
    pictures = {f"data:image/png;base64,{e.png}" for e in results.examples}
    assert fetched == {f.path for m in results.front for f in m.files if f.path} | pictures
    own = source.replace(get_plotlyjs(), "")
    assert not re.search(r"url\(|@import|\bfetch\(|XMLHttpRequest", own)


def test_plotly_is_inlined_once_and_figures_have_fixed_names(source: str) -> None:
    assert source.count(get_plotlyjs()) == 1
    for name in ("front", "problem", "families", "curves", "dimensions"):
        assert source.count(f'id="figure-{name}"') == 1


def test_the_same_results_give_the_same_bytes_and_no_scratch_file(
    hostile: Results, hostile_source: str, tmp_path: Path
) -> None:
    assert written(hostile, tmp_path) == hostile_source
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_hostile_names_stay_text(hostile_source: str) -> None:
    assert "<script>alert" not in hostile_source.replace(get_plotlyjs(), "")
    reader = Reader(hostile_source)
    assert "<script>alert(1)</script>" in reader.text
    links = [v for tag, k, v in reader.attributes if (tag, k) == ("a", "href")]
    assert not [link for link in links if ":" in link]


def test_simulated_data_is_said_before_anything_else(
    results: Results, source: str, empty: Results, tmp_path: Path
) -> None:
    assert results.simulated
    assert source.index('id="simulated"') < source.index('id="answer"')
    assert results.simulated in Reader(source).text
    assert 'id="simulated"' not in written(replace(empty, simulated=None), tmp_path)


def test_a_search_that_finished_nothing_still_has_a_page(
    source: str, empty: Results, tmp_path: Path
) -> None:
    assert 'id="interrupted"' not in source
    text = Reader(written(empty, tmp_path)).text
    assert "Interrupted: shows what was finished." in text
    assert "No model to take" in text
    assert empty.reason in text
    assert "No model reached the front." in text


def test_a_sealed_part_that_was_not_opened_is_not_claimed(results: Results, tmp_path: Path) -> None:
    sealed = replace(
        results,
        comparisons=(),
        models=tuple(replace(m, sealed={}) for m in results.models),
        trials=(),
    )
    text = Reader(written(sealed, tmp_path)).text
    assert "test still sealed" in text
    assert "here it has not been opened" in text


def test_the_page_names_the_unit_that_was_drawn(
    source: str, empty: Results, tmp_path: Path
) -> None:
    by_patient, by_image = Reader(source).text, Reader(written(empty, tmp_path)).text
    assert "draw whole patients, not samples" in by_patient
    assert "paired by patient" in by_patient
    assert "draw single samples" in by_image
    assert "paired by sample" in by_image


def test_a_paired_comparison_stands_in_a_tile_and_in_a_row(results: Results, source: str) -> None:
    d = next(c for c in results.comparisons if c.baseline == "resnet18").difference
    interval = f"{d.value:+.3f} [{d.low:+.3f}, {d.high:+.3f}] AUC, sealed test"
    assert Reader(source).text.count(interval) == 2


def test_every_model_state_and_reason_is_told(results: Results, source: str) -> None:
    text = Reader(source).text
    for model in results.models:
        assert model.name in text
    for state in ("complete", "infeasible", "failed", "paused"):
        number = sum(t["state"] == state for t in results.trials)
        assert number
        assert f"{number} {state}" in text
    for trial in results.trials:
        if trial["failure"]:
            assert trial["failure"] in text
    assert "over its limit" in text
    for label, fact in (*results.data, *results.run):
        assert label in text
        assert fact in text
    for phrase in ("Not for clinical use", "bootstrap", "interleaved in one session", "sealed"):
        assert phrase in text


def test_the_tables_hold_the_given_numbers(results: Results, source: str) -> None:
    rows = Reader(source).rows
    for kind, models in (("front", results.front), ("baselines", results.baselines)):
        assert list(rows[f"table-{kind}"]) == [m.name for m in models]
        for model in models:
            assert rows[f"table-{kind}"][model.name] == [
                model.validation["auc"].value,
                model.sealed["auc"].value,
                *(
                    model.costs[cost]
                    for cost in ("latency_ms", "latency_p95_ms", "size_bytes", "params", "macs")
                ),
            ]


def test_examples_are_shown_with_their_titles_or_not_at_all(
    results: Results, source: str, errors: Results, empty: Results, tmp_path: Path
) -> None:
    text = Reader(source).text
    assert "Validation images" in text
    for example in results.examples:
        assert f"{example.title} {example.caption}" in text
    assert "truth" not in text, "nothing is drawn into these"
    assert f"truth {errors.chosen}" in Reader(written(errors, tmp_path)).text
    without = written(empty, tmp_path)
    assert "data:image/png" not in without.replace(get_plotlyjs(), "")
    assert "Validation images" not in Reader(without).text


def test_a_metric_is_told_with_its_unit_and_direction(errors: Results, tmp_path: Path) -> None:
    text = Reader(written(errors, tmp_path)).text
    assert "HD95 (pixels, less is better), sealed test" in text
    assert "HD95: distance between surfaces; less is better." in text
    assert "minimize HD95" in text
    assert "most accurate baseline" in text
    best = min(errors.baselines, key=lambda m: m.validation["hd95"].value)
    assert f"Against {best.name}" in text


def test_reasons_are_limited(results: Results, tmp_path: Path) -> None:
    one = next(t for t in results.trials if t["state"] == "failed")
    many = tuple(dict(one) | {"number": i, "name": f"lost-{i:03d}"} for i in range(50))
    text = Reader(written(replace(results, models=(), trials=many), tmp_path)).text
    assert text.count("lost-") == page.MAX_REASONS
    assert "The first 20 of 50" in text


def test_a_long_search_is_drawn_in_part_and_every_figure_says_so(
    results: Results, source: str, tmp_path: Path
) -> None:
    one = next(t for t in results.trials if t["origin"] == "search" and t["scores"])
    more = [dict(one) | {"number": i, "name": f"more-{i:04d}"} for i in range(1000, 3000)]
    many = replace(results, trials=(*results.trials, *more))
    drawn = drawing.thinned(many)
    front, others = len(results.front), drawing.MAX_TRIALS
    assert len(drawn.trials) == len(results.baselines) + front + others
    assert {m.trial for m in results.front} <= {t["number"] for t in drawn.trials}
    numbers = [t["number"] for t in drawn.trials if t["number"] >= 1000]
    assert max(b - a for a, b in pairwise(numbers)) <= 5
    told = f"Drawn are {len(drawn.trials)} of {len(many.trials)} trials"
    text = Reader(written(many, tmp_path)).text
    assert text.count(told) == 4
    assert f"What became of the {len(many.trials)} trials" in text
    assert "Drawn are" not in Reader(source).text
    assert drawing.thinned(results) == results
