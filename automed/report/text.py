"""The words for numbers, names and comparisons, the same in page, figures, card and terminal."""

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # results need pandas, and the terminal labels its metrics before that is loaded
    from automed.report.results import Interval, Model, Results

AS_FAST = 1.1
"""Latencies within this factor of each other are alike."""
NOTHING = "\u2013"
NOT_CLINICAL = (
    "Not for clinical use: a research result, not a medical device; nothing here was validated "
    "on patients for diagnosis or treatment."
)
_ACRONYMS = {"auc", "auprc", "roc", "iou", "f1", "mae", "mse", "rmse", "mcc", "ece"}
_ACRONYMS |= {"hd95", "assd", "psnr", "ssim", "froc"}
_NAMES = {"dice": "Dice", "macs": "MACs", "r2": "R\u00b2", "pearson": "Pearson"}


def metric_label(name: str, *, inline: bool = False) -> str:
    """A metric's or dimension's name as people write it: auc is AUC, macro_f1 is Macro F1.

    Inside a sentence no capital begins it: macro F1.
    """
    words = (w for w in re.split(r"[_\s]+", name) if w)
    text = " ".join(w.upper() if w in _ACRONYMS else _NAMES.get(w, w) for w in words)
    return text if inline else text[:1].upper() + text[1:]


def metric_title(results: "Results", name: str, *, unit: bool = True) -> str:
    """A metric's name with its unit and, where less of it is better, that."""
    remarks = [results.units[name]] if unit and name in results.units else []
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


def score_texts(*values: float, signed: bool = False) -> list[str]:
    """Scores that belong together, with as many decimals as the largest of them asks for.

    Three from 0.01 to 100, fewer for numbers such as 1,234.5, more where all are smaller.
    """
    most = max(abs(value) for value in values)
    decimals = 0 if most >= 10_000 else 1 if most >= 100 else 3
    if 0 < most < 0.01:
        decimals = 1 - math.floor(math.log10(most))
    return [f"{value:{'+' if signed else ''},.{decimals}f}" for value in values]


def score_text(value: float) -> str:
    """A score by itself."""
    return score_texts(value)[0]


def interval_text(interval: "Interval | None") -> str:
    """A score with its interval, for example 0.947 [0.921, 0.968]."""
    if interval is None:
        return NOTHING
    value, low, high = score_texts(interval.value, interval.low, interval.high)
    return f"{value} [{low}, {high}]"


def change_text(interval: "Interval | None") -> str:
    """A difference of scores with its interval: +0.003 [-0.001, +0.007]."""
    if interval is None:
        return NOTHING
    value, low, high = score_texts(interval.value, interval.low, interval.high, signed=True)
    return f"{value} [{low}, {high}]"


def targets(model: "Model") -> str:
    """What a model's files are for: onnx, onnx int8, openvino."""
    kept = (f for f in model.files if not f.rejected)
    return ", ".join(
        f.target if f.precision == "fp32" else f"{f.target} {f.precision}" for f in kept
    )


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
    score, label = results.score, metric_title(results, results.score, unit=False)
    for c in results.comparisons:
        if (c.model, c.baseline) == (model.name, baseline.name):
            return _speed(c.speedup), f"{change_text(c.difference)} {label}, sealed test"
    mine, theirs = model.costs.get("latency_ms"), baseline.costs.get("latency_ms")
    speed = _speed(theirs / mine) if mine and theirs else NOTHING
    for where, ours, other in (
        ("sealed test", model.sealed, baseline.sealed),
        ("validation", model.validation, baseline.validation),
    ):
        if score in ours and score in other:
            difference = ours[score].value - other[score].value
            return speed, f"{score_texts(difference, signed=True)[0]} {label}, {where}"
    return speed, NOTHING


def gain(results: "Results") -> str:
    """What the chosen model adds to every baseline on the sealed part, if anything, in a line.

    One is beaten that is significantly worse and not faster, or slower and not significantly
    better. Empty while the sealed part is closed.
    """
    found: dict[str, list[str]] = {
        "The search beat": [],
        "Its model is more accurate, and slower, than": [],
        "Its model is faster, and less accurate, than": [],
        "No gain over": [],
    }
    beaten, dearer, cheaper, none = found.values()
    for c in results.comparisons:
        if c.model != results.chosen:
            continue
        low, high = sorted(results.sign * end for end in (c.difference.low, c.difference.high))
        if c.speedup > AS_FAST:
            (beaten if high >= 0 else cheaper).append(c.baseline)
        elif low > 0:
            (beaten if c.speedup * AS_FAST > 1 else dearer).append(c.baseline)
        else:
            none.append(c.baseline)
    return " ".join(f"{words} {_listed(names)}." for words, names in found.items() if names)


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


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
