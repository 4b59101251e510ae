"""Holm's step-down procedure, with the level of each comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """The result of Holm's procedure for one comparison.

    Attributes:
        rejected: whether a difference may be claimed.
        alpha: the level that its p-value was compared with; after the first comparison that fails, the level of that
            one, so that `p <= alpha` exactly when rejected.
        adjusted_p: the smallest overall level at which it would be rejected.
    """

    rejected: bool
    alpha: float
    adjusted_p: float


def holm(p_values: Sequence[float], *, alpha: float) -> tuple[Step, ...]:
    """Apply Holm's procedure to p-values; the results keep their order.

    Source:
        Holm 1979, Scandinavian Journal of Statistics 6, 65-70.

    Example:
        >>> [step.rejected for step in holm([0.06, 0.01, 0.02], alpha=0.05)]
        [False, True, True]
        >>> [step.rejected for step in holm([0.04, 0.01, 0.03], alpha=0.05)]
        [False, True, False]
    """
    order = sorted(range(len(p_values)), key=lambda number: p_values[number])
    steps: dict[int, Step] = {}
    level, adjusted, rejecting = alpha, 0.0, True
    for place, number in enumerate(order):
        left = len(p_values) - place
        if rejecting:
            level = alpha / left
        rejecting = rejecting and p_values[number] <= level
        adjusted = max(adjusted, min(1.0, left * p_values[number]))
        steps[number] = Step(rejecting, level, adjusted)
    return tuple(steps[number] for number in range(len(p_values)))
