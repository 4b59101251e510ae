"""Limits of an axis."""

from __future__ import annotations

from collections.abc import Sequence

Limits = tuple[float, float]

MARGIN = 0.06
"""Share of the span left free beyond the outermost values."""


def padded(values: Sequence[float]) -> Limits:
    """Return limits that contain all values, with a margin on both sides.

    Example:
        >>> padded([0.0, 100.0]), padded([3.0])
        ((-6.0, 106.0), (2.0, 4.0))
    """
    low, high = min(values), max(values)
    margin = MARGIN * (high - low) or 1.0
    return low - margin, high + margin
