"""The front, its hypervolume and its knee, against definitions written out the long way."""

import math
import random

import numpy as np
import pytest

from automed.front import BULGE, CHUNK, front, hypervolume, knee, num_beating, oriented, unbeaten

BOTH = ("maximize", "minimize")
Point = tuple[float, ...]


def beats(a: Point, b: Point, directions: tuple[str, ...]) -> bool:
    """Nowhere worse and somewhere better."""
    better = [(x > y) if d == "maximize" else (x < y) for x, y, d in zip(a, b, directions)]  # noqa: B905
    return any(better) and all(better[i] or a[i] == b[i] for i in range(len(a)))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("directions", [("maximize",), BOTH, ("minimize", "maximize", "minimize")])
def test_front_is_what_nothing_beats(seed: int, directions: tuple[str, ...]) -> None:
    rng = random.Random(seed)
    rows: list[Point] = [
        tuple(float(rng.randint(0, 12)) for _ in directions) for _ in range(40)
    ]  # many ties
    expected = [
        i
        for i, row in enumerate(rows)
        if not any(beats(other, row, directions) for other in rows) and row not in rows[:i]
    ]
    assert front(rows, directions) == expected
    assert expected


@pytest.mark.parametrize("number", [0, 1, CHUNK, 3 * CHUNK + 7])
def test_many_rows_are_compared_in_chunks(number: int) -> None:
    rows = np.random.default_rng(number).integers(0, 300, (number, 2)).astype(float)  # some ties
    assert unbeaten(rows).tolist() == np.flatnonzero(num_beating(rows, rows) == 0).tolist()


def test_of_equal_rows_the_first_stays() -> None:
    assert front([(0.9, 2.0), (0.8, 1.0), (0.9, 2.0), (0.8, 1.0)], BOTH) == [0, 1]


def test_a_tie_in_one_objective_goes_to_the_other() -> None:
    assert front([(0.9, 2.0), (0.9, 1.0), (0.8, 1.0)], BOTH) == [1]


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("column", [0, 1])
def test_what_is_not_finite_is_never_on_the_front_nor_beats_it(broken: float, column: int) -> None:
    rows = [[0.7, 3.0], [0.9, 2.0], [0.8, 1.0]]
    rows[0][column] = broken
    assert front(rows, BOTH) == [1, 2]
    assert hypervolume(rows, BOTH, (0.5, 4.0)) == hypervolume(rows[1:], BOTH, (0.5, 4.0))


def test_front_of_nothing_is_empty() -> None:
    assert front([], BOTH) == []
    assert hypervolume([], BOTH, (0.5, 4.0)) == 0.0


def test_oriented_turns_what_is_maximised() -> None:
    np.testing.assert_array_equal(oriented([(0.9, 2.0)], BOTH), [(-0.9, 2.0)])


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("directions", [BOTH, ("minimize", "minimize"), ("maximize", "maximize")])
def test_hypervolume_counts_the_cells_that_are_beaten(
    seed: int, directions: tuple[str, ...]
) -> None:
    rng = random.Random(seed)
    rows = [(float(rng.randint(0, 20)), float(rng.randint(0, 20))) for _ in range(12)]
    reference = tuple(4.0 if d == "maximize" else 16.0 for d in directions)
    cells = 0
    for x in range(20):
        for y in range(20):
            cell = (x + 0.5, y + 0.5)
            if beats(cell, reference, directions):
                cells += any(beats(row, cell, directions) for row in rows)
    assert hypervolume(rows, directions, reference) == pytest.approx(cells)


def test_hypervolume_beyond_the_reference_is_nothing() -> None:
    assert hypervolume([(0.4, 1.0), (0.9, 9.0), (0.5, 4.0)], BOTH, (0.5, 4.0)) == 0.0


def test_hypervolume_is_of_two_objectives() -> None:
    with pytest.raises(ValueError, match="not 3"):
        hypervolume([(1, 2, 3)], ("minimize",) * 3, (9, 9, 9))


def test_knee_is_where_latency_stops_buying() -> None:
    assert knee([0.70, 0.90, 0.91, 0.92], [1.0, 2.0, 4.0, 8.0]) == 1


def test_knee_looks_at_factors_of_latency() -> None:
    """On a linear axis the second would stand highest."""
    assert knee([0.70, 0.78, 0.90, 1.00], [1.0, 2.0, 8.0, 100.0]) == 2


@pytest.mark.parametrize("scores", [[0.7, 0.8, 0.9, 1.0], [0.7, 0.72, 0.76, 1.0]])
def test_a_front_without_a_bulge_gives_its_most_accurate(scores: list[float]) -> None:
    assert knee(scores, [1.0, 2.0, 4.0, 8.0]) == 3


def test_a_bulge_must_be_wide_enough() -> None:
    latencies = [1.0, 2.0, 4.0]
    assert knee([0.0, 0.5 + BULGE - 0.01, 1.0], latencies) == 2
    assert knee([0.0, 0.5 + BULGE + 0.01, 1.0], latencies) == 1


def test_knee_of_short_or_flat_fronts() -> None:
    assert knee([0.8], [1.0]) == 0
    assert knee([0.9, 0.8], [2.0, 1.0]) == 0
    assert knee([0.8, 0.8, 0.8], [1.0, 1.0, 1.0]) == 0
