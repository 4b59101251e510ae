"""Positions of labels that must not overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

NEAR = 1e-9
"""Lines that differ by less at an end touch there and do not cross."""


@dataclass(frozen=True)
class _Group:
    """Neighboring labels at equal distances: the sum of the group starts that each prefers, and their number."""

    starts: float
    size: int

    def start(self, *, gap: float, limits: tuple[float, float]) -> float:
        low, high = limits
        return min(max(self.starts / self.size, low), high - gap * (self.size - 1))

    def end(self, *, gap: float, limits: tuple[float, float]) -> float:
        return self.start(gap=gap, limits=limits) + gap * (self.size - 1)

    def joined(self, after: _Group, *, gap: float) -> _Group:
        return _Group(self.starts + after.starts - after.size * self.size * gap, self.size + after.size)


def apart(places: Sequence[float], *, gap: float, limits: tuple[float, float]) -> tuple[float, ...]:
    """Move positions as little as possible (least squares) so that they are at least `gap` apart and within limits.

    The order is preserved. If they do not all fit, they are spaced evenly.

    Example:
        >>> apart([5.0, 5.0, 1.0], gap=1.0, limits=(0.0, 10.0))
        (4.5, 5.5, 1.0)
    """
    low, high = limits
    gap = min(gap, (high - low) / max(1, len(places) - 1))
    order = sorted(range(len(places)), key=lambda number: places[number])
    groups: list[_Group] = []
    for number in order:
        groups.append(_Group(places[number], 1))
        while len(groups) > 1 and _touch(groups[-2], groups[-1], gap=gap, limits=limits):
            groups[-2:] = [groups[-2].joined(groups[-1], gap=gap)]
    found = [group.start(gap=gap, limits=limits) + gap * k for group in groups for k in range(group.size)]
    placed = dict(zip(order, found, strict=True))
    return tuple(placed[number] for number in range(len(places)))


def uncrossed(points: Sequence[tuple[float, float]], labels: Sequence[float], *, at: float) -> tuple[float, ...]:
    """Exchange labels until no two lines from a point to its label cross.

    Args:
        points: where the lines begin, left of the labels.
        labels: the height of each point's label.
        at: the horizontal position of all labels.

    Example:
        >>> uncrossed([(0.0, 1.0), (3.9, 0.9)], [1.0, 0.0], at=4.0)
        (1.0, 0.0)
        >>> uncrossed([(0.0, 1.1), (3.9, 1.0)], [0.9, 0.1], at=4.0)
        (0.1, 0.9)
    """
    placed = list(labels)
    # Exchanging the ends of two lines that cross shortens both together, so this ends.
    while (pair := _crossing(points, placed, at=at)) is not None:
        one, other = pair
        placed[one], placed[other] = placed[other], placed[one]
    return tuple(placed)


def _crossing(points: Sequence[tuple[float, float]], labels: Sequence[float], *, at: float) -> tuple[int, int] | None:
    for one, other in combinations(range(len(points)), 2):
        start = max(points[one][0], points[other][0])
        before = _height(points[one], labels[one], at=at, x=start) - _height(
            points[other], labels[other], at=at, x=start
        )
        after = labels[one] - labels[other]
        if min(before, after) < -NEAR < NEAR < max(before, after):
            return one, other
    return None


def _height(point: tuple[float, float], label: float, *, at: float, x: float) -> float:
    return point[1] + (label - point[1]) * (x - point[0]) / (at - point[0])


def _touch(before: _Group, after: _Group, *, gap: float, limits: tuple[float, float]) -> bool:
    return before.end(gap=gap, limits=limits) + gap > after.start(gap=gap, limits=limits)
