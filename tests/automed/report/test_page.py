import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import plotly.graph_objects as go
import pytest
from plotly.offline import get_plotlyjs

from automed.errors import UnknownNameError
from automed.report import card, figures, page
from automed.report.results import Results

DRAWN = (figures.front, figures.families, figures.curves, figures.dimensions)
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


def test_the_page_fetches_nothing(results: Results, tmp_path: Path) -> None:
    source = written(results, tmp_path)
    fetched = {v for _, k, v in Reader(source).attributes if k in FETCHING}
    assert fetched == {m.artefact for m in results.front}
    own = source.replace(get_plotlyjs(), "")
    assert not re.search(r"url\(|@import|\bfetch\(|XMLHttpRequest", own)


def test_plotly_is_inlined_once_and_figures_have_fixed_names(
    results: Results, tmp_path: Path
) -> None:
    source = written(results, tmp_path)
    assert source.count(get_plotlyjs()) == 1
    for name in ("front", "families", "curves", "dimensions"):
        assert source.count(f'id="figure-{name}"') == 1


def test_the_same_results_give_the_same_bytes_and_no_scratch_file(
    results: Results, tmp_path: Path
) -> None:
    assert written(results, tmp_path) == written(results, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_hostile_names_stay_text(hostile: Results, tmp_path: Path) -> None:
    source = written(hostile, tmp_path)
    own = source.replace(get_plotlyjs(), "")
    assert "<script>alert" not in own
    reader = Reader(source)
    assert "<script>alert(1)</script>" in reader.text
    links = [v for tag, k, v in reader.attributes if (tag, k) == ("a", "href")]
    assert not [link for link in links if ":" in link]


def test_hostile_names_stay_text_in_figures(hostile: Results) -> None:
    for draw in DRAWN:
        figure = draw(hostile).update_traces(legendgroup=None)  # a key that is never shown
        assert "<script>" not in str(figure.to_dict())


def test_simulated_data_is_said_before_anything_else(results: Results, tmp_path: Path) -> None:
    source = written(results, tmp_path)
    assert results.simulated
    assert source.index('id="simulated"') < source.index('id="answer"')
    assert results.simulated in Reader(source).text
    assert 'id="simulated"' not in written(replace(results, simulated=None), tmp_path)


def test_an_interrupted_search_is_said(results: Results, tmp_path: Path) -> None:
    assert 'id="interrupted"' not in written(results, tmp_path)
    text = Reader(written(replace(results, complete=False), tmp_path)).text
    assert "Interrupted: shows what was finished." in text


def test_a_search_that_finished_nothing_still_has_a_page(empty: Results, tmp_path: Path) -> None:
    text = Reader(written(empty, tmp_path)).text
    assert "No model to take" in text
    assert empty.reason in text
    assert "No model reached the front." in text


@pytest.mark.parametrize("draw", DRAWN)
def test_every_figure_draws_whatever_there_is(draw: object, results: Results) -> None:
    assert callable(draw)
    failed = tuple(t for t in results.trials if t["state"] == "failed")
    for case in (
        replace(results, models=(), trials=(), chosen=None),
        replace(results, models=(), trials=failed, chosen=None),
        replace(results, models=results.baselines, chosen=None),
        replace(results, models=results.front[:1], trials=results.trials[6:8]),
        replace(results, score="unknown"),
    ):
        assert isinstance(draw(case), go.Figure)


def test_a_sealed_part_that_was_not_opened_is_not_claimed(results: Results, tmp_path: Path) -> None:
    sealed = replace(
        results, comparisons=(), models=tuple(replace(m, sealed={}) for m in results.models)
    )
    text = Reader(written(sealed, tmp_path)).text
    assert "test still sealed" in text
    assert "here it has not been opened" in text


def test_every_model_state_and_reason_is_told(results: Results, tmp_path: Path) -> None:
    text = Reader(written(results, tmp_path)).text
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


def test_the_tables_hold_the_given_numbers(results: Results, tmp_path: Path) -> None:
    rows = Reader(written(results, tmp_path)).rows
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


def test_reasons_are_limited(results: Results, tmp_path: Path) -> None:
    one = next(t for t in results.trials if t["state"] == "failed")
    many = tuple(dict(one) | {"number": i, "name": f"lost-{i:03d}"} for i in range(50))
    text = Reader(written(replace(results, trials=many), tmp_path)).text
    assert text.count("lost-") == page.MAX_REASONS
    assert "The first 20 of 50" in text


def test_families_keep_their_colour_in_every_figure(results: Results) -> None:
    colours = figures.palette(results)
    assert len(set(colours.values())) == len(colours) == 5
    for draw in DRAWN:
        for trace in draw(results).data:
            if trace.legendgroup in colours and trace.hoverinfo != "skip":
                style = trace.marker.color or trace.line.color
                assert style == colours[trace.legendgroup]


def test_the_front_shows_the_given_points(results: Results) -> None:
    drawn = {
        (x, y)
        for trace in figures.front(results).data
        for x, y in zip(trace.x, trace.y, strict=True)
    }
    for model in results.front:
        assert (model.costs["latency_ms"], model.validation["auc"].value) in drawn
    labels = {re.sub("<.*?>", "", a.text) for a in figures.front(results).layout.annotations}
    assert f"{results.chosen}, the knee" in labels
    assert len(labels) == len(results.models)


def test_the_card_says_what_the_file_is(results: Results, tmp_path: Path) -> None:
    model = next(m for m in results.models if m.name == results.chosen)
    card.write(results, model.name, tmp_path / "card.md")
    text = (tmp_path / "card.md").read_text(encoding="utf-8")
    plain = text.replace("\\", "")
    assert results.simulated
    assert model.config
    first = next(line for line in text.splitlines() if line and not line.startswith("#"))
    assert results.simulated in first
    for needed in (
        "Not for clinical use",
        results.title,
        model.family,
        card.interval_text(model.validation["auc"]),
        card.interval_text(model.sealed["auc"]),
        card.milliseconds(model.costs["latency_ms"]),
        card.size(model.costs["size_bytes"]),
        model.artefact or "",
        "loaded again",
        "## Limits",
        *(label for label, _ in (*results.data, *results.run)),
        *model.config,
        *(m.name for m in results.baselines),
    ):
        assert needed in plain
    assert [p.name for p in tmp_path.iterdir()] == ["card.md"]


def test_the_card_of_a_baseline_and_of_hostile_names(hostile: Results, tmp_path: Path) -> None:
    card.write(hostile, "resnet18", tmp_path / "card.md")
    assert "not verified against a network" in (tmp_path / "card.md").read_text()
    assert hostile.chosen
    card.write(hostile, hostile.chosen, tmp_path / "card.md")
    assert "<script" not in (tmp_path / "card.md").read_text().replace("\\<", "")


def test_a_comparison_is_told_with_its_paired_interval(results: Results, tmp_path: Path) -> None:
    model = next(m for m in results.models if m.name == results.chosen)
    given = next(c for c in results.comparisons if c.baseline == "resnet18")
    d = given.difference
    interval = f"{d.value:+.3f} [{d.low:+.3f}, {d.high:+.3f}] AUC, sealed test"
    resnet18 = next(m for m in results.baselines if m.name == "resnet18")
    assert card.compare(results, model, resnet18) == ("4.6\u00d7 faster", interval)
    assert Reader(written(results, tmp_path)).text.count(interval) == 2  # a tile and a row
    sealed = replace(
        results, comparisons=(), models=tuple(replace(m, sealed={}) for m in results.models)
    )
    chosen, baseline = replace(model, sealed={}), replace(resnet18, sealed={})
    gain = model.validation["auc"].value - resnet18.validation["auc"].value
    assert card.compare(sealed, chosen, baseline)[1] == f"{gain:+.3f} AUC, validation"


def test_the_card_of_no_known_model_is_refused(results: Results, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="resnet18-w8"):
        card.write(results, "resnet18-w9", tmp_path / "card.md")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (card.metric_label("auc"), "AUC"),
        (card.metric_label("balanced_accuracy"), "Balanced accuracy"),
        (card.metric_label("macro_f1"), "Macro F1"),
        (card.cost_label("latency_p95_ms"), "latency p95"),
        (card.cost_text("latency_ms", 2.0), "2 ms"),
        (card.cost_text("size_bytes", 2e6), "2 MB"),
        (card.cost_text("params", 1500), "1.5 k"),
        (card.milliseconds(0.0316), "0.0316 ms"),
        (card.milliseconds(1234.0), "1234 ms"),
        (card.size(999), "999 B"),
        (card.size(912_345), "912 kB"),
        (card.count(11_170_000), "11.2 M"),
        (card.significant(2.4e-6, 2), "2.4e-06"),
        (card.significant(0.0), "0"),
    ],
)
def test_numbers_read_as_people_write_them(given: str, shown: str) -> None:
    assert given == shown
