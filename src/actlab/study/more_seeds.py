"""How many more seeds would probably settle what is undecided."""

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
"""The share of resampled studies that have to come to a decision."""

Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Levels:
    """What a decision needs.

    Attributes:
        difference: the level of a claim that there is a difference.
        equivalence: the level of a claim that there is none that matters.
        region: half the width of the region of practical equivalence.
    """

    difference: float
    equivalence: float
    region: float


def more_seeds(differences: Sequence[float], *, levels: Levels, seed: int) -> int | None:
    """The fewest more pairs with which four in five resampled studies decide, or None above 200.

    A resampled study is the observed differences and as many more drawn from them. That is a guess from few
    numbers, to be read as "about".

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
        if _decided(studies, levels=levels).mean() >= ENOUGH:
            return more
    return None


def _decided(studies: Reals, *, levels: Levels) -> NDArray[np.bool_]:
    larger, smaller = _one_sided(studies)
    differ = 2 * np.minimum(larger, smaller) <= levels.difference
    above_low, _ = _one_sided(studies + levels.region)
    _, below_high = _one_sided(studies - levels.region)
    return differ | (2 * np.maximum(above_low, below_high) <= levels.equivalence)


def _one_sided(studies: Reals) -> tuple[Reals, Reals]:
    """p-values against larger and smaller differences, a row a study, by the null distribution without ties."""
    ranks = rankdata(np.abs(studies), axis=1)
    positive = (ranks * ((studies > 0) + 0.5 * (studies == 0))).sum(axis=1)
    tail = _upper_tail(studies.shape[1])
    whole = len(tail) - 1
    return tail[np.floor(positive).astype(int)], tail[np.floor(whole - positive).astype(int)]


@lru_cache(maxsize=256)
def _upper_tail(pairs: int) -> Reals:
    """The chance that the sum of positive ranks is at least so large, for every sum."""
    chances = np.ones(1)
    for rank in range(1, pairs + 1):
        longer = np.zeros(len(chances) + rank)
        longer[: len(chances)] += chances / 2
        longer[rank:] += chances / 2
        chances = longer
    tail: Reals = chances[::-1].cumsum()[::-1]
    return tail
