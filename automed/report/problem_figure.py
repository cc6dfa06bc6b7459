"""What suits the problem better than a number: ROC and FROC curves, or a cloud of samples."""

import html
import math
from typing import Any

import plotly.graph_objects as go

from automed.report.drawing import (
    BASELINE_COLOUR,
    GRID,
    INK,
    PENCIL,
    hover,
    layout,
    log_ticks,
    nothing,
    padded,
    palette,
)
from automed.report.results import Drawn, Results
from automed.report.text import significant

DASHES = ("dash", "dot", "dashdot", "longdash")
CHOSEN_WIDTH = 3


def drawn(results: Results) -> go.Figure:
    """The chosen model, and where they are lines the baselines beside it."""
    plot = results.drawn
    if plot is None:
        return nothing("No model was chosen")
    figure = go.Figure(layout=layout(height=400, margin={"l": 64, "r": 14, "t": 12, "b": 50}))
    if plot.diagonal:
        _draw_diagonal(figure, plot)
    family = next((m.family for m in results.models if m.name == results.chosen), "")
    colour = palette(results).get(family, INK)
    for number, (name, (xs, ys)) in enumerate(reversed(list(plot.traces.items()))):
        is_chosen = name == results.chosen
        figure.add_scatter(
            x=xs,
            y=ys,
            mode="lines" if plot.joined else "markers",
            line={
                "color": colour if is_chosen else BASELINE_COLOUR,
                "width": CHOSEN_WIDTH if is_chosen else 1.3,
                "dash": "solid" if is_chosen else DASHES[number % len(DASHES)],
            },
            marker={"color": colour, "size": 8, "opacity": 0.6},
            name=html.escape(name),
            **hover(
                [
                    f"<b>{html.escape(name)}</b><br>{x:.3g}, {y:.3g}"
                    for x, y in zip(xs, ys, strict=True)
                ]
            ),
        )
    figure.update_layout(
        showlegend=plot.joined,
        legend={
            "x": 0.99,
            "y": 0.02,
            "xanchor": "right",
            "yanchor": "bottom",
            "traceorder": "reversed",
        },
    )
    figure.update_xaxes(title_text=plot.x, **(_log_axis(plot) if plot.logarithmic else {}), **GRID)
    figure.update_yaxes(title_text=plot.y, **GRID)
    return figure


def _log_axis(plot: Drawn) -> dict[str, Any]:
    places = [math.log10(x) for xs, _ in plot.traces.values() for x in xs] or [0.0, 1.0]
    low, high = padded(places, below=0.02, above=0.02)
    ticks = log_ticks(low, high)
    text = [significant(t) for t in ticks]
    return {"type": "log", "range": (low, high), "tickvals": ticks, "ticktext": text}


def _draw_diagonal(figure: go.Figure, plot: Drawn) -> None:
    every = [v for axes in plot.traces.values() for axis in axes for v in axis] or [0.0, 1.0]
    ends = [min(every), max(every)]
    figure.add_scatter(
        x=ends,
        y=ends,
        mode="lines",
        line={"color": PENCIL, "width": 1},
        hoverinfo="skip",
        showlegend=False,
    )
