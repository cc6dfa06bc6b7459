"""Where the labels of a figure go, so that none covers another at any width of the page."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

SIZE = 12  # of the font
HEIGHT = 18.0


class Point(NamedTuple):
    """A point that wants a label: x as a share of the width, y in pixels from the top.

    Its label goes above it where it can, or below it.
    """

    x: float
    y: float
    text: str
    bold: bool
    above: bool


class Box(NamedTuple):
    """A rectangle whose edges hang on shares of the width, so that it moves with the page.

    At plot width w it reaches from x0 * w + left to x1 * w + right.
    """

    x0: float
    x1: float
    left: float
    right: float
    top: float
    bottom: float

    @classmethod
    def at(cls, x: float, *, left: float, right: float, top: float, bottom: float) -> "Box":
        """A box around one share of the width."""
        return cls(x0=x, x1=x, left=left, right=right, top=top, bottom=bottom)

    def clear_of(self, other: "Box", widths: Sequence[float]) -> bool:
        """The two touch at no width: one is above the other, or left of it, at all of them."""
        return (
            self.top >= other.bottom
            or other.top >= self.bottom
            or all(self._left_of(other, w) for w in widths)
            or all(other._left_of(self, w) for w in widths)
        )

    def within(self, width: float, height: float) -> bool:
        """Nothing sticks out of a plot of this size."""
        across = self.x0 * width + self.left >= 0 and self.x1 * width + self.right <= width
        return across and self.top >= 0 and self.bottom <= height

    def _left_of(self, other: "Box", width: float) -> bool:
        return self.x1 * width + self.right <= other.x0 * width + other.left


class Place(NamedTuple):
    """A label's offset in pixels from its point, and which part of the text hangs there.

    Its box is the text's; its leader is the box around the line from the point to the text.
    """

    dx: int
    dy: int
    anchor: str
    box: Box
    leader: Box


def steps(points: Sequence[tuple[float, float]]) -> list[Box]:
    """The horizontal and vertical pieces of the line through a front's points."""
    boxes = []
    for (x, y), (right, below) in itertools.pairwise(points):
        top, bottom = sorted((y, below))
        boxes.append(Box(x0=x, x1=right, left=0, right=0, top=y - 2, bottom=y + 2))
        boxes.append(Box.at(right, left=-2, right=2, top=top, bottom=bottom))
    return boxes


def places(
    points: Sequence[Point], lines: Sequence[Box], widths: Sequence[float], height: float
) -> list[Place | None]:
    """Where each point's label goes, or None where there is no room for it.

    Greedy: each label takes the nearest place that covers neither a label, a point nor a line, at
    the narrowest and the widest plot; what holds at both holds between, as gaps are linear in the
    width. Where no such place is left a label may cover leaders, then lines, then points, but
    never a label.
    """
    markers = [_marker(p) for p in points]
    taken: list[Box] = []
    leaders: list[Box] = []
    found: list[Place | None] = []
    for point in points:
        free = [
            place
            for place in _around(point)
            if all(place.box.within(w, height) for w in widths)
            and _clear(place.box, (*taken, _marker(point)), widths)
        ]
        demands: tuple[tuple[Sequence[Box], Sequence[Box]], ...] = (
            ((*markers, *lines, *leaders), taken),
            ((*markers, *lines), ()),
            (markers, ()),
            ((), ()),
        )
        nearest = next(
            (
                place
                for covered, crossed in demands
                for place in free
                if _clear(place.box, covered, widths) and _clear(place.leader, crossed, widths)
            ),
            None,
        )
        if nearest:
            taken.append(nearest.box)
            leaders.append(nearest.leader)
        found.append(nearest)
    return found


def _clear(box: Box, others: Sequence[Box], widths: Sequence[float]) -> bool:
    return all(box.clear_of(other, widths) for other in others)


def _around(point: Point) -> list[Place]:
    """Places for a label around its point: the nearest first, those on its wrong side later."""
    x, y = point.x, point.y
    length = (0.63 if point.bold else 0.57) * SIZE * len(point.text) + 8
    scored = []
    for dy in range(-260, 261, 5):
        top, bottom = y + dy - HEIGHT / 2, y + dy + HEIGHT / 2
        for dx in (16, -16, 0, 32, -32, 60, -60):
            for anchor, share in (("left", 0.0), ("center", 0.5), ("right", 1.0)):
                left = dx - share * length
                right = left + length
                gap = max(left, -right, 0.0), max(abs(dy) - HEIGHT / 2, 0.0)
                away = math.hypot(*gap) + 0.04 * abs(left + length / 2) + 0.1 * abs(dx)
                away += 30 * (dy > 10 if point.above else dy < -10)
                place = Place(
                    dx=dx,
                    dy=dy,
                    anchor=anchor,
                    box=Box.at(x, left=left - 2, right=right + 2, top=top, bottom=bottom),
                    leader=Box.at(
                        x,
                        left=min(dx, -2),
                        right=max(dx, 2),
                        top=min(y, bottom),
                        bottom=max(y, top),
                    ),
                )
                scored.append((away, place))
    return [place for _, place in sorted(scored, key=lambda pair: pair[0])]


def _marker(point: Point) -> Box:
    half = 14 if point.bold else 9
    return Box.at(point.x, left=-half, right=half, top=point.y - half, bottom=point.y + half)
