"""The figure that answers first: validation score against latency, with a name at every model."""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from automed.report import labels
from automed.report.drawing import (
    BASELINE_COLOUR,
    GRID,
    INK,
    PENCIL,
    Trial,
    final_score,
    group,
    hover,
    layout,
    linear_ticks,
    log_ticks,
    model_text,
    nothing,
    padded,
    palette,
    score_title,
    searched,
    timed,
    trial_text,
)
from automed.report.results import Model, Results
from automed.report.text import score_text, significant

HEIGHT = 560
MARGIN = {"l": 64, "r": 14, "t": 12, "b": 54}
PLOT_WIDTHS = (256.0, 1130.0)  # on a phone and on a wide page
PLOT_HEIGHT = float(HEIGHT - MARGIN["t"] - MARGIN["b"])
BELOW_THE_AXIS = "triangle-down-open"


def front(results: Results) -> go.Figure:
    """Validation score against latency: the trials, the front, the baselines and the choice."""
    score, colours = results.score, palette(results)
    models = [m for m in results.models if score in m.validation and timed(m.costs)]
    best = [m for m in models if m.origin == "search"]
    others = [m for m in models if m.origin != "search"]
    chosen = [m for m in best if m.name == results.chosen]
    drawn = {m.trial for m in best}
    trials = [
        t
        for t in searched(results)
        if final_score(t, score) is not None and timed(t["costs"]) and t["number"] not in drawn
    ]
    if not models and not trials:
        return nothing("No model was trained")
    figure = go.Figure(layout=layout(height=HEIGHT, margin=MARGIN))
    axes = _axes(best, others, trials, score, results.sign)
    _draw_trials(figure, axes, trials, score, colours)
    _draw_front(figure, best, score, colours)
    _draw_baselines(figure, axes, others, score)
    figure.add_scatter(
        x=[m.costs["latency_ms"] for m in chosen],
        y=[m.validation[score].value for m in chosen],
        mode="markers",
        marker={"size": 25, "symbol": "circle-open", "color": INK, "line": {"width": 2.5}},
        hoverinfo="skip",
        **group("chosen"),
    )
    _draw_axes(figure, axes, results)
    _draw_labels(figure, axes, best, others, results)
    return figure


@dataclass(frozen=True, kw_only=True)
class _Axes:
    """Latency's logarithm from left to right; up is better, so an error's axis is turned.

    Attributes:
        left: Logarithm of the fastest latency.
        right: Logarithm of the slowest.
        low: The score's value times its sign at the bottom.
        high: The same at the top.
        sign: 1 where more of the score is better, -1 where less is.
    """

    left: float
    right: float
    low: float
    high: float
    sign: int

    @property
    def edge(self) -> float:
        """Where scores beyond the bottom are drawn, times the sign."""
        return self.low + 0.02 * (self.high - self.low)

    def across(self, latency: float) -> float:
        """A latency as a share of the plot's width."""
        return (math.log10(latency) - self.left) / (self.right - self.left)

    def down(self, value: float) -> float:
        """A score in pixels from the plot's top."""
        share = (self.high - self.sign * self.drawn(value)) / (self.high - self.low)
        return share * PLOT_HEIGHT

    def shows(self, value: float) -> bool:
        """A score is not beyond the bottom."""
        return self.sign * value >= self.edge

    def drawn(self, value: float) -> float:
        """Where a score is drawn: at itself, or at the bottom where it is beyond."""
        return value if self.shows(value) else self.sign * self.edge

    def spot(self, model: Model, score: str) -> tuple[float, float]:
        """A model as (share of the width, pixels from the top)."""
        return self.across(model.costs["latency_ms"]), self.down(model.validation[score].value)


def _axes(
    best: Sequence[Model], others: Sequence[Model], trials: Sequence[Trial], score: str, sign: int
) -> _Axes:
    """Room for every latency, the front's intervals and the baselines not far below them."""
    ends = [sign * v for m in best for v in (m.validation[score].low, m.validation[score].high)]
    values = [sign * m.validation[score].value for m in others]
    if ends:
        reach = min(ends) - 0.6 * (max(ends) - min(ends))
        ends += [v for v in values if v >= reach]
    scores = ends or values or [sign * t["scores"][score] for t in trials]
    low, high = padded(scores, below=0.1, above=0.22)
    latencies = [m.costs["latency_ms"] for m in (*best, *others)]
    latencies += [t["costs"]["latency_ms"] for t in trials]
    left, right = padded([math.log10(x) for x in latencies], below=0.05, above=0.05)
    return _Axes(left=left, right=right, low=low, high=high, sign=sign)


