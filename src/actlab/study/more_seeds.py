"""Estimate how many more seeds would settle an undecided comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

CAP = 200
STEPS = (*range(1, 11), 12, 14, 16, 18, 20, 25, 30, 35, 40, 50, 60, 80, 100, 125, 150, CAP)
RESAMPLES = 200
ENOUGH = 0.8
"""The share of resampled studies that must reach a decision."""

Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Levels:
    """The levels of a decision.

    Attributes:
        difference: the level for claiming a difference.
        equivalence: the level for claiming that no difference matters.
        region: half the width of the region of practical equivalence.
    """

    difference: float
    equivalence: float
    region: float


def more_seeds(differences: Sequence[float], *, levels: Levels, seed: int, is_proved: bool = False) -> int | None:
    """Return the smallest number of additional pairs with which 80 % of resampled studies decide; None above 200.

    A resampled study consists of the observed differences and additional ones drawn from them. From few numbers this is
    a rough estimate. If a difference is proved already, the open question is whether it matters.

    Example:
        >>> more_seeds([2.0, 3.0, 1.0, 2.5, 1.5], levels=Levels(0.05, 0.05, 0.5), seed=0)
        1
    """
    observed = np.array(differences)
    chance = np.random.default_rng(seed)
    more: int
    for more in STEPS:
        drawn = chance.choice(observed, size=(RESAMPLES, more))
        studies = np.concatenate([np.broadcast_to(observed, (RESAMPLES, len(observed))), drawn], axis=1)
        if _decided(studies, levels=levels, is_proved=is_proved).mean() >= ENOUGH:
            return more
    return None


def _decided(studies: Reals, *, levels: Levels, is_proved: bool) -> NDArray[np.bool_]:
    above_low, below_low = _one_sided(studies + levels.region)
    above_high, below_high = _one_sided(studies - levels.region)
    within = 2 * np.maximum(above_low, below_high) <= levels.equivalence
    above, below = (above_high, below_low) if is_proved else _one_sided(studies)
    return within | (2 * np.minimum(above, below) <= levels.difference)


def _one_sided(studies: Reals) -> tuple[Reals, Reals]:
    """Return p-values against larger and smaller differences, one row per study, by the distribution without ties."""
    ranks = rankdata(np.abs(studies), axis=1)
    positive = (ranks * ((studies > 0) + 0.5 * (studies == 0))).sum(axis=1)
    tail = upper_tail(studies.shape[1])
    whole = len(tail) - 1
    return tail[np.floor(positive).astype(int)], tail[np.floor(whole - positive).astype(int)]


@lru_cache(maxsize=256)
def upper_tail(pairs: int) -> Reals:
    """Return, for every sum of positive ranks, the probability of a sum at least as large."""
    chances = np.ones(1)
    for rank in range(1, pairs + 1):
        longer = np.zeros(len(chances) + rank)
        longer[: len(chances)] += chances / 2
        longer[rank:] += chances / 2
        chances = longer
    tail: Reals = chances[::-1].cumsum()[::-1]
    return tail
