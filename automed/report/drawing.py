"""What the figures share: colours, layout, ticks and the text under the pointer."""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import plotly.graph_objects as go

from automed.report.results import Model, Results
from automed.report.text import (
    interval_text,
    metric_label,
    metric_title,
    milliseconds,
    score_text,
    value_text,
)

# Okabe and Ito 2008, without yellow (faint on white) and grey (kept for baselines).
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
BASELINE_COLOUR = "#5f6b7a"
INK = "#1f2933"
PENCIL = "#9aa5b1"
FAINT = "#e6e9ee"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
MEDIAN_BAR: Mapping[str, Any] = {
    "mode": "lines",
    "line": {"color": INK, "width": 2},
    "hoverinfo": "skip",
}
GRID: Mapping[str, Any] = {
    "showgrid": True,
    "gridcolor": FAINT,
    "zeroline": False,
    "minor": {"ticks": ""},
}

MAX_TRIALS = 500
"""What a figure draws of those that are not on the front: one draws each up to 24 times."""

Trial = Mapping[str, Any]


def palette(results: Results) -> dict[str, str]:
    """A colour for every searched family, by its place in the alphabet, in every figure alike."""
    families = {t["family"] for t in searched(results)} | {m.family for m in results.front}
    return {f: OKABE_ITO[i % len(OKABE_ITO)] for i, f in enumerate(sorted(families))}


def searched(results: Results) -> list[Trial]:
    """The trials of the search, without the baselines'."""
    return [t for t in results.trials if t["origin"] == "search"]


def thinned(results: Results) -> Results:
    """The results with no more trials than a browser draws at ease.

    The baselines and the front stay, the others are thinned evenly.
    """
    front = {m.trial for m in results.front}
    others = [t["number"] for t in searched(results) if t["number"] not in front]
    num = min(MAX_TRIALS, len(others))
    shown = front | {others[i * len(others) // num] for i in range(num)}
    kept = (t for t in results.trials if t["origin"] != "search" or t["number"] in shown)
    return replace(results, trials=tuple(kept))


def final_score(trial: Trial, score: str) -> float | None:
    """The score of a trial that was trained to its end; others stand where they were stopped."""
    value: float | None = trial["scores"].get(score) if trial["state"] == "complete" else None
    return value


def timed(costs: Mapping[str, float]) -> bool:
    """There is a latency that a logarithmic axis can show."""
    return costs.get("latency_ms", 0) > 0


def score_title(results: Results) -> str:
    """The title of an axis of scores."""
    return f"{html.escape(metric_title(results, results.score))}, validation part"


def layout(*, height: int, margin: Mapping[str, int]) -> dict[str, Any]:
    """The look of every figure; the page draws its own legend."""
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


def nothing(text: str) -> go.Figure:
    """A figure that says why there is none."""
    figure = go.Figure(layout=layout(height=120, margin={}))
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure.add_annotation(text=text, showarrow=False, font={"size": 15})


def group(name: str) -> dict[str, str]:
    """What a trace answers to in the page's legend; only the legend shows or hides it."""
    return {"name": html.escape(name), "legendgroup": name}


def hover(texts: str | Sequence[str]) -> dict[str, Any]:
    """The text under the pointer, of a whole trace or of each of its points."""
    return {"text": texts, "hovertemplate": "%{text}<extra></extra>"}


def trial_text(trial: Trial, score: str) -> str:
    """A trial under the pointer."""
    lines = [f"<b>{html.escape(str(trial['name']))}</b> ({html.escape(trial['state'])})"]
    if score in trial["scores"]:
        lines.append(f"{metric_label(score)} {score_text(trial['scores'][score])}")
    if timed(trial["costs"]):
        lines.append(milliseconds(trial["costs"]["latency_ms"]))
    if trial["failure"]:
        lines.append(html.escape(str(trial["failure"])[:80]))
    return "<br>".join([*lines, *_settings(trial["config"])])


def model_text(model: Model, score: str) -> str:
    """A model under the pointer."""
    lines = [
        f"<b>{html.escape(model.name)}</b>",
        f"{metric_label(score)} {interval_text(model.validation[score])}",
        milliseconds(model.costs["latency_ms"]),
    ]
    return "<br>".join([*lines, *_settings(model.config or {})])


def padded(values: Sequence[float], *, below: float, above: float) -> tuple[float, float]:
    """The range of some values, widened by shares of its span."""
    low, high = min(values), max(values)
    span = (high - low) or max(abs(high), 1.0) * 0.1
    return low - below * span, high + above * span


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5 in every decade between two logarithms; over three decades only the 1s.

    Where fewer than two of them lie between, round numbers as on a linear axis.
    """
    steps = (1, 2, 5) if high - low < 3 else (1,)
    decades = range(math.floor(low) - 1, math.ceil(high) + 1)
    ticks = [s * 10.0**d for d in decades for s in steps if low <= math.log10(s * 10.0**d) <= high]
    return ticks if len(ticks) > 1 else linear_ticks(10.0**low, 10.0**high)


def linear_ticks(low: float, high: float) -> list[float]:
    """About five round numbers between two others."""
    raw = (high - low) / 5
    power = 10 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= raw)
    return [round(i * step, 10) for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def jittered(centre: float, number: int) -> list[float]:
    """Places beside a centre, spread by the golden ratio: even, and the same every time."""
    return [centre + 0.5 * (((i + 1) * 0.618034) % 1 - 0.5) for i in range(number)]


def _settings(config: Mapping[str, Any]) -> list[str]:
    return [html.escape(f"{name} = {value_text(value)}") for name, value in config.items()]
