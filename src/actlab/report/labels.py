"""Positions of labels that must not overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


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


def _touch(before: _Group, after: _Group, *, gap: float, limits: tuple[float, float]) -> bool:
    return before.end(gap=gap, limits=limits) + gap > after.start(gap=gap, limits=limits)