def _draw_trials(
    figure: go.Figure,
    axes: _Axes,
    trials: Sequence[Trial],
    score: str,
    colours: Mapping[str, str],
) -> None:
    for family, colour in colours.items():
        mine = [t for t in trials if t["family"] == family]
        values = [t["scores"][score] for t in mine]
        figure.add_scatter(
            x=[t["costs"]["latency_ms"] for t in mine],
            y=[axes.drawn(v) for v in values],
            mode="markers",
            marker={
                "size": 8,
                "color": colour,
                "opacity": 0.38,
                "symbol": ["circle" if axes.shows(v) else BELOW_THE_AXIS for v in values],
            },
            **hover([trial_text(t, score) for t in mine]),
            **group(family),
        )


def _draw_front(
    figure: go.Figure, best: Sequence[Model], score: str, colours: Mapping[str, str]
) -> None:
    figure.add_scatter(
        x=[m.costs["latency_ms"] for m in best],
        y=[m.validation[score].value for m in best],
        mode="lines",
        line={"shape": "hv", "color": INK, "width": 1.6},
        hoverinfo="skip",
        **group("front"),
    )
    for family, colour in colours.items():
        mine = [m for m in best if m.family == family]
        values = [m.validation[score] for m in mine]
        figure.add_scatter(
            x=[m.costs["latency_ms"] for m in mine],
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
            **hover([model_text(m, score) for m in mine]),
            **group(family),
        )


def _draw_baselines(figure: go.Figure, axes: _Axes, others: Sequence[Model], score: str) -> None:
    values = [m.validation[score].value for m in others]
    figure.add_scatter(
        x=[m.costs["latency_ms"] for m in others],
        y=[axes.drawn(v) for v in values],
        mode="markers",
        marker={
            "size": 11,
            "symbol": ["diamond-open" if axes.shows(v) else BELOW_THE_AXIS for v in values],
            "color": BASELINE_COLOUR,
            "line": {"width": 2},
        },
        **hover([model_text(m, score) for m in others]),
        **group("baselines"),
    )


def _draw_axes(figure: go.Figure, axes: _Axes, results: Results) -> None:
    latencies = log_ticks(axes.left, axes.right)
    scores = [axes.sign * t for t in linear_ticks(axes.low, axes.high)]
    if axes.sign < 0:
        scores = [t for t in scores if t >= 0]  # errors end at 0
    elif scores[0] < 1:
        scores = [t for t in scores if t <= 1]  # most scores end at 1
    figure.update_xaxes(
        type="log",
        range=[axes.left, axes.right],
        tickvals=latencies,
        ticktext=[significant(t) for t in latencies],
        title_text="Latency in ms (log scale)",
        **GRID,
    )
    figure.update_yaxes(
        range=[axes.sign * axes.low, axes.sign * axes.high],
        tickvals=scores,
        title_text=score_title(results),
        **GRID,
    )


def _draw_labels(
    figure: go.Figure,
    axes: _Axes,
    best: Sequence[Model],
    others: Sequence[Model],
    results: Results,
) -> None:
    """A name at every model that has room for it; the chosen one takes its place first."""
    score = results.score
    lines = labels.steps([axes.spot(m, score) for m in best])
    for m in best:
        top, bottom = sorted(
            axes.down(v) for v in (m.validation[score].high, m.validation[score].low)
        )
        x, _ = axes.spot(m, score)
        lines.append(labels.Box.at(x, left=-5, right=5, top=top, bottom=bottom))
    models = sorted((*best, *others), key=lambda m: (m not in best, m.name != results.chosen))
    points = []
    for m in models:
        x, y = axes.spot(m, score)
        text, bold = _label(m, best, results, axes), m.name == results.chosen
        points.append(labels.Point(x=x, y=y, text=text, bold=bold, above=m in best))
    places = labels.places(points, lines, PLOT_WIDTHS, PLOT_HEIGHT)
    for m, point, place in zip(models, points, places, strict=True):
        if place is None:
            continue
        text = html.escape(point.text)
        figure.add_annotation(
            x=math.log10(m.costs["latency_ms"]),
            y=axes.drawn(m.validation[score].value),
            text=f"<b>{text}</b>" if point.bold else text,
            ax=place.dx,
            ay=place.dy,
            xanchor=place.anchor,
            yanchor="middle",
            showarrow=True,
            arrowhead=0,
            arrowwidth=1,
            arrowcolor=PENCIL,
            standoff=13 if point.bold else 7,
            font={"size": labels.SIZE, "color": INK if point.above else BASELINE_COLOUR},
            bgcolor="rgba(255,255,255,0.82)",
            borderpad=1,
        )


def _label(model: Model, best: Sequence[Model], results: Results, axes: _Axes) -> str:
    if model.name != results.chosen or model not in best:
        value = model.validation[results.score].value
        return model.name if axes.shows(value) else f"{model.name} ({score_text(value)})"
    among = [m for m in best if m.name in results.contenders]
    scores = [results.sign * m.validation[results.score].value for m in among]
    is_knee = len(among) > 2 and model is not among[scores.index(max(scores))]
    return f"{model.name}, the knee" if is_knee else f"{model.name}, chosen"
