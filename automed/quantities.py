"""Quantities as people type them: 2ms, 500kB, 1.5M, a=b,c=d."""

import math
import re

from automed.errors import AutomedError

_MILLISECONDS = {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3}
_BYTES = {"b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2.0**10, "mib": 2.0**20}
_COUNT = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}


class QuantityError(AutomedError):
    """A number or its unit that cannot be read."""


def milliseconds(text: str) -> float:
    """A duration such as 2ms, 500us or 0.1s, in milliseconds.

    Raises:
        QuantityError: No positive number with such a unit.
    """
    return _quantity(text, _MILLISECONDS, "2ms, 500us or 0.1s")


def size_bytes(text: str) -> float:
    """A file size such as 500kB or 2MB, in bytes.

    Raises:
        QuantityError: No positive number with such a unit.
    """
    return _quantity(text, _BYTES, "500kB or 2MB")


def count(text: str) -> float:
    """A count such as 200000, 200k or 1.5M.

    Raises:
        QuantityError: No positive number with such a suffix.
    """
    return _quantity(text, _COUNT, "200000, 200k or 1.5M")


def pairs(text: str | None) -> dict[str, str]:
    """Pairs such as images=volumes,group=case.

    Raises:
        QuantityError: A piece is no pair.
    """
    found = {}
    for piece in (text or "").split(","):
        name, equals, value = (part.strip() for part in piece.partition("="))
        if piece.strip() and not (name and equals and value):
            raise QuantityError(f"cannot read {piece!r}; write role=name,role=name")
        if name:
            found[name] = value
    return found


def interval(text: str | None) -> tuple[float, float] | None:
    """Two ascending numbers such as -1000,400.

    Raises:
        QuantityError: Not two numbers, or not ascending.
    """
    if text is None:
        return None
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise QuantityError(f"cannot read {text!r}; write low,high such as -1000,400") from None
    if not -math.inf < low < high < math.inf:
        raise QuantityError(f"{text!r} is empty or endless; write the lower number first")
    return low, high


def numbers(text: str | None) -> tuple[float, ...] | None:
    """Numbers such as 61,1,0.

    Raises:
        QuantityError: A piece is no number.
    """
    if text is None:
        return None
    try:
        return tuple(map(float, text.split(",")))
    except ValueError:
        raise QuantityError(f"cannot read {text!r}; write numbers such as 61,1,0") from None


def _quantity(text: str, units: dict[str, float], example: str) -> float:
    match = re.fullmatch(
        r"\s*([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*([a-zµ]*)\s*", text, re.IGNORECASE
    )
    if match is None or match[2].lower() not in units or not 0 < float(match[1]) < math.inf:
        raise QuantityError(f"cannot read {text!r}; write for example {example}")
    return float(match[1]) * units[match[2].lower()]


def names(text: str) -> tuple[str, ...]:
    """Names separated by commas; `none` stands for no name."""
    every = (name.strip() for name in text.split(","))
    return tuple(name for name in every if name not in ("", "none"))
