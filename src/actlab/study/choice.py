"""Choose learning rates: for every arm and seed on its own validation data, and the range for all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from actlab.study.outcome import Outcome
from actlab.study.plan import EXTENSION, MOST_EXTENSIONS, Plan, Trial
from actlab.train.kinds import Metric

Done = Mapping[Trial, Outcome]

SHARE_AT_END = 0.5
"""The share of an arm's seeds that must choose an end of the range for the range to be extended there."""


def chosen(plan: Plan, done: Done, *, points: Sequence[int], look: int, metric: Metric) -> dict[str, tuple[int, ...]]:
    """Return the point that every arm chose with each seed: the best on validation data, the middle one of equals."""
    seeds = plan.seeds[: plan.looks[look].seeds]
    return {arm: tuple(_best(arm, seed, done, points=points, metric=metric) for seed in seeds) for arm in plan.arms}


def _best(arm: str, seed: int, done: Done, *, points: Sequence[int], metric: Metric) -> int:
    values = {point: metric.gain(done[Trial(arm, point, seed)].valid, over=0.0) for point in sorted(points)}
    most = max(values.values())
    equals = [point for point, value in values.items() if value == most]
    return equals[(len(equals) - 1) // 2]


def extension(plan: Plan, choices: Mapping[str, Sequence[int]], *, points: Sequence[int]) -> tuple[int, ...]:
    """Return the points by which the range is extended: beyond each end that half of an arm's seeds chose.

    The range is the same for all arms. It is extended at most three times at each end, and not at all if the plan has a
    single rate.
    """
    low, high = min(points), max(points)
    if low == high:
        return ()
    most = EXTENSION * MOST_EXTENSIONS
    down = range(low - EXTENSION, low) if low > -most and _chooses(low, choices) else ()
    up = range(high + 1, high + 1 + EXTENSION) if high - len(plan.points) + 1 < most and _chooses(high, choices) else ()
    return (*down, *up)


def _chooses(point: int, choices: Mapping[str, Sequence[int]]) -> bool:
    return any(Counter(each)[point] >= SHARE_AT_END * len(each) for each in choices.values())


def at_ends(choices: Mapping[str, Sequence[int]], *, points: Sequence[int]) -> dict[str, int]:
    """Return the arms of which at least half of the seeds chose an end of the range, with how many did."""
    ends = (min(points), max(points))
    counts = {arm: max(Counter(each)[end] for end in ends) for arm, each in choices.items()}
    return {arm: count for arm, count in counts.items() if count >= SHARE_AT_END * len(choices[arm])}
