import math
import re
from dataclasses import replace

import plotly.graph_objects as go
import pytest

from automed.report import drawing, labels
from automed.report.page import FIGURES
from automed.report.results import Results


@pytest.fixture(scope="module")
def drawn(results: Results) -> dict[str, go.Figure]:
    return {name: draw(results) for name, draw in FIGURES.items()}


def test_hostile_names_stay_text_in_figures(hostile: Results) -> None:
    for draw in FIGURES.values():
        figure = draw(hostile).update_traces(legendgroup=None)  # a key that is never shown
        assert "<script>" not in str(figure.to_dict())


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_draws_whatever_there_is(name: str, results: Results) -> None:
    failed = tuple(t for t in results.trials if t["state"] == "failed")
    for case in (
        replace(results, models=(), trials=(), chosen=None),
        replace(results, models=(), trials=failed, chosen=None),
        replace(results, models=results.baselines, trials=results.trials[:12], chosen=None),
        replace(results, models=results.front[:1], trials=results.trials[6:8]),
        replace(results, trials=results.trials[:12], score="unknown"),
    ):
        assert isinstance(FIGURES[name](case), go.Figure)


def test_families_keep_their_colour_in_every_figure(
    results: Results, drawn: dict[str, go.Figure]
) -> None:
    colours = drawing.palette(results)
    assert len(set(colours.values())) == len(colours) == 5
    for figure in drawn.values():
        for trace in figure.data:
            if trace.legendgroup in colours and trace.hoverinfo != "skip":
                style = trace.marker.color or trace.line.color
                assert style == colours[trace.legendgroup]


def test_the_front_shows_the_given_points(results: Results, drawn: dict[str, go.Figure]) -> None:
    front = drawn["front"]
    points = {(x, y) for trace in front.data for x, y in zip(trace.x, trace.y, strict=True)}
    for model in results.front:
        assert (model.costs["latency_ms"], model.validation["auc"].value) in points
    names = {re.sub("<.*?>", "", a.text) for a in front.layout.annotations}
    assert f"{results.chosen}, the knee" in names
    assert len(names) == len(results.models)


def test_up_is_better_for_an_error_too(errors: Results) -> None:
    front = FIGURES["front"](errors)
    bottom, top = front.layout.yaxis.range
    assert bottom > top
    assert min(front.layout.yaxis.tickvals) >= 0
    assert front.layout.yaxis.title.text == "HD95 (pixels, less is better), validation part"
    points = {(x, y) for trace in front.data for x, y in zip(trace.x, trace.y, strict=True)}
    for model in errors.front:
        assert (model.costs["latency_ms"], model.validation["hd95"].value) in points
    beyond = [m for m in errors.baselines if m.validation["hd95"].value > bottom]
    assert beyond, "logistic regression is far worse"
    assert all(y <= bottom for _, y in points)


@pytest.mark.parametrize(("low", "high"), [(0.377, 0.49), (0.31, 0.33), (0.5, 4.0), (1e-3, 1e3)])
def test_a_latency_axis_always_has_ticks(low: float, high: float) -> None:
    ticks = drawing.log_ticks(math.log10(low), math.log10(high))
    assert 2 <= len(ticks) <= 10
    assert all(low <= t <= high for t in ticks)


@pytest.mark.parametrize(
    ("latencies", "order"),
    [
        ({"se": 1.0, "none": 0.5, "eca": 2.0}, ["none", "se", "eca"]),
        ({16: 1.0, 8: 2.0, 0.5: 3.0}, ["0.5", "8", "16"]),
        ({True: 1.0, False: 2.0}, ["no", "yes"]),
        ({3: 1.0, "all": 2.0, None: 0.5}, ["None", "3", "all"]),
    ],
)
def test_numbers_go_by_size_and_words_from_cheap_to_costly(
    latencies: dict[object, float], order: list[str], results: Results
) -> None:
    one = next(t for t in results.trials if t["origin"] == "search" and t["scores"])
    trials = tuple(
        dict(one) | {"config": {"kind": value}, "costs": {"latency_ms": latency}}
        for value, latency in latencies.items()
    )
    figure = FIGURES["dimensions"](replace(results, trials=trials))
    assert list(figure.layout.xaxis.ticktext) == order


def test_many_numbers_are_gathered_in_ranges(results: Results) -> None:
    one = next(t for t in results.trials if t["origin"] == "search" and t["scores"])
    trials = tuple(dict(one) | {"config": {"dropout": i / 60}} for i in range(31))
    figure = FIGURES["dimensions"](replace(results, trials=trials))
    assert list(figure.layout.xaxis.ticktext) == ["\u22640.17", "\u22640.33", "\u22640.5"]
    dots = next(trace for trace in figure.data if trace.mode == "markers")
    assert [sum(round(x) == place for x in dots.x) for place in range(3)] == [11, 10, 10]


def test_the_front_leaves_out_what_was_stopped_and_the_families_show_it(
    results: Results,
) -> None:
    paused = [t for t in results.trials if t["state"] == "paused" and t["scores"]]
    assert paused
    ended = replace(results, trials=tuple(t for t in results.trials if t not in paused))
    for name in ("front", "families"):
        drawn = [FIGURES[name](some).to_dict()["data"] for some in (results, ended)]
        points = [sum(len(trace["x"]) for trace in data if "x" in trace) for data in drawn]
        assert points[0] - points[1] == (0 if name == "front" else len(paused))


def test_labels_cover_no_label_and_no_point() -> None:
    points = [
        labels.Point(x=0.1 + 0.08 * i, y=200.0, text=f"model-{i:03d}", bold=i == 4, above=i % 2 > 0)
        for i in range(10)
    ]
    widths = (400.0, 1100.0)
    places = [p for p in labels.places(points, [], widths, 500.0) if p]
    assert len(places) == len(points)
    for i, place in enumerate(places):
        assert all(place.box.within(w, 500.0) for w in widths)
        assert all(place.box.clear_of(other.box, widths) for other in places[:i])


def test_a_label_without_room_is_left_out() -> None:
    point = labels.Point(x=0.5, y=10.0, text="a name longer than the plot", bold=False, above=True)
    assert labels.places([point], [], (100.0,), 500.0) == [None]


@pytest.mark.parametrize("logarithmic", [False, True])
def test_a_cloud_shows_the_chosen_model_alone(results: Results, logarithmic: bool) -> None:
    assert results.drawn is not None
    xs, ys = (3.0, 40.0, 900.0), (0.2, 0.5, 0.9)
    plot = replace(
        results.drawn,
        joined=False,
        diagonal=False,
        logarithmic=logarithmic,
        traces={results.chosen: (xs, ys)},
    )
    (trace,) = (figure := FIGURES["problem"](replace(results, drawn=plot))).data
    assert (trace.mode, trace.x, trace.y) == ("markers", xs, ys)
    low, high = figure.layout.xaxis.range or (None, None)
    if logarithmic:
        assert low < math.log10(3)
        assert high > math.log10(900)


def test_the_chosen_model_is_drawn_over_the_baselines(
    results: Results, drawn: dict[str, go.Figure]
) -> None:
    lines = [trace for trace in drawn["problem"].data if trace.showlegend is not False]
    assert lines[-1].name == results.chosen
    assert len(lines) == 1 + len(results.baselines)
    assert lines[-1].line.width > lines[0].line.width
