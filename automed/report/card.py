"""The model card: what the exported file is, for whoever holds it without the run around it."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from automed import files
from automed.errors import UnknownNameError
from automed.report.results import Model, Results
from automed.report.text import (
    NOT_CLINICAL,
    NOTHING,
    bounds,
    change_text,
    compare,
    count,
    interval_text,
    metric_label,
    metric_title,
    milliseconds,
    significant,
    size,
    value_text,
)

_LIMITS = f"""\
- {NOT_CLINICAL}
- Scores hold for the data above; other scanners, protocols, sites or patients may differ.
- Latency holds for the machine it was measured on; measure again on the device it is for.
- Calibration and subgroups were not examined unless a fact above says so."""
_MARKUP = re.compile(r"([\\`*_\[\]<>|#])")


def write(results: Results, model_name: str, path: Path) -> None:
    """Write the card of one model as Markdown.

    Raises:
        UnknownNameError: No model of the results has that name.
    """
    files.replace(path, text(results, model_name))


def text(results: Results, model_name: str) -> str:
    """The card of one model as Markdown.

    Raises:
        UnknownNameError: No model of the results has that name.
    """
    for model in results.models:
        if model.name == model_name:
            return _card(results, model)
    raise UnknownNameError("model", model_name, (m.name for m in results.models))


def _card(results: Results, model: Model) -> str:
    warnings = [f"> **{_plain(text)}**" for text in (results.simulated, NOT_CLINICAL) if text]
    if not results.complete:
        warnings.append("> **The search was interrupted: the card shows what was finished.**")
    if model.note:
        warnings.append(f"> {_plain(model.note)}")
    chosen = f"Chosen: {_plain(results.reason)}" if model.name == results.chosen else ""
    blocks = [
        f"# Model card: {_plain(model.name)}",
        "\n>\n".join(warnings),
        chosen,
        "## Task",
        f"{_plain(results.title)} (task {_plain(results.task)}).",
        f"Searched to {_plain(bounds(results))}.",
        "## Data and split",
        _list(results.data),
        "## Architecture",
        f"Family: {_plain(model.family)}.",
        _table(("parameter", "value"), (model.config or {}).items()),
        "## Scores",
        _scores(results, model),
        f"The intervals are 95 % bootstrap intervals, resampled by {results.resampled_by}. The"
        " search picks on the validation part, so scores there are optimistic. "
        + (
            "The sealed test part was opened once, at the end."
            if model.sealed
            else "The sealed test part has not been opened."
        ),
        "## Costs",
        _table(("cost", "value"), _costs(model)),
        f"Latency: {_plain(results.timed_on)}.",
        "## Files",
        _table(("file", "latency", "size", "score against its fp32"), _files(model)),
        "## Against the baselines",
        _table(
            ("baseline", "this model is", "score difference"),
            (
                (other.name, *compare(results, model, other))
                for other in results.baselines
                if other.name != model.name
            ),
        ),
        "## How the file was verified",
        _verification(model),
        "## Limits",
        _LIMITS,
        "## Run",
        _list(results.run),
    ]
    return "\n\n".join(b for b in blocks if b) + "\n"


def _scores(results: Results, model: Model) -> str:
    metrics = sorted({*model.validation, *model.sealed})
    if not metrics:
        return "No scores were recorded."
    return _table(
        ("metric", "validation", "sealed test"),
        (
            (
                metric_title(results, m),
                interval_text(model.validation.get(m)),
                interval_text(model.sealed.get(m)) if m in model.sealed else "still sealed",
            )
            for m in metrics
        ),
    )


def _costs(model: Model) -> Iterable[tuple[str, str]]:
    costs = model.costs
    yield "Latency, median", milliseconds(costs.get("latency_ms"))
    yield "Latency, 95th percentile", milliseconds(costs.get("latency_p95_ms"))
    yield "File size", size(costs.get("size_bytes"))
    yield "Parameters", count(costs.get("params"))
    yield "Multiply-accumulates", count(costs.get("macs"))


def _files(model: Model) -> Iterable[tuple[str, str, str, str]]:
    for f in model.files:
        name = f"{f.target}, {f.precision}" + (f" ({f.how})" if f.how else "")
        if f.rejected:
            yield name, f"not kept: {f.rejected}", NOTHING, NOTHING
        else:
            costs = milliseconds(f.costs["latency_ms"]), size(f.costs["size_bytes"])
            yield (name, *costs, change_text(f.sealed_change or f.change))


def _verification(model: Model) -> str:
    if not model.verified:
        return "This model was not verified against a network."
    facts = [(metric_label(k), significant(v)) for k, v in model.verified.items()]
    file = f" The file is {_plain(model.artefact)}." if model.artefact else ""
    return (
        "The exported file was loaded again, run, and its outputs compared with the network's."
        f"{file}\n\n{_list(facts)}"
    )


def _list(facts: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"- {_plain(label)}: {_plain(text)}" for label, text in facts)


def _table(head: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    lines = [" | ".join(_plain(value_text(cell)) for cell in row) for row in rows]
    if not lines:
        return ""
    return "\n".join(
        f"| {line} |" for line in (" | ".join(head), " | ".join(["---"] * len(head)), *lines)
    )


def _plain(text: str) -> str:
    """Text that Markdown and HTML read as nothing but text, on one line."""
    return _MARKUP.sub(r"\\\1", " ".join(str(text).split())).replace("&", "&amp;")
