"""The report a person opens: one HTML file that holds its figures and asks nothing of a network."""

from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.io import to_html
from plotly.offline import get_plotlyjs

from automed import files
from automed.report import drawing, examples, figures, front_figure, problem_figure, text
from automed.report.results import Model, Results

FIGURES = {
    "front": front_figure.front,
    "problem": problem_figure.drawn,
    "families": figures.families,
    "curves": figures.curves,
    "dimensions": figures.dimensions,
}
STATES = ("complete", "infeasible", "failed", "stopped", "paused", "lowered")
MAX_REASONS = 20
MAX_LETTERS = 300


def write(results: Results, path: Path) -> None:
    """Write the report; file links hold beside the run's files."""
    files.replace(path, _page(results))


def _page(results: Results) -> str:
    environment = Environment(
        loader=PackageLoader("automed.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "label": text.metric_label,
        "title": lambda name: text.metric_title(results, name),
        "significant": text.significant,
        "href": lambda path: quote(path, safe="/"),
    }
    environment.globals |= {
        "ms": text.milliseconds,
        "bytes": text.size,
        "amount": text.count,
        "scores": text.score_texts,
        "signed": partial(text.score_texts, signed=True),
    }
    chosen = next((m for m in results.models if m.name == results.chosen), None)
    states = Counter(t["state"] for t in results.trials)
    drawn = drawing.thinned(results)
    broken = [t for t in results.trials if t["state"] in ("failed", "infeasible")]
    return environment.get_template("page.html").render(
        r=results,
        metric=text.metric_label(results.score),
        chosen=chosen,
        tiles=_tiles(results, chosen) if chosen else [],
        gain=text.gain(results),
        against={m.name: text.compare(results, chosen, m) for m in results.baselines}
        if chosen
        else {},
        metrics=_metrics(results),
        palette=drawing.palette(drawn),
        baseline_colour=drawing.BASELINE_COLOUR,
        truth_colour=examples.TRUTH,
        answer_colour=examples.ANSWER,
        figures={name: _inline(draw(drawn), f"figure-{name}") for name, draw in FIGURES.items()},
        num_drawn=len(drawn.trials),
        states=[(s, states[s]) for s in dict.fromkeys((*STATES, *sorted(states))) if states[s]],
        broken=broken[:MAX_REASONS],
        num_broken=len(broken),
        reasons={t["number"]: _reason(t) for t in broken},
        with_baselines=any(t["origin"] != "search" for t in results.trials),
        methods=any(m.family != m.name for m in results.baselines),
        opened=any(m.sealed for m in results.models),
        bounds=text.bounds(results),
        ported=any(len(m.files) > 1 for m in results.front),
        not_clinical=text.NOT_CLINICAL,
        plotly=Markup(get_plotlyjs()),
    )


def _inline(figure: go.Figure, div: str) -> Markup:
    config = {"displayModeBar": False, "responsive": True, "displaylogo": False}
    source = to_html(
        figure, config, include_plotlyjs=False, full_html=False, div_id=div, validate=False
    )
    return Markup(source)


def _rival(results: Results) -> Model | None:
    """The baseline to beat: the most accurate one on the validation part."""
    scored = [m for m in results.baselines if results.score in m.validation]
    return max(scored, key=lambda m: results.sign * m.validation[results.score].value, default=None)


def _tiles(results: Results, model: Model) -> list[tuple[str, str, str]]:
    """(label, figure, remark) of what a reader asks first about the chosen model."""
    metric, costs = text.metric_title(results, results.score), model.costs
    sealed = model.sealed.get(results.score)
    shown = sealed or model.validation.get(results.score)
    told = text.score_texts(shown.value, shown.low, shown.high) if shown else []
    tiles = [
        (
            f"{metric}, {'sealed test' if sealed else 'validation (test still sealed)'}",
            told[0] if told else text.NOTHING,
            f"95 % interval {told[1]} to {told[2]}" if told else "",
        ),
        (
            "Latency, median",
            text.milliseconds(costs.get("latency_ms")),
            f"p95 {text.milliseconds(costs.get('latency_p95_ms'))}; {results.timed_on}",
        ),
        ("File size", text.size(costs.get("size_bytes")), text.targets(model)),
        (
            "Parameters",
            text.count(costs.get("params")),
            f"{text.count(costs.get('macs'))} multiply-accumulates",
        ),
    ]
    if rival := _rival(results):
        ratio, gain = text.compare(results, model, rival)
        tiles.append((f"Against {rival.name}", ratio, f"{gain}; most accurate baseline"))
    return tiles


def _metrics(results: Results) -> list[str]:
    """Every metric a model was scored with, the objective first."""
    names = {name for m in results.models for name in (*m.validation, *m.sealed)}
    return sorted(names, key=lambda n: (n != results.score, n))


def _reason(trial: Mapping[str, Any]) -> str:
    if trial["failure"]:
        return str(trial["failure"])[:MAX_LETTERS]
    refused = [f"cannot run on {target}: {why}" for target, why in trial["refusals"].items()]
    if refused:
        return "; ".join(refused)[:MAX_LETTERS]
    return ", ".join(
        f"{text.cost_label(name)} {100 * over:.0f} % over its limit"
        for name, over in trial["violations"].items()
        if over > 0
    )
