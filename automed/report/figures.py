"""The figures of the report, each a pure function of the results."""

import html
import itertools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from automed.front import knee
from automed.report.card import interval_text, metric_label, milliseconds, significant, value_text
from automed.report.results import Model, Results

# Okabe and Ito 2008, without yellow (faint on white) and grey (kept for baselines).
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
BASELINE_COLOUR = "#5f6b7a"
INK = "#1f2933"
FAINT = "#e6e9ee"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
FRONT_HEIGHT = 560
FRONT_MARGIN = {"l": 64, "r": 14, "t": 12, "b": 54}
PLOT_WIDTHS = (256.0, 1130.0)  # of the front's plot, on a phone and on a wide page
LABEL_SIZE = 12
LABEL_HEIGHT = 18.0
DOWN = "triangle-down-open"
MAX_DIMENSIONS = 12
COLUMNS = 6

Trial = Mapping[str, Any]


def palette(results: Results) -> dict[str, str]:
    """A colour for every searched family, by its place in the alphabet, in every figure alike."""
    families = {t["family"] for t in results.trials if t["origin"] == "search"}
    families |= {m.family for m in results.front}
    return {f: OKABE_ITO[i % len(OKABE_ITO)] for i, f in enumerate(sorted(families))}


def front(results: Results) -> go.Figure:
    """Validation score against latency: the trials, the front, the baselines and the choice."""
    colours, score = palette(results), results.score
    models = [m for m in results.models if _has(m.validation, score) and _latency(m.costs)]
    best = [m for m in models if m.origin == "search"]
    others = [m for m in models if m.origin != "search"]
    shown = {m.trial for m in best}
    trials = [
        t
        for t in _searched(results)
        if _has(t["scores"], score) and _latency(t["costs"]) and t["number"] not in shown
    ]
    figure = _figure(height=FRONT_HEIGHT, margin=FRONT_MARGIN)
    if not models and not trials:
        return _nothing(figure, "No model was trained")

    low, high = _span(best, others, trials, score)
    edge = low + 0.02 * (high - low)
    for family, colour in colours.items():
        mine = [t for t in trials if t["family"] == family]
        figure.add_scatter(
            x=[t["costs"]["latency_ms"] for t in mine],
            y=[max(t["scores"][score], edge) for t in mine],
            mode="markers",
            marker={
                "size": 8,
                "color": colour,
                "opacity": 0.38,
                "symbol": ["circle" if t["scores"][score] >= edge else DOWN for t in mine],
            },
            text=[_trial_hover(t, score) for t in mine],
            **_named(family),
        )
    figure.add_scatter(
        x=[m.costs["latency_ms"] for m in best],
        y=[m.validation[score].value for m in best],
        mode="lines",
        line={"shape": "hv", "color": INK, "width": 1.6},
        hoverinfo="skip",
        **_named("front"),
    )
    for family, colour in colours.items():
        mine_best = [m for m in best if m.family == family]
        values = [m.validation[score] for m in mine_best]
        figure.add_scatter(
            x=[m.costs["latency_ms"] for m in mine_best],
            y=[v.value for v in values],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [v.high - v.value for v in values],
                "arrayminus": [v.value - v.low for v in values],
                "thickness": 1.3,
                "width": 4,
                "color": colour,
            },
            mode="markers",
            marker={"size": 13, "color": colour, "line": {"color": "white", "width": 1.5}},
            text=[_model_hover(m, score) for m in mine_best],
            **_named(family),
        )
    figure.add_scatter(
        x=[m.costs["latency_ms"] for m in others],
        y=[max(m.validation[score].value, edge) for m in others],
        mode="markers",
        marker={
            "size": 11,
            "symbol": [
                "diamond-open" if m.validation[score].value >= edge else DOWN for m in others
            ],
            "color": BASELINE_COLOUR,
            "line": {"width": 2},
        },
        text=[_model_hover(m, score) for m in others],
        **_named("baselines"),
    )
    chosen = [m for m in best if m.name == results.chosen]
    figure.add_scatter(
        x=[m.costs["latency_ms"] for m in chosen],
        y=[m.validation[score].value for m in chosen],
        mode="markers",
        marker={"size": 25, "symbol": "circle-open", "color": INK, "line": {"width": 2.5}},
        hoverinfo="skip",
        **_named("chosen"),
    )
    latencies = [m.costs["latency_ms"] for m in models]
    latencies += [t["costs"]["latency_ms"] for t in trials]
    left, right = _padded([math.log10(x) for x in latencies], below=0.05, above=0.05)
    ticks = _log_ticks(left, right)
    figure.update_xaxes(
        type="log",
        range=[left, right],
        tickvals=ticks,
        ticktext=[significant(t) for t in ticks],
        title_text="Latency in ms (log scale)",
        **_grid(),
    )
    scores = _linear_ticks(low, high)
    figure.update_yaxes(
        range=[low, high],
        tickvals=[t for t in scores if t <= 1 or scores[0] >= 1],  # most scores end at 1
        title_text=f"{metric_label(score)}, validation part",
        **_grid(),
    )
    height = float(FRONT_HEIGHT - FRONT_MARGIN["t"] - FRONT_MARGIN["b"])

    def across(latency: float) -> float:
        return (math.log10(latency) - left) / (right - left)

    def down(value: float) -> float:
        return (high - max(value, edge)) / (high - low) * height

    ordered = (*chosen, *(m for m in best if m not in chosen), *others)
    points = [
        _Point(
            x=across(m.costs["latency_ms"]),
            y=down(m.validation[score].value),
            text=_label(m, best, results, edge),
            bold=m.name == results.chosen,
            above=m.origin == "search",
        )
        for m in ordered
    ]
    obstacles = _step(
        [(across(m.costs["latency_ms"]), down(m.validation[score].value)) for m in best]
    )
    for m in best:
        x, interval = across(m.costs["latency_ms"]), m.validation[score]
        top, bottom = down(interval.high), down(interval.low)
        obstacles.append(_Box(x0=x, x1=x, left=-5, right=5, top=top, bottom=bottom))
    for model, point, place in zip(
        ordered, points, _places(points, obstacles, (*PLOT_WIDTHS, height)), strict=True
    ):
        if place is None:
            continue
        figure.add_annotation(
            x=math.log10(model.costs["latency_ms"]),
            y=max(model.validation[score].value, edge),
            text=f"<b>{html.escape(point.text)}</b>" if point.bold else html.escape(point.text),
            ax=place.dx,
            ay=place.dy,
            xanchor=place.anchor,
            yanchor="middle",
            showarrow=True,
            arrowhead=0,
            arrowwidth=1,
            arrowcolor="#9aa5b1",
            standoff=13 if point.bold else 7,
            font={"size": LABEL_SIZE, "color": INK if point.above else BASELINE_COLOUR},
            bgcolor="rgba(255,255,255,0.82)",
            borderpad=1,
        )
    return figure


