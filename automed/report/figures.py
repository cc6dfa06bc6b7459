"""The figures of all trials: their scores by family, their curves, and every dimension's effect."""

import bisect
import html
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from automed.report.drawing import (
    BASELINE_COLOUR,
    GRID,
    INK,
    MEDIAN_BAR,
    PENCIL,
    Trial,
    final_score,
    group,
    hover,
    jittered,
    layout,
    linear_ticks,
    log_ticks,
    nothing,
    padded,
    palette,
    score_title,
    searched,
    timed,
    trial_text,
)
from automed.report.results import Results
from automed.report.text import metric_label, significant, value_text

MAX_DIMENSIONS = 12
MAX_VALUES = 10
"""Values of a dimension that each have a place of their own, if they are numbers."""
RANGES = 3
"""In which more of them are gathered."""
COLUMNS = 6

Measure = Callable[[Trial], float | None]


def families(results: Results) -> go.Figure:
    """Every trial's score by family; what has no score sits in a band to the left."""
    if not results.trials:
        return nothing("No trial was asked for")
    colours, score = palette(results), results.score
    rows = [(f, c, [t for t in searched(results) if t["family"] == f]) for f, c in colours.items()]
    if baselines := [t for t in results.trials if t["origin"] != "search"]:
        rows.append(("baselines", BASELINE_COLOUR, baselines))
    room = 24 + int(7.5 * max(len(name) for name, _, _ in rows))
    margin = {"l": min(room, 130), "r": 14, "t": 8, "b": 54}
    figure = go.Figure(layout=layout(height=70 + 52 * len(rows), margin=margin))
    scored = [t["scores"][score] for t in results.trials if score in t["scores"]]
    low, high = padded(scored or [0.0, 1.0], below=0.05, above=0.05)
    floor = low - 0.12 * (high - low)
    for row, (name, colour, trials) in enumerate(rows):
        with_score = [t for t in trials if score in t["scores"]]
        without = [t for t in trials if score not in t["scores"]]
        final = [t for t in with_score if final_score(t, score) is not None]
        stopped = [t for t in with_score if final_score(t, score) is None]
        symbol = "circle" if name in colours else "diamond-open"
        for mine, shape in ((final, symbol), (stopped, "circle-open"), (without, "x-thin-open")):
            figure.add_scatter(
                x=[t["scores"].get(score, floor) for t in mine],
                y=jittered(row, len(mine)),
                mode="markers",
                marker={
                    "size": 9,
                    "color": colour,
                    "opacity": 0.75,
                    "symbol": shape,
                    "line": {"width": 0 if shape == "circle" else 2},
                },
                **hover([trial_text(t, score) for t in mine]),
                **group(name),
            )
        if name in colours and len(final) > 1:
            middle = statistics.median(t["scores"][score] for t in final)
            figure.add_scatter(
                x=[middle, middle], y=[row - 0.36, row + 0.36], **MEDIAN_BAR, **group(name)
            )
    figure.add_vline(x=(floor + low) / 2, line={"color": PENCIL, "width": 1, "dash": "dot"})
    ticks = [t for t in linear_ticks(low, high) if t - floor > 0.2 * (high - floor)]
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[html.escape(name) for name, _, _ in rows],
        range=[len(rows) - 0.4, -0.6],
    )
    figure.update_xaxes(
        range=[floor - 0.06 * (high - low), high],
        tickvals=[floor, *ticks],
        ticktext=["no score", *(f"{t:g}" for t in ticks)],
        tickangle=0,
        title_text=score_title(results),
        **GRID,
    )
    return figure


def curves(results: Results) -> go.Figure:
    """Validation score by epoch: the front's models strong, the other trials faint."""
    colours, score = palette(results), results.score
    strong = {m.trial for m in results.front}
    trained = [t for t in results.trials if any(score in e for e in t["curve"])]
    if not trained:
        return nothing("No trial was trained by epochs")
    figure = go.Figure(layout=layout(height=420, margin={"l": 64, "r": 14, "t": 12, "b": 50}))
    for trial in sorted(trained, key=lambda t: t["number"] in strong):
        sought, on_front = trial["origin"] == "search", trial["number"] in strong
        points = [
            (e.get("epoch", i), e[score]) for i, e in enumerate(trial["curve"], 1) if score in e
        ]
        figure.add_scatter(
            x=[x for x, _ in points],
            y=[y for _, y in points],
            mode="lines",
            line={
                "color": colours[trial["family"]] if sought else BASELINE_COLOUR,
                "width": 2.6 if on_front else 1.1,
                "dash": "solid" if sought else "dot",
            },
            opacity=1.0 if on_front else 0.4 if sought else 0.75,
            **hover(trial_text(trial, score)),
            **group(trial["family"] if sought else "baselines"),
        )
    last = max(max(trace.x) for trace in figure.data)
    figure.update_xaxes(
        title_text="Epoch",
        range=[1 - 0.02 * last, 1.02 * last],
        tickvals=sorted({max(1, round(t)) for t in linear_ticks(0, max(last, 2))}),
        **GRID,
    )
    figure.update_yaxes(title_text=score_title(results), **GRID)
    return figure


