"""The exact signed-rank test, and the confidence interval from inverting it.

The hypothesis "these differences are symmetric about θ" is tested at every θ that matters: at the Walsh averages, where
ranks or signs change, and in the gaps between them. Differences are rounded to multiples of a tiny unit, so that ties
are exact and so is every comparison.

p-values are made monotone in θ; at a Walsh average, the larger of the values at it and beside it counts. So p-value and
interval never contradict each other, and without ties and zeros both are the textbook's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from actlab.errors import BadInput

UNITS = 2**30
"""Units in the largest difference: rounding errors of float64 metrics are far below one, differences above."""

Whole = NDArray[np.int64]
Reals = NDArray[np.float64]


@final
@dataclass(frozen=True)
class Interval:
    """The values of a difference that a test does not reject, both ends included."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def lies_within(self, half_width: float) -> bool:
        """Return whether every value is smaller in magnitude than `half_width`."""
        return -half_width < self.low and self.high < half_width


@final
@dataclass(frozen=True)
class SignedRank:
    """The exact signed-rank test of paired differences, at every value of the difference at once.

    Args:
        differences: one finite difference per pair.

    Raises:
        BadInput: there are no differences, or one is not finite.

    Example:
        >>> test = SignedRank((1.0, 2.0, 3.0, 4.0, 5.0, 6.0))
        >>> test.p, test.estimate, test.interval(0.05)
        (0.03125, 3.5, Interval(low=1.0, high=6.0))
    """

    differences: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.differences or not all(math.isfinite(value) for value in self.differences):
            raise BadInput(f"a signed-rank test requires finite differences; got {list(self.differences)}.")

    @property
    def zeros(self) -> int:
        """The number of pairs that do not differ."""
        return int((self._whole == 0).sum())

    @property
    def mean(self) -> float:
        """The mean difference."""
        return float(np.mean(self.differences))

    @property
    def estimate(self) -> float:
        """The Hodges-Lehmann estimate: the median of the Walsh averages."""
        values = np.array(self.differences)
        first, second = np.triu_indices(len(values))
        return float(np.median((values[first] + values[second]) / 2))

    @property
    def p(self) -> float:
        """The two-sided p-value of "no difference"."""
        return self.p_at(0.0)

    def p_at(self, center: float) -> float:
        """Return the two-sided p-value of "the differences are symmetric about `center`"."""
        place = self._doubled(center)
        number = int(np.searchsorted(self._averages, place))
        is_average = number < len(self._averages) and self._averages[number] == place
        # Gap k lies below average k; at an average, the gap further from rejection counts.
        above = self._rising[number + 1] if is_average else self._rising[number]
        below = self._falling[number]
        return min(1.0, 2 * float(min(above, below)))

    def interval(self, alpha: float) -> Interval:
        """Return the values that the two-sided test at level `alpha` does not reject; infinite if it rejects none."""
        low = int(np.argmax(2 * self._rising > alpha))  # the lowest gap not rejected from below
        high = int(np.flatnonzero(2 * self._falling > alpha)[-1])
        ends = self._average_values
        return Interval(
            float(ends[low - 1]) if low > 0 else -math.inf,
            float(ends[high]) if high < len(ends) else math.inf,
        )

    @cached_property
    def _unit(self) -> float:
        return max(map(abs, self.differences)) / UNITS or 1.0

    @cached_property
    def _whole(self) -> Whole:
        return np.rint(np.array(self.differences) / self._unit).astype(np.int64)

    def _doubled(self, value: float) -> float:
        return value / self._unit * 2 if math.isfinite(value) else value

    @cached_property
    def _sums(self) -> tuple[Whole, Reals]:
        """The distinct Walsh averages, doubled and in units, and as differences."""
        first, second = np.triu_indices(len(self._whole))
        sums, where = np.unique(self._whole[first] + self._whole[second], return_index=True)
        values = np.array(self.differences)
        return sums, ((values[first] + values[second]) / 2)[where]

    @property
    def _averages(self) -> Whole:
        return self._sums[0]

    @property
    def _average_values(self) -> Reals:
        return self._sums[1]

    @cached_property
    def _one_sided(self) -> tuple[Reals, Reals]:
        """For every gap between Walsh averages, the p-values against larger and against smaller differences."""
        middles = self._gap_middles()
        pairs = [one_sided_p(4 * self._whole - middle) for middle in middles]
        above, below = np.array(pairs).T
        return above, below

    def _gap_middles(self) -> Whole:
        """Return a point within every gap, in quarters of a unit, which is never a Walsh average."""
        doubled = self._averages
        inner = doubled[:-1] + doubled[1:]
        return np.concatenate([[2 * doubled[0] - 4], inner, [2 * doubled[-1] + 4]])

    @cached_property
    def _rising(self) -> Reals:
        """Gap by gap, the p-value against larger differences, made non-decreasing in the center."""
        return np.maximum.accumulate(self._one_sided[0])

    @cached_property
    def _falling(self) -> Reals:
        """Gap by gap, the p-value against smaller differences, made non-increasing in the center."""
        return np.maximum.accumulate(self._one_sided[1][::-1])[::-1]


def one_sided_p(differences: Whole | Sequence[int]) -> tuple[float, float]:
    """Return the exact p-values of "symmetric about 0" against larger and against smaller differences.

    Ties get midranks. Zeros are ranked with the rest and then dropped (Pratt 1959), so that a larger difference never
    weakens the evidence. The null distribution is that of all signs, given the ranks.

    Example:
        >>> one_sided_p([1, 2, 3, 4, 5])
        (0.03125, 1.0)
    """
    values = np.asarray(differences)
    ranks = np.rint(2 * rankdata(np.abs(values))).astype(np.int64)
    signed = values != 0
    chances = _null_chances(tuple(sorted(ranks[signed].tolist())))
    positive = int(ranks[values > 0].sum())
    return float(min(1.0, chances[positive:].sum())), float(min(1.0, chances[: positive + 1].sum()))


@lru_cache(maxsize=4096)
def _null_chances(doubled_ranks: tuple[int, ...]) -> Reals:
    """Return the probability of every sum of doubled ranks if each is included with probability 1/2."""
    chances = np.zeros(sum(doubled_ranks) + 1)
    chances[0] = 1.0
    for rank in doubled_ranks:
        moved = np.zeros_like(chances)
        moved[rank:] = chances[: len(chances) - rank]
        chances = (chances + moved) / 2
    return chances