def families(results: Results) -> go.Figure:
    """Every trial's score by family; what has no score sits in a band to the left."""
    colours, score = palette(results), results.score
    groups = [
        (f, c, [t for t in _searched(results) if t["family"] == f]) for f, c in colours.items()
    ]
    rest = [t for t in results.trials if t["origin"] != "search"]
    if rest:
        groups.append(("baselines", BASELINE_COLOUR, rest))
    room = 24 + int(7.5 * max((len(name) for name, _, _ in groups), default=0))
    figure = _figure(
        height=70 + 52 * max(len(groups), 1), margin={"l": min(room, 130), "r": 14, "t": 8, "b": 54}
    )
    if not results.trials:
        return _nothing(figure, "No trial was asked for")
    scored = [t["scores"][score] for t in results.trials if _has(t["scores"], score)]
    low, high = _padded(scored or [0.0, 1.0], below=0.05, above=0.05)
    floor = low - 0.12 * (high - low)
    for row, (name, colour, trials) in enumerate(groups):
        with_score = [t for t in trials if _has(t["scores"], score)]
        without = [t for t in trials if not _has(t["scores"], score)]
        for mine, symbol, thick in (
            (with_score, "circle" if name in colours else "diamond-open", name not in colours),
            (without, "x-thin-open", True),
        ):
            figure.add_scatter(
                x=[t["scores"].get(score, floor) for t in mine],
                y=_jittered(row, len(mine)),
                mode="markers",
                marker={
                    "size": 9,
                    "color": colour,
                    "opacity": 0.75,
                    "symbol": symbol,
                    "line": {"width": 2 if thick else 0},
                },
                text=[_trial_hover(t, score) for t in mine],
                **_named(name),
            )
        if name in colours and len(with_score) > 1:
            middle = statistics.median(t["scores"][score] for t in with_score)
            figure.add_scatter(
                x=[middle, middle], y=[row - 0.36, row + 0.36], legendgroup=name, **_BAR
            )
    figure.add_vline(x=(floor + low) / 2, line={"color": "#9aa5b1", "width": 1, "dash": "dot"})
    ticks = [t for t in _linear_ticks(low, high) if t - floor > 0.2 * (high - floor)]
    figure.update_yaxes(
        tickvals=list(range(len(groups))),
        ticktext=[html.escape(name) for name, _, _ in groups],
        range=[len(groups) - 0.4, -0.6],
    )
    figure.update_xaxes(
        range=[floor - 0.06 * (high - low), high],
        tickvals=[floor, *ticks],
        ticktext=["no score", *(f"{t:g}" for t in ticks)],
        tickangle=0,
        title_text=f"{metric_label(score)}, validation part",
        **_grid(),
    )
    return figure