def dimensions(results: Results) -> go.Figure:
    """Score and latency by every dimension of the search space, those shared by families first."""
    colours, score = palette(results), results.score
    trials = [t for t in searched(results) if timed(t["costs"])]
    names = _varied(trials)
    if not names:
        return nothing("No dimension took more than one value")
    scored = [value for t in trials if (value := final_score(t, score)) is not None]
    latencies = [math.log10(t["costs"]["latency_ms"]) for t in trials]
    low, high = padded(latencies, below=0.06, above=0.06)
    ticks = log_ticks(low, high)
    rows: tuple[tuple[str, Measure, dict[str, Any]], ...] = (
        (
            metric_label(score),
            lambda t: final_score(t, score),
            {"range": padded(scored or [0.0, 1.0], below=0.06, above=0.06)},
        ),
        (
            "Latency in ms",
            lambda t: t["costs"]["latency_ms"],
            {
                "type": "log",
                "range": (low, high),
                "tickvals": ticks,
                "ticktext": [significant(t) for t in ticks],
            },
        ),
    )
    figure = _small_plots(names)
    for k, name in enumerate(names):
        mine = [t for t in trials if name in t["config"]]
        named = _by_value(mine, name)
        band, column = divmod(k, COLUMNS)
        for offset, (title, measure, scale) in enumerate(rows):
            plot = {"row": 3 * band + offset + 1, "col": column + 1}
            _draw_strips(figure, plot, list(named.values()), measure, score, colours)
            figure.update_xaxes(
                tickvals=list(range(len(named))),
                ticktext=[html.escape(label) for label in named],
                showticklabels=offset == 1,
                range=[-0.6, len(named) - 0.4],
                tickfont={"size": 11},
                tickangle=0,
                **plot,
            )
            figure.update_yaxes(
                title_text=None if column else title,
                showticklabels=column == 0,
                **plot,
                **scale,
                **GRID,
            )
    return figure


def _varied(trials: Sequence[Trial]) -> list[str]:
    """Names that took more than one value, by how many families and then trials have them."""
    names = dict.fromkeys(n for t in trials for n in t["config"])
    having = {n: [t for t in trials if n in t["config"]] for n in names}
    varied = [n for n, ts in having.items() if len({t["config"][n] for t in ts}) > 1]
    varied.sort(key=lambda n: (-len({t["family"] for t in having[n]}), -len(having[n])))
    return varied[:MAX_DIMENSIONS]


def _by_value(trials: Sequence[Trial], name: str) -> dict[str, list[Trial]]:
    """Trials by what a dimension took; many numbers are gathered in a few ranges."""
    values = _in_order(trials, name)
    if len(values) <= MAX_VALUES or not all(isinstance(v, int | float) for v in values):
        return {value_text(v): [t for t in trials if t["config"][name] == v] for v in values}
    step = (values[-1] - values[0]) / RANGES
    tops = [values[0] + step * (i + 1) for i in range(RANGES - 1)] + [values[-1]]
    places = {id(t): bisect.bisect_left(tops, t["config"][name]) for t in trials}
    return {
        f"\u2264{significant(top, 2)}": [t for t in trials if places[id(t)] == place]
        for place, top in enumerate(tops)
    }


def _in_order(trials: Sequence[Trial], name: str) -> list[Any]:
    """The values a dimension took: numbers by size, words from cheap to costly in the median."""
    latencies: dict[Any, list[float]] = {}
    for t in trials:
        latencies.setdefault(t["config"][name], []).append(t["costs"]["latency_ms"])
    if all(isinstance(value, int | float) for value in latencies):
        return sorted(latencies)
    return sorted(latencies, key=lambda value: (statistics.median(latencies[value]), str(value)))


def _small_plots(names: Sequence[str]) -> go.Figure:
    """Bands of plots, a column for every name: its score, its latency, a gap."""
    bands = [names[i : i + COLUMNS] for i in range(0, len(names), COLUMNS)]
    specs: list[list[dict[str, Any] | None]] = []
    titles: list[str] = []
    for band in bands:
        plots: list[dict[str, Any] | None] = [{} if i < len(band) else None for i in range(COLUMNS)]
        specs += [plots, plots, [None] * COLUMNS]
        titles += [html.escape(metric_label(n)) for n in band] + [""] * len(band)
    specs.pop()  # no gap below the last band
    figure = make_subplots(
        rows=len(specs),
        cols=COLUMNS,
        specs=specs,
        row_heights=[0.2 if row % 3 == 2 else 1.0 for row in range(len(specs))],
        subplot_titles=titles,
        horizontal_spacing=0.022,
        vertical_spacing=0.03 / len(bands),
    )
    margin = {"l": 64, "r": 8, "t": 34, "b": 36}
    figure.update_layout(**layout(height=50 + 390 * len(bands), margin=margin))
    return figure.update_annotations(font={"size": 13, "color": INK})


def _draw_strips(
    figure: go.Figure,
    plot: Mapping[str, int],
    groups: Sequence[Sequence[Trial]],
    measure: Measure,
    score: str,
    colours: Mapping[str, str],
) -> None:
    """A strip of dots and a median for every group of trials, side by side in one plot."""
    spots: list[tuple[float, float, Trial]] = []
    bar_x: list[float | None] = []
    bar_y: list[float | None] = []
    for place, trials in enumerate(groups):
        measured = [(y, t) for t in trials if (y := measure(t)) is not None]
        across = jittered(place, len(measured))
        spots += [(x, y, t) for x, (y, t) in zip(across, measured, strict=True)]
        if len(measured) > 1:
            middle = statistics.median(y for y, _ in measured)
            bar_x += [place - 0.36, place + 0.36, None]
            bar_y += [middle, middle, None]
    for family, colour in colours.items():
        theirs = [spot for spot in spots if spot[2]["family"] == family]
        if theirs:
            figure.add_scatter(
                x=[x for x, _, _ in theirs],
                y=[y for _, y, _ in theirs],
                mode="markers",
                marker={"size": 6, "color": colour, "opacity": 0.7},
                **hover([trial_text(t, score) for _, _, t in theirs]),
                **group(family),
                **plot,
            )
    figure.add_scatter(x=bar_x, y=bar_y, **MEDIAN_BAR, **plot)
