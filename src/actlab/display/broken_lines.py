"""A curve as lines that end where it jumps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Line = tuple[tuple[float, float], ...]
"""Points of a continuous piece of a curve."""

STEEP = 8.0
"""A change between two points is a jump if it exceeds the changes next to it by this factor."""


def pieces(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[Line, ...]:
    """Return the points as lines, broken at jumps and at values that are not finite.

    Example:
        >>> pieces(np.arange(6.0), np.array([0.0, 0.0, 0.0, 1.0, 1.0, np.inf]))
        (((0.0, 0.0), (1.0, 0.0), (2.0, 0.0)), ((3.0, 1.0), (4.0, 1.0)))
    """
    with np.errstate(invalid="ignore"):
        change = np.abs(np.diff(y))
    padded = np.concatenate([[change[0]], change, [change[-1]]])
    beside = np.fmax(padded[:-2], padded[2:])
    jumps = (change > 0.02) & (change > STEEP * beside)
    breaks = set((np.flatnonzero(jumps) + 1).tolist())
    lines: list[list[tuple[float, float]]] = [[]]
    for number, (place, height) in enumerate(zip(x.tolist(), y.tolist(), strict=True)):
        is_finite = bool(np.isfinite(height))
        if number in breaks or not is_finite:
            lines.append([])
        if is_finite:
            lines[-1].append((place, height))
    return tuple(tuple(line) for line in lines if line)


def with_gaps(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[list[float], list[float]]:
    """Return the points as one line, with a NaN wherever it is broken.

    Example:
        >>> with_gaps(np.arange(5.0), np.array([0.0, 0.0, 0.0, 1.0, 1.0]))[1]
        [0.0, 0.0, 0.0, nan, 1.0, 1.0]
    """
    points = [point for line in pieces(x, y) for point in (*line, (line[-1][0], np.nan))]
    return [float(place) for place, _ in points[:-1]], [float(height) for _, height in points[:-1]]