def curves(results: Results) -> go.Figure:
    """Validation score by epoch: the front's models strong, the other trials faint."""
    colours, score = palette(results), results.score
    figure = _figure(height=420, margin={"l": 64, "r": 14, "t": 12, "b": 50})
    emphasised = {m.trial for m in results.front if m.trial is not None}
    trained = [t for t in results.trials if any(_has(e, score) for e in t["curve"])]
    if not trained:
        return _nothing(figure, "No trial was trained by epochs")
    for trial in sorted(trained, key=lambda t: t["number"] in emphasised):
        searched, strong = trial["origin"] == "search", trial["number"] in emphasised
        points = [
            (e.get("epoch", i), e[score])
            for i, e in enumerate(trial["curve"], start=1)
            if _has(e, score)
        ]
        figure.add_scatter(
            x=[x for x, _ in points],
            y=[y for _, y in points],
            mode="lines",
            line={
                "color": colours.get(trial["family"], INK) if searched else BASELINE_COLOUR,
                "width": 2.6 if strong else 1.1,
                "dash": "solid" if searched else "dot",
            },
            opacity=1.0 if strong else 0.75 if not searched else 0.4,
            text=[_trial_hover(trial, score)] * len(points),
            **_named(trial["family"] if searched else "baselines"),
        )
    last = max(max(trace.x) for trace in figure.data)
    figure.update_xaxes(
        title_text="Epoch",
        range=[1 - 0.02 * last, 1.02 * last],
        tickvals=sorted({max(1, round(t)) for t in _linear_ticks(0, max(last, 2))}),
        **_grid(),
    )
    figure.update_yaxes(title_text=f"{metric_label(score)}, validation part", **_grid())
    return figure


