"""Quantities as people type them, and as they mistype them."""

import pytest

from automed import quantities
from automed.quantities import QuantityError


@pytest.mark.parametrize(
    ("text", "value"),
    [("2ms", 2), ("500us", 0.5), ("500 µs", 0.5), ("0.1s", 100), (" 2 MS ", 2), (".5ms", 0.5)],
)
def test_milliseconds(text: str, value: float) -> None:
    assert quantities.milliseconds(text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("500kB", 5e5), ("2MB", 2e6), ("1GB", 1e9), ("1KiB", 1024), ("2MiB", 2**21), ("10B", 10)],
)
def test_size_bytes(text: str, value: float) -> None:
    assert quantities.size_bytes(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("200000", 2e5), ("200k", 2e5), ("1.5M", 1.5e6), ("1G", 1e9), ("3e6", 3e6), ("30e+6", 3e7)],
)
def test_count(text: str, value: float) -> None:
    assert quantities.count(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "ms", "2", "0ms", "-2ms", "2 m s", "2kB", "nanms", "infms"])
def test_a_duration_needs_a_positive_number_and_a_unit(text: str) -> None:
    with pytest.raises(QuantityError, match=r"2ms, 500us or 0\.1s") as raised:
        quantities.milliseconds(text)
    assert repr(text) in str(raised.value)


@pytest.mark.parametrize("text", ["", "500", "0kB", "-1MB", "1ms", "1e999MB"])
def test_a_size_needs_a_positive_number_and_a_unit(text: str) -> None:
    with pytest.raises(QuantityError, match="500kB or 2MB"):
        quantities.size_bytes(text)


@pytest.mark.parametrize("text", ["", "0", "-5", "5x", "1e", "5kB", "1,5M", "1e999"])
def test_a_count_needs_a_positive_number(text: str) -> None:
    with pytest.raises(QuantityError, match=r"200000, 200k or 1\.5M"):
        quantities.count(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, {}),
        ("", {}),
        ("images=volumes, group = case", {"images": "volumes", "group": "case"}),
        ("a=b=c", {"a": "b=c"}),
    ],
)
def test_pairs(text: str | None, found: dict[str, str]) -> None:
    assert quantities.pairs(text) == found


@pytest.mark.parametrize("text", ["images", "images=", "=volumes", "a=b,c"])
def test_a_piece_that_is_no_pair_is_refused(text: str) -> None:
    with pytest.raises(QuantityError, match="role=name"):
        quantities.pairs(text)


def test_interval() -> None:
    assert quantities.interval(None) is None
    assert quantities.interval("-1000, 400") == (-1000.0, 400.0)


@pytest.mark.parametrize("text", ["", "1", "1,2,3", "a,b", "400,-1000", "1,1", "nan,1", "0,inf"])
def test_an_interval_is_two_ascending_finite_numbers(text: str) -> None:
    with pytest.raises(QuantityError):
        quantities.interval(text)
