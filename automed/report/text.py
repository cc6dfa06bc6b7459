"""The words for numbers, names and comparisons, the same in page, figures, card and terminal."""

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # results need pandas, and the terminal labels its metrics before that is loaded
    from automed.report.results import Interval, Model, Results

NOTHING = "\u2013"
NOT_CLINICAL = (
    "Not for clinical use: a research result, not a medical device; nothing here was validated "
    "on patients for diagnosis or treatment."
)
_ACRONYMS = {"auc", "auprc", "roc", "iou", "f1", "mae", "mse", "rmse", "mcc", "ece"}
_ACRONYMS |= {"hd95", "assd", "psnr", "ssim", "froc"}
_NAMES = {"dice": "Dice", "macs": "MACs"}


def metric_label(name: str, *, inline: bool = False) -> str:
    """A metric's or dimension's name as people write it: auc is AUC, macro_f1 is Macro F1.

    Inside a sentence no capital begins it: macro F1.
    """
    words = (w for w in re.split(r"[_\s]+", name) if w)
    text = " ".join(w.upper() if w in _ACRONYMS else _NAMES.get(w, w) for w in words)
    return text if inline else text[:1].upper() + text[1:]


def metric_title(results: "Results", name: str) -> str:
    """A metric's name with its unit and, where less of it is better, that."""
    remarks = [results.units[name]] if name in results.units else []
    remarks += ["less is better"] if name in results.errors else []
    return metric_label(name) + (f" ({', '.join(remarks)})" if remarks else "")


def cost_label(name: str) -> str:
    """A cost's or score's name inside a sentence, without its unit: latency_ms is latency."""
    return metric_label(re.sub("_(ms|bytes|s|mb|mj)$", "", name), inline=True)


def cost_text(name: str, value: float) -> str:
    """A cost with its unit, which its name tells."""
    _, _, unit = name.rpartition("_")
    if unit == "bytes":
        return size(value)
    return f"{significant(value, 6)} {unit}" if unit in ("ms", "s") else count(value)


def significant(value: float, digits: int = 3) -> str:
    """A number to so many significant digits, never in scientific notation above 0.0001."""
    if value and abs(value) < 1e-4:
        return f"{value:.{digits - 1}e}"
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e" in text else text


def interval_text(interval: "Interval | None") -> str:
    """A score with its interval, for example 0.947 [0.921, 0.968]."""
    if interval is None:
        return NOTHING
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def milliseconds(value: float | None) -> str:
    """A latency with its unit."""
    return NOTHING if value is None else f"{significant(value)} ms"


def size(value: float | None) -> str:
    """Bytes as B, kB or MB, by thousands."""
    return NOTHING if value is None else _scaled(value, {"MB": 1e6, "kB": 1e3}) or f"{value:.0f} B"


def count(value: float | None) -> str:
    """A count with k, M or G."""
    if value is None:
        return NOTHING
    return _scaled(value, {"G": 1e9, "M": 1e6, "k": 1e3}) or f"{value:.0f}"


def value_text(value: Any) -> str:
    """A value of a config, in words a reader expects."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return significant(value, 4) if isinstance(value, float) else str(value)


def bounds(results: "Results") -> str:
    """The objectives and limits of the search in one line."""
    goals = " and ".join(f"{how} {cost_label(name)}" for name, how in results.objectives.items())
    caps = " and ".join(
        f"{cost_label(k)} at most {cost_text(k, v)}" for k, v in results.limits.items()
    )
    return f"{goals}, {f'with {caps}' if caps else 'without a limit'}"


def compare(results: "Results", model: "Model", baseline: "Model") -> tuple[str, str]:
    """How a model stands against a baseline: (ratio of latencies, difference of scores).

    The difference has an interval where the results hold the paired comparison on the sealed part;
    otherwise it is that of the scores, on the sealed part if both were opened.
    """
    score, label = results.score, metric_title(results, results.score)
    for c in results.comparisons:
        if (c.model, c.baseline) == (model.name, baseline.name):
            d = c.difference
            gain = f"{d.value:+.3f} [{d.low:+.3f}, {d.high:+.3f}] {label}, sealed test"
            return _speed(c.speedup), gain
    mine, theirs = model.costs.get("latency_ms"), baseline.costs.get("latency_ms")
    speed = _speed(theirs / mine) if mine and theirs else NOTHING
    for where, ours, other in (
        ("sealed test", model.sealed, baseline.sealed),
        ("validation", model.validation, baseline.validation),
    ):
        if score in ours and score in other:
            return speed, f"{ours[score].value - other[score].value:+.3f} {label}, {where}"
    return speed, NOTHING


def _speed(ratio: float) -> str:
    factor = significant(max(ratio, 1 / ratio), 2)
    if factor == "1":
        return "as fast"
    return f"{factor}\u00d7 {'faster' if ratio > 1 else 'slower'}"


def _scaled(value: float, units: dict[str, float]) -> str | None:
    """The value in the largest unit that it fills, if it fills any."""
    for unit, scale in units.items():
        if value >= scale:
            return f"{significant(value / scale)} {unit}"
    return None
