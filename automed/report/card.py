"""The model card: what the exported file is, for whoever holds it without the run around it.

The words for numbers that the report's page and figures share live here too.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from automed.errors import UnknownNameError
from automed.report.results import Interval, Model, Results

NOT_CLINICAL = (
    "Not for clinical use: a research result, not a medical device; nothing here was validated "
    "on patients for diagnosis or treatment."
)
NOTHING = "\u2013"
_LIMITS = f"""\
- {NOT_CLINICAL}
- Scores hold for the data above; other scanners, protocols, sites or patients may differ.
- Latency holds for the machine it was measured on; measure again on the device it is for.
- Calibration and subgroups were not examined unless a fact above says so."""
_ACRONYMS = {"auc", "auprc", "roc", "iou", "f1", "mae", "mse", "rmse", "mcc", "ece", "macs"}
_MARKUP = re.compile(r"([\\`*_\[\]<>|#])")


def metric_label(name: str) -> str:
    """A metric's or dimension's name as people write it: auc is AUC, macro_f1 is Macro F1."""
    words = [w.upper() if w in _ACRONYMS else w for w in re.split(r"[_\s]+", name) if w]
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def cost_label(name: str) -> str:
    """A cost's or score's name in running text, without its unit: latency_ms is latency."""
    label = metric_label(re.sub("_(ms|bytes|s|mb|mj)$", "", name))
    return label if label.isupper() else label[:1].lower() + label[1:]


def cost_text(name: str, value: float) -> str:
    """A cost with its unit, which its name tells."""
    if name.endswith("_bytes"):
        return size(value)
    _, _, unit = name.rpartition("_")
    text = significant(value, 6)
    return f"{text} {unit}" if unit in ("ms", "s") else count(value)


def significant(value: float, digits: int = 3) -> str:
    """A number to so many significant digits, never in scientific notation above 0.0001."""
    if value and abs(value) < 1e-4:
        return f"{value:.{digits - 1}e}"
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e" in text else text


def interval_text(interval: Interval | None) -> str:
    """A score with its interval, for example 0.947 [0.921, 0.968]."""
    if interval is None:
        return NOTHING
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def milliseconds(value: float | None) -> str:
    """A latency with its unit."""
    return NOTHING if value is None else f"{significant(value)} ms"


def size(value: float | None) -> str:
    """Bytes as B, kB or MB, by thousands."""
    if value is None:
        return NOTHING
    for unit, scale in (("MB", 1e6), ("kB", 1e3)):
        if value >= scale:
            return f"{significant(value / scale)} {unit}"
    return f"{value:.0f} B"


def count(value: float | None) -> str:
    """A count with k, M or G."""
    if value is None:
        return NOTHING
    for unit, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= scale:
            return f"{significant(value / scale)} {unit}"
    return f"{value:.0f}"


def value_text(value: Any) -> str:
    """A value of a config, in words a reader expects."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return significant(value, 4) if isinstance(value, float) else str(value)


def bounds(results: Results) -> str:
    """The objectives and limits of the search in one line."""
    goals = " and ".join(f"{how} {cost_label(name)}" for name, how in results.objectives.items())
    caps = " and ".join(
        f"{cost_label(k)} at most {cost_text(k, v)}" for k, v in results.limits.items()
    )
    return f"{goals}, {f'with {caps}' if caps else 'without a limit'}"


def compare(results: Results, model: Model, baseline: Model) -> tuple[str, str]:
    """How a model stands against a baseline: (ratio of latencies, difference of scores).

    The difference has an interval where the results hold the paired comparison on the sealed part;
    otherwise it is that of the scores, on the sealed part if both were opened.
    """
    score = results.score
    paired = {(c.model, c.baseline): c for c in results.comparisons}.get(
        (model.name, baseline.name)
    )
    mine, theirs = model.costs.get("latency_ms"), baseline.costs.get("latency_ms")
    ratio = paired.speedup if paired else theirs / mine if mine and theirs else None
    speed = NOTHING
    if ratio:
        word = "faster" if ratio >= 1 else "slower"
        speed = f"{significant(max(ratio, 1 / ratio), 2)}\u00d7 {word}"
    if paired:
        d = paired.difference
        gain = f"{d.value:+.3f} [{d.low:+.3f}, {d.high:+.3f}] {metric_label(score)}, sealed test"
        return speed, gain
    sealed = score in model.sealed and score in baseline.sealed
    a, b = (m.sealed.get(score) if sealed else m.validation.get(score) for m in (model, baseline))
    if not a or not b:
        return speed, NOTHING
    where = "sealed test" if sealed else "validation"
    return speed, f"{a.value - b.value:+.3f} {metric_label(score)}, {where}"


def write(results: Results, model_name: str, path: Path) -> None:
    """Write the card of one model as Markdown, through a temporary neighbour.

    Raises:
        UnknownNameError: No model of the results has that name.
    """
    scratch = path.with_suffix(".tmp")
    scratch.write_text(_card(results, _named(results, model_name)), encoding="utf-8")
    scratch.replace(path)


def _named(results: Results, name: str) -> Model:
    for model in results.models:
        if model.name == name:
            return model
    raise UnknownNameError("model", name, (m.name for m in results.models))


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
        _scores(model),
        "The intervals are 95 % bootstrap intervals, resampled by patient. The search picks on the"
        " validation part, so scores there are optimistic. "
        + (
            "The sealed test part was opened once, at the end."
            if model.sealed
            else "The sealed test part has not been opened."
        ),
        "## Costs",
        _table(("cost", "value"), _costs(model)),
        "Latency: the exported ONNX file in onnxruntime on the host CPU, one thread, batch of one.",
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


def _scores(model: Model) -> str:
    metrics = sorted({*model.validation, *model.sealed})
    if not metrics:
        return "No scores were recorded."
    return _table(
        ("metric", "validation", "sealed test"),
        (
            (
                metric_label(m),
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
