"""The differences that the exact signed-rank test detects, by simulation with normally distributed differences.

At the sizes of a study the distribution of ranks is coarse: with 9 pairs and a level of .005 only the most extreme
sample is significant. So the test itself is simulated; the asymptotic efficiency of 3/π would promise too much.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from actlab.study.more_seeds import CAP, Reals, upper_tail
from actlab.study.power import seeds_needed

POWER = 0.8
STUDIES = 4000
"""Simulated studies: the standard error of a rate of 80 % is then 0.6 points."""

LARGEST = 50.0
"""The largest effect that is searched, in standard deviations."""


def detection_rate(effect: float, *, seeds: int, level: float) -> float:
    """Return the probability that the two-sided test rejects "no difference".

    Args:
        effect: the true difference, in standard deviations of the paired differences.
        seeds: the number of pairs.
        level: the significance level.

    Example:
        >>> detection_rate(0.0, seeds=5, level=0.05), detection_rate(20.0, seeds=6, level=0.05)
        (0.0, 1.0)
    """
    least = _critical(seeds, level)
    positive = _positive_ranks(_noise(seeds) + effect)
    return float(((positive >= least) | (positive <= _sum(seeds) - least)).mean())


def equivalence_rate(region: float, *, seeds: int, level: float) -> float:
    """Return the probability that the interval lies within ±`region` for arms that do not differ.

    Args:
        region: half the width of the region of practical equivalence, in standard deviations of the differences.
        seeds: the number of pairs.
        level: the level of the interval.
    """
    least = _critical(seeds, level)
    above, below = _positive_ranks(_noise(seeds) + region), _positive_ranks(_noise(seeds) - region)
    return float(((above >= least) & (below <= _sum(seeds) - least)).mean())


def detectable(seeds: int, *, level: float) -> float | None:
    """Return the true difference that is detected with 80 % power, in standard deviations; None if none is.

    Example:
        >>> detectable(5, level=0.05), round(detectable(40, level=0.05), 1)
        (None, 0.5)
    """
    if detection_rate(LARGEST, seeds=seeds, level=level) < POWER:
        return None
    low, high = 0.0, LARGEST
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if detection_rate(middle, seeds=seeds, level=level) >= POWER else (middle, high)
    return high


def seeds_to_detect(effect: float, *, level: float) -> int | None:
    """Return the number of pairs that detect a difference with 80 % power; None above 200.

    Args:
        effect: the true difference, in standard deviations of the paired differences.
        level: the significance level.
    """
    return _fewest(lambda seeds: detection_rate(effect, seeds=seeds, level=level), level=level)


def seeds_for_equivalence(region: float, *, level: float) -> int | None:
    """Return the number of pairs that show equivalence with 80 % power for arms that do not differ; None above 200.

    Args:
        region: half the width of the region of practical equivalence, in standard deviations of the differences.
        level: the level of the interval.
    """
    return _fewest(lambda seeds: equivalence_rate(region, seeds=seeds, level=level), level=level)


def _fewest(rate: Callable[[int], float], *, level: float) -> int | None:
    sizes = range(seeds_needed(1, alpha=level), CAP + 1)
    place = bisect_left(sizes, POWER, key=rate)
    return sizes[place] if place < len(sizes) else None


def _critical(seeds: int, level: float) -> int:
    """Return the smallest sum of positive ranks that the two-sided test rejects; above all sums if it never does."""
    return int((2 * upper_tail(seeds) > level).sum())


def _sum(seeds: int) -> int:
    return seeds * (seeds + 1) // 2


def _positive_ranks(studies: Reals) -> Reals:
    """Return the sum of the ranks of the positive differences, one row per study; normal differences have no ties."""
    ranks = np.abs(studies).argsort(axis=1).argsort(axis=1) + 1
    return np.asarray((ranks * (studies > 0)).sum(axis=1), dtype=float)


@lru_cache(maxsize=8)
def _noise(seeds: int) -> Reals:
    return np.random.default_rng(seeds).standard_normal((STUDIES, seeds))
