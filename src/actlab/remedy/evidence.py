"""Whether a change is shown to be better than the unrepaired training, or at least as good: the study's own test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

from actlab.jsonable import plain
from actlab.study.holm import holm
from actlab.study.signed_rank import SignedRank

ALPHA = 0.05
"""The most often that a repair keeps a change by chance, if no change helps."""

FIRST = 0.65
"""The share of what is left of it that each round of confirmations may spend."""

BETTER, EQUIVALENT, WORSE, UNDECIDED = "better", "at least equivalent", "not better", "undecided"


@final
@dataclass(frozen=True)
class Difference:
    """A difference of the validation metric from the unrepaired training; positive is better, whatever the metric.

    Attributes:
        mean: over the paired seeds.
        low, high: the simultaneous interval; None if it is not bounded.
        p: the one-sided p-value of "no better", after Holm; None for a single seed.
        pairs: the number of seeds.
    """

    mean: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    pairs: int = 1

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return dict(plain({"mean": self.mean, "low": self.low, "high": self.high, "p": self.p, "pairs": self.pairs}))


@final
@dataclass(frozen=True)
class Judged:
    """What the paired differences of one change show."""

    difference: Difference
    verdict: str


def level_of(round_number: int) -> float:
    """Return the error that the confirmations of a round may spend together, counted from 0.

    Example:
        >>> [round(level_of(number), 4) for number in range(3)], sum(map(level_of, range(99))) <= 0.05
        ([0.0325, 0.0114, 0.004], True)
    """
    return ALPHA * FIRST * (1 - FIRST) ** round_number


def pairs_needed(level: float, tests: int) -> int:
    """Return the fewest seeds with which so many one-sided exact tests can all succeed at a level together.

    Example:
        >>> pairs_needed(0.0325, 1), pairs_needed(0.0325, 2), pairs_needed(0.0325, 3)
        (5, 6, 7)
    """
    pairs = 1
    while 0.5**pairs > level / tests:
        pairs += 1
    return pairs


def judge(gains: Sequence[Sequence[float]], *, level: float, region: float) -> list[Judged]:
    """Judge changes by their gains over the unrepaired training on the same seeds.

    A change is better if Holm's procedure over the changes rejects "no better" by the one-sided exact signed-rank test.
    It is at least equivalent if it is not, at the Bonferroni level, worse by as much as the region.

    Args:
        gains: for each change, the gain of every seed.
        level: the error that they may spend together.
        region: half the width of the region of practical equivalence.
    """
    tests = [SignedRank(tuple(each)) for each in gains]
    steps = holm([_one_sided(test) for test in tests], alpha=level)
    found = []
    for test, step in zip(tests, steps, strict=True):
        shown = test.interval(min(1.0, 2 * step.alpha))
        guarded = test.interval(min(1.0, 2 * level / len(tests)))
        if step.rejected and shown.low > 0:
            verdict = BETTER
        elif guarded.low > -region:
            verdict = EQUIVALENT
        elif shown.high < 0:
            verdict = WORSE
        else:
            verdict = UNDECIDED
        difference = Difference(test.mean, _bounded(shown.low), _bounded(shown.high), step.adjusted_p, len(gains[0]))
        found.append(Judged(difference, verdict))
    return found


def _one_sided(test: SignedRank) -> float:
    """Return the p-value of "no better"."""
    return test.p / 2 if test.estimate > 0 else 1.0


def _bounded(value: float) -> float | None:
    return value if abs(value) < float("inf") else None
