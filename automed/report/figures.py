"""The figures of the report, each a pure function of the results."""

import html
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
    trials = [t for t in _searched(results) if score in t["scores"] and _latency(t["costs"])]
    figure = _figure(height=560, margin={"l": 64, "r": 14, "t": 12, "b": 54})
    if not models and not trials:
        return _nothing(figure, "No model was trained")

    ends = [end for m in best for end in (m.validation[score].low, m.validation[score].high)]
    ends += [m.validation[score].value for m in others]
    low, high = _padded(ends or [t["scores"][score] for t in trials], below=0.06, above=0.12)
    inside = [t for t in trials if t["scores"][score] >= low]
    outside = [t for t in trials if t["scores"][score] < low]
    for family, colour in colours.items():
        for group, symbol in ((inside, "circle"), (outside, "triangle-down-open")):
            mine = [t for t in group if t["family"] == family]
            figure.add_scatter(
                x=[t["costs"]["latency_ms"] for t in mine],
                y=[max(t["scores"][score], low + 0.012 * (high - low)) for t in mine],
                mode="markers",
                marker={"size": 8, "color": colour, "opacity": 0.38, "symbol": symbol},
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
        y=[m.validation[score].value for m in others],
        mode="markers",
        marker={
            "size": 11,
            "symbol": "diamond-open",
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
        title_text="Latency in ms, batch of 1, one CPU thread (log scale)",
        **_grid(),
    )
    figure.update_yaxes(
        range=[low, high], title_text=f"{metric_label(score)}, validation part", **_grid()
    )
    size = (280.0, 1130.0, 560 - 12 - 54)
    points = [
        _Point(
            x=(math.log10(m.costs["latency_ms"]) - left) / (right - left),
            y=(high - m.validation[score].value) / (high - low) * size[2],
            text=_label(m, best, results),
        )
        for m in (*chosen, *(m for m in best if m not in chosen), *others)
    ]
    ordered = (*chosen, *(m for m in best if m not in chosen), *others)
    for model, point, place in zip(ordered, points, _places(points, size), strict=True):
        if place is None:
            continue
        bold = model.name == results.chosen
        colour = colours.get(model.family, INK) if model.origin == "search" else BASELINE_COLOUR
        figure.add_annotation(
            x=math.log10(model.costs["latency_ms"]),
            y=model.validation[score].value,
            text=f"<b>{html.escape(point.text)}</b>" if bold else html.escape(point.text),
            ax=place[0],
            ay=place[1],
            xanchor="left" if place[0] > 0 else "right",
            yanchor="middle",
            showarrow=True,
            arrowhead=0,
            arrowwidth=1,
            arrowcolor="#9aa5b1",
            standoff=13 if bold else 7,
            font={"size": LABEL_SIZE, "color": INK if bold else colour},
            bgcolor="rgba(255,255,255,0.82)",
            borderpad=1,
        )
    return figure


def families(results: Results) -> go.Figure:
    """Every trial's score by family; what has no score sits in a band below."""
    colours, score = palette(results), results.score
    figure = _figure(height=400, margin={"l": 64, "r": 14, "t": 12, "b": 44})
    scored = [t["scores"][score] for t in results.trials if score in t["scores"]]
    if not results.trials:
        return _nothing(figure, "No trial was asked for")
    low, high = _padded(scored or [0.0, 1.0], below=0.05, above=0.05)
    floor = low - 0.09 * (high - low)
    groups = [
        (f, c, [t for t in _searched(results) if t["family"] == f]) for f, c in colours.items()
    ]
    rest = [t for t in results.trials if t["origin"] != "search"]
    if rest:
        groups.append(("baselines", BASELINE_COLOUR, rest))
    for column, (name, colour, trials) in enumerate(groups):
        for missing in (False, True):
            mine = [t for t in trials if (score not in t["scores"]) == missing]
            symbol = "x-thin-open" if missing else "circle" if name in colours else "diamond-open"
            figure.add_scatter(
                x=_jittered(column, len(mine)),
                y=[floor if missing else t["scores"][score] for t in mine],
                mode="markers",
                marker={
                    "size": 9,
                    "color": colour,
                    "opacity": 0.75,
                    "symbol": symbol,
                    "line": {"width": 2 if missing or name not in colours else 0},
                },
                text=[_trial_hover(t, score) for t in mine],
                **_named(name),
            )
        middle = [t["scores"][score] for t in trials if score in t["scores"]]
        _median(figure, column, middle)
    figure.add_hline(y=(floor + low) / 2, line={"color": "#9aa5b1", "width": 1, "dash": "dot"})
    ticks = _linear_ticks(low, high)
    figure.update_xaxes(
        tickvals=list(range(len(groups))),
        ticktext=[html.escape(name) for name, _, _ in groups],
        range=[-0.6, len(groups) - 0.4],
    )
    figure.update_yaxes(
        range=[floor - 0.05 * (high - low), high],
        tickvals=[floor, *ticks],
        ticktext=["no score", *(f"{t:g}" for t in ticks)],
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
            opacity=1.0 if strong else 0.75 if not searched else 0.28,
            text=[_trial_hover(trial, score)] * len(points),
            **_named(trial["family"] if searched else "baselines"),
        )
    figure.update_xaxes(title_text="Epoch", **_grid())
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
    figure = make_subplots(
        rows=2 * len(bands),
        cols=COLUMNS,
        subplot_titles=titles,
        horizontal_spacing=0.022,
        vertical_spacing=0.09 / len(bands),
    )
    figure.update_layout(
        **_layout(height=60 + 400 * len(bands), margin={"l": 64, "r": 8, "t": 34, "b": 36})
    )
    figure.update_annotations(font={"size": 13, "color": INK})
    scored = [t["scores"][score] for t in trials if score in t["scores"]]
    spans = (
        _padded(scored or [0.0, 1.0], below=0.06, above=0.06),
        _padded([math.log10(t["costs"]["latency_ms"]) for t in trials], below=0.06, above=0.06),
    )
    ticks = _log_ticks(*spans[1])
    for k, name in enumerate(names):
        first, column = 2 * (k // COLUMNS) + 1, k % COLUMNS + 1
        mine = [t for t in trials if name in t["config"]]
        values = _ordered({t["config"][name] for t in mine})
        for offset, pick in enumerate((_score_of(score), _latency_of)):
            row = first + offset
            for place, value in enumerate(values):
                here = [t for t in mine if t["config"][name] == value and pick(t) is not None]
                spread = _jittered(place, len(here))
                for family, colour in colours.items():
                    at = [i for i, t in enumerate(here) if t["family"] == family]
                    figure.add_scatter(
                        x=[spread[i] for i in at],
                        y=[pick(here[i]) for i in at],
                        mode="markers",
                        marker={"size": 6, "color": colour, "opacity": 0.7},
                        text=[_trial_hover(here[i], score) for i in at],
                        row=row,
                        col=column,
                        **_named(family),
                    )
                _median(figure, place, [v for t in here if (v := pick(t)) is not None], row, column)
            figure.update_xaxes(
                tickvals=list(range(len(values))),
                ticktext=[html.escape(value_text(v)) for v in values] if offset else [""],
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
            at = {"row": 2 * (k // COLUMNS) + 1 + offset, "col": k % COLUMNS + 1}
            figure.update_xaxes(visible=False, **at)
            figure.update_yaxes(visible=False, **at)
    return figure


LABEL_SIZE = 12
LABEL_HEIGHT = 18.0


@dataclass(frozen=True, kw_only=True)
class _Point:
    """A point that wants a label: x as a share of the width, y in pixels from the top."""

    x: float
    y: float
    text: str


@dataclass(frozen=True, kw_only=True)
class _Box:
    """A rectangle that hangs on a point, so that it moves when the page gets narrower."""

    x: float
    left: float
    right: float
    top: float
    bottom: float

    def clear_of(self, other: "_Box", widths: Iterable[float]) -> bool:
        """The two touch at no page width: above or below, or the same one is left at all widths."""
        if self.top >= other.bottom or other.top >= self.bottom:
            return True
        gaps = [(self.x - other.x) * w for w in widths]
        return all(g + self.left >= other.right for g in gaps) or all(
            -g + other.left >= self.right for g in gaps
        )


def _places(
    points: Sequence[_Point], size: tuple[float, float, float]
) -> list[tuple[float, float] | None]:
    """Offset in pixels of a label for every point, or None where there is no room.

    Greedy: each label takes the nearest place that covers neither a label nor a point, at the
    narrowest and the widest plot; what holds at both holds between, as gaps are linear in width.
    Where no such place is left, a label may cover points, but never a label.
    """
    narrow, wide, height = size
    markers = [_Box(x=p.x, left=-8, right=8, top=p.y - 8, bottom=p.y + 8) for p in points]
    steps = sorted(range(-260, 261, 6), key=abs)
    offsets = sorted(
        ((side * reach, dy) for dy in steps for reach in (14, 26, 44) for side in (1, -1)),
        key=lambda o: math.hypot(*o),
    )
    taken: list[_Box] = []
    places: list[tuple[float, float] | None] = []
    for point in points:
        length = 0.61 * LABEL_SIZE * len(point.text) + 8
        found = None
        for obstacles in (markers, []):
            for dx, dy in offsets:
                left, right = (dx - 2, dx + length) if dx > 0 else (dx - length, dx + 2)
                top, bottom = point.y + dy - LABEL_HEIGHT / 2, point.y + dy + LABEL_HEIGHT / 2
                box = _Box(x=point.x, left=left, right=right, top=top, bottom=bottom)
                fits = all(
                    0 <= point.x * w + left and point.x * w + right <= w for w in (narrow, wide)
                )
                if (
                    fits
                    and top >= 0
                    and bottom <= height
                    and all(box.clear_of(o, (narrow, wide)) for o in (*taken, *obstacles))
                ):
                    found = (float(dx), float(dy))
                    taken.append(box)
                    break
            if found:
                break
        places.append(found)
    return places


def _label(model: Model, best: Sequence[Model], results: Results) -> str:
    if model.name != results.chosen or model not in best:
        return model.name
    scores = [m.validation[results.score].value for m in best]
    at_knee = best[knee(scores, [m.costs["latency_ms"] for m in best])] is model
    return f"{model.name}, the knee" if at_knee and len(best) > 2 else f"{model.name}, chosen"


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


def _median(
    figure: go.Figure, centre: float, values: Sequence[float], row: Any = None, col: Any = None
) -> None:
    if len(values) < 2:
        return
    middle = statistics.median(values)
    figure.add_scatter(
        x=[centre - 0.36, centre + 0.36],
        y=[middle, middle],
        mode="lines",
        line={"color": INK, "width": 2},
        hoverinfo="skip",
        row=row,
        col=col,
    )


def _dimensions(trials: Sequence[Trial]) -> list[str]:
    """Names that took more than one value, by how many families and then trials have them."""
    names = dict.fromkeys(n for t in trials for n in t["config"])
    having = {n: [t for t in trials if n in t["config"]] for n in names}
    varied = [n for n, ts in having.items() if len({t["config"][n] for t in ts}) > 1]
    varied.sort(key=lambda n: (-len({t["family"] for t in having[n]}), -len(having[n])))
    return varied[:MAX_DIMENSIONS]


def _ordered(values: Iterable[Any]) -> list[Any]:
    return sorted(values, key=lambda v: (isinstance(v, str), str(v) if isinstance(v, str) else v))