def dimensions(results: Results) -> go.Figure:
    """Score and latency by every dimension of the search space, those shared by families first."""
    colours, score = palette(results), results.score
    trials = [t for t in _searched(results) if _latency(t["costs"])]
    names = _dimensions(trials)
    if not names:
        return _nothing(_figure(height=120, margin={}), "No dimension took more than one value")
    bands = [names[i : i + COLUMNS] for i in range(0, len(names), COLUMNS)]
    titles = [
        html.escape(metric_label(n)) if k == 0 else ""
        for band in bands
        for k in (0, 1)
        for n in (band + [""] * COLUMNS)[:COLUMNS]
    ]
    rows = 3 * len(bands) - 1  # score, latency, and a gap between bands
    plots: list[dict[str, Any] | None] = [{}] * COLUMNS
    figure = make_subplots(
        rows=rows,
        cols=COLUMNS,
        specs=[[None] * COLUMNS if row % 3 == 2 else plots for row in range(rows)],
        row_heights=[0.2 if row % 3 == 2 else 1.0 for row in range(rows)],
        subplot_titles=titles,
        horizontal_spacing=0.022,
        vertical_spacing=0.03 / len(bands),
    )
    figure.update_layout(
        **_layout(height=50 + 390 * len(bands), margin={"l": 64, "r": 8, "t": 34, "b": 36})
    )
    figure.update_annotations(font={"size": 13, "color": INK})
    scored = [t["scores"][score] for t in trials if score in t["scores"]]
    spans = (
        _padded(scored or [0.0, 1.0], below=0.06, above=0.06),
        _padded([math.log10(t["costs"]["latency_ms"]) for t in trials], below=0.06, above=0.06),
    )
    ticks = _log_ticks(*spans[1])
    for k, name in enumerate(names):
        first, column = 3 * (k // COLUMNS) + 1, k % COLUMNS + 1
        mine = [t for t in trials if name in t["config"]]
        values = _ordered({t["config"][name] for t in mine})
        for offset, pick in enumerate((_score_of(score), _latency_of)):
            row = first + offset
            spots: list[tuple[float, Trial]] = []
            bar_x: list[float | None] = []
            bar_y: list[float | None] = []
            for place, value in enumerate(values):
                here = [t for t in mine if t["config"][name] == value and pick(t) is not None]
                spots += zip(_jittered(place, len(here)), here, strict=True)
                if len(here) > 1:
                    middle = statistics.median(pick(t) for t in here)
                    bar_x += [place - 0.36, place + 0.36, None]
                    bar_y += [middle, middle, None]
            for family, colour in colours.items():
                theirs = [(x, t) for x, t in spots if t["family"] == family]
                if not theirs:
                    continue
                figure.add_scatter(
                    x=[x for x, _ in theirs],
                    y=[pick(t) for _, t in theirs],
                    mode="markers",
                    marker={"size": 6, "color": colour, "opacity": 0.7},
                    text=[_trial_hover(t, score) for _, t in theirs],
                    row=row,
                    col=column,
                    **_named(family),
                )
            figure.add_scatter(x=bar_x, y=bar_y, row=row, col=column, **_BAR)
            figure.update_xaxes(
                tickvals=list(range(len(values))),
                ticktext=[html.escape(value_text(v)) for v in values],
                showticklabels=offset == 1,
                range=[-0.6, len(values) - 0.4],
                tickfont={"size": 11},
                row=row,
                col=column,
            )
            left = column == 1
            scale: dict[str, Any] = {"range": spans[0]}
            if offset:
                scale = {
                    "type": "log",
                    "range": spans[1],
                    "tickvals": ticks,
                    "ticktext": [significant(t) for t in ticks],
                }
            figure.update_yaxes(
                title_text=("Latency in ms" if offset else metric_label(score)) if left else None,
                showticklabels=left,
                row=row,
                col=column,
                **scale,
                **_grid(),
            )
    for k in range(len(names), len(bands) * COLUMNS):
        for offset in (0, 1):
            cell = {"row": 3 * (k // COLUMNS) + 1 + offset, "col": k % COLUMNS + 1}
            figure.update_xaxes(visible=False, **cell)
            figure.update_yaxes(visible=False, **cell)
    return figure


@dataclass(frozen=True, kw_only=True)
class _Point:
    """A point that wants a label: x as a share of the width, y in pixels from the top.

    The front's labels go above it where they can, the baselines' below.
    """

    x: float
    y: float
    text: str
    bold: bool
    above: bool


@dataclass(frozen=True, kw_only=True)
class _Box:
    """A rectangle whose edges hang on shares of the width, so that it moves with the page.

    At plot width w it reaches from x0 * w + left to x1 * w + right.
    """

    x0: float
    x1: float
    left: float
    right: float
    top: float
    bottom: float

    def clear_of(self, other: "_Box", widths: Sequence[float]) -> bool:
        """The two touch at no width: one is above the other, or left of it, at all of them."""
        return (
            self.top >= other.bottom
            or other.top >= self.bottom
            or all(self._left_of(other, w) for w in widths)
            or all(other._left_of(self, w) for w in widths)
        )

    def within(self, width: float, height: float) -> bool:
        """Nothing sticks out of a plot of this size."""
        across = self.x0 * width + self.left >= 0 and self.x1 * width + self.right <= width
        return across and self.top >= 0 and self.bottom <= height

    def _left_of(self, other: "_Box", width: float) -> bool:
        return self.x1 * width + self.right <= other.x0 * width + other.left


@dataclass(frozen=True, kw_only=True)
class _Place:
    """A label's offset in pixels from its point, and which part of the text hangs there.

    Its box is the text's; its leader is the box around the line from the point to the text.
    """

    dx: int
    dy: int
    anchor: str
    box: _Box
    leader: _Box


def _step(points: Sequence[tuple[float, float]]) -> list[_Box]:
    """The horizontal and vertical pieces of the line through a front's points."""
    boxes = []
    for (x, y), (right, below) in itertools.pairwise(points):
        top, bottom = sorted((y, below))
        boxes.append(_Box(x0=x, x1=right, left=0, right=0, top=y - 2, bottom=y + 2))
        boxes.append(_Box(x0=right, x1=right, left=-2, right=2, top=top, bottom=bottom))
    return boxes


def _places(
    points: Sequence[_Point], lines: Sequence[_Box], size: tuple[float, float, float]
) -> list[_Place | None]:
    """Where each point's label goes, or None where there is no room for it.

    Greedy: each label takes the nearest place that covers neither a label, a point nor a line, at
    the narrowest and the widest plot; what holds at both holds between, as gaps are linear in the
    width. Where no such place is left a label may cover leaders, then lines, then points, but
    never a label.
    """
    *widths, height = size
    markers = [_marker(p) for p in points]
    taken: list[_Box] = []
    leaders: list[_Box] = []
    places: list[_Place | None] = []
    for point in points:
        free = [
            place
            for place in _around(point)
            if all(place.box.within(w, height) for w in widths)
            and all(place.box.clear_of(box, widths) for box in (*taken, _marker(point)))
        ]
        chosen = next(
            (
                place
                for obstacles, crossed in (
                    ((*markers, *lines, *leaders), taken),
                    ((*markers, *lines), ()),
                    (markers, ()),
                    ((), ()),
                )
                for place in free
                if all(place.box.clear_of(box, widths) for box in obstacles)
                and all(place.leader.clear_of(box, widths) for box in crossed)
            ),
            None,
        )
        if chosen:
            taken.append(chosen.box)
            leaders.append(chosen.leader)
        places.append(chosen)
    return places


def _around(point: _Point) -> list[_Place]:
    """Places for a label around its point: the nearest first, those on its wrong side later."""
    length = (0.63 if point.bold else 0.57) * LABEL_SIZE * len(point.text) + 8
    places = []
    for dy in range(-260, 261, 5):
        top, bottom = point.y + dy - LABEL_HEIGHT / 2, point.y + dy + LABEL_HEIGHT / 2
        for dx in (16, -16, 0, 32, -32, 60, -60):
            for anchor, share in (("left", 0.0), ("center", 0.5), ("right", 1.0)):
                left = dx - share * length
                box = _Box(
                    x0=point.x,
                    x1=point.x,
                    left=left - 2,
                    right=left + length + 2,
                    top=top,
                    bottom=bottom,
                )
                leader = _Box(
                    x0=point.x,
                    x1=point.x,
                    left=min(dx, -2),
                    right=max(dx, 2),
                    top=min(point.y, bottom),
                    bottom=max(point.y, top),
                )
                gap = max(left, -left - length, 0.0), max(abs(dy) - LABEL_HEIGHT / 2, 0.0)
                away = math.hypot(*gap) + 0.04 * abs(left + length / 2) + 0.1 * abs(dx)
                away += 30 * (dy > 10 if point.above else dy < -10)
                place = _Place(dx=dx, dy=dy, anchor=anchor, box=box, leader=leader)
                places.append((away, place))
    return [place for _, place in sorted(places, key=lambda scored: scored[0])]


def _marker(point: _Point) -> _Box:
    half = 14 if point.bold else 9
    return _Box(
        x0=point.x, x1=point.x, left=-half, right=half, top=point.y - half, bottom=point.y + half
    )


def _span(
    best: Sequence[Model], others: Sequence[Model], trials: Sequence[Trial], score: str
) -> tuple[float, float]:
    """Scores the front's axis shows: the front's intervals and the baselines not far below."""
    ends = [end for m in best for end in (m.validation[score].low, m.validation[score].high)]
    values = [m.validation[score].value for m in others]
    if ends:
        reach = min(ends) - 0.6 * (max(ends) - min(ends))
        ends += [v for v in values if v >= reach]
    return _padded(ends or values or [t["scores"][score] for t in trials], below=0.1, above=0.22)


def _label(model: Model, best: Sequence[Model], results: Results, edge: float) -> str:
    if model.name != results.chosen or model not in best:
        value = model.validation[results.score].value
        return f"{model.name} ({value:.3f})" if value < edge else model.name
    scores = [m.validation[results.score].value for m in best]
    at_knee = best[knee(scores, [m.costs["latency_ms"] for m in best])] is model
    return f"{model.name}, the knee" if at_knee and len(best) > 2 else f"{model.name}, chosen"


_BAR: dict[str, Any] = {
    "mode": "lines",
    "line": {"color": INK, "width": 2},
    "hoverinfo": "skip",
}


def _layout(*, height: int, margin: Mapping[str, int]) -> dict[str, Any]:
    return {
        "template": "simple_white",
        "height": height,
        "margin": {**margin, "autoexpand": False},
        "font": {"family": FONT, "size": 13, "color": INK},
        "showlegend": False,
        "hovermode": "closest",
        "hoverlabel": {"bgcolor": "white", "font": {"size": 12}, "align": "left"},
        "dragmode": False,
    }


def _figure(*, height: int, margin: Mapping[str, int]) -> go.Figure:
    return go.Figure(layout=_layout(height=height, margin=margin))


def _nothing(figure: go.Figure, text: str) -> go.Figure:
    figure.update_layout(height=120)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure.add_annotation(text=text, showarrow=False, font={"size": 15})


def _grid() -> dict[str, Any]:
    return {"showgrid": True, "gridcolor": FAINT, "zeroline": False, "minor": {"ticks": ""}}


def _named(group: str) -> dict[str, Any]:
    hover = {"hovertemplate": "%{text}<extra></extra>"}
    name = html.escape(group)
    return {"name": name, "legendgroup": group} | ({} if group in ("front", "chosen") else hover)


def _searched(results: Results) -> list[Trial]:
    return [t for t in results.trials if t["origin"] == "search"]


def _has(scores: Mapping[str, Any], name: str) -> bool:
    return scores.get(name) is not None


def _latency(costs: Mapping[str, float]) -> bool:
    return costs.get("latency_ms", 0) > 0


def _latency_of(trial: Trial) -> float | None:
    value: float = trial["costs"]["latency_ms"]
    return value


def _score_of(score: str) -> Any:
    return lambda trial: trial["scores"].get(score)


def _trial_hover(trial: Trial, score: str) -> str:
    lines = [f"<b>{html.escape(str(trial['name']))}</b> ({html.escape(trial['state'])})"]
    if score in trial["scores"]:
        lines.append(f"{metric_label(score)} {trial['scores'][score]:.3f}")
    if _latency(trial["costs"]):
        lines.append(milliseconds(trial["costs"]["latency_ms"]))
    if trial["failure"]:
        lines.append(html.escape(str(trial["failure"])[:80]))
    lines += [html.escape(f"{k} = {value_text(v)}") for k, v in trial["config"].items()]
    return "<br>".join(lines)


def _model_hover(model: Model, score: str) -> str:
    lines = [
        f"<b>{html.escape(model.name)}</b>",
        f"{metric_label(score)} {interval_text(model.validation[score])}",
        milliseconds(model.costs["latency_ms"]),
    ]
    lines += [html.escape(f"{k} = {value_text(v)}") for k, v in (model.config or {}).items()]
    return "<br>".join(lines)


def _padded(values: Sequence[float], *, below: float, above: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    span = (high - low) or max(abs(high), 1.0) * 0.1
    return low - below * span, high + above * span


def _log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5 in every decade between two logarithms; over three decades only the 1s."""
    steps = (1, 2, 5) if high - low < 3 else (1,)
    decades = range(math.floor(low) - 1, math.ceil(high) + 1)
    return [s * 10.0**d for d in decades for s in steps if low <= math.log10(s * 10.0**d) <= high]


def _linear_ticks(low: float, high: float) -> list[float]:
    raw = (high - low) / 5
    power = 10 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= raw)
    return [round(i * step, 10) for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _jittered(centre: float, number: int) -> list[float]:
    """Places beside a centre, spread by the golden ratio: even, and the same every time."""
    return [centre + 0.5 * (((i + 1) * 0.618034) % 1 - 0.5) for i in range(number)]


def _dimensions(trials: Sequence[Trial]) -> list[str]:
    """Names that took more than one value, by how many families and then trials have them."""
    names = dict.fromkeys(n for t in trials for n in t["config"])
    having = {n: [t for t in trials if n in t["config"]] for n in names}
    varied = [n for n, ts in having.items() if len({t["config"][n] for t in ts}) > 1]
    varied.sort(key=lambda n: (-len({t["family"] for t in having[n]}), -len(having[n])))
    return varied[:MAX_DIMENSIONS]


def _ordered(values: Iterable[Any]) -> list[Any]:
    return sorted(values, key=lambda v: (isinstance(v, str), str(v) if isinstance(v, str) else v))
