"""What a number of seeds can decide, from the smallest p-value of the exact signed-rank test."""

from __future__ import annotations


def smallest_p(seeds: int) -> float:
    """Return the smallest two-sided p-value of the exact signed-rank test of n pairs: 2/2ⁿ.

    Example:
        >>> smallest_p(5), smallest_p(9)
        (0.0625, 0.00390625)
    """
    return min(1.0, 2.0 / 2.0**seeds)


def seeds_needed(comparisons: int, *, alpha: float = 0.05) -> int:
    """Return the smallest number of seeds with which Holm's first step can reject.

    Example:
        >>> seeds_needed(9), seeds_needed(45)
        (9, 11)
    """
    seeds = 1
    while smallest_p(seeds) > alpha / max(1, comparisons):
        seeds += 1
    return seeds
