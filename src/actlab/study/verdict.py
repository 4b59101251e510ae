"""Judge every arm against the control, and find the arms that cannot be distinguished from the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from actlab.study.comparison import Difference
from actlab.study.holm import holm
from actlab.study.more_seeds import Levels, more_seeds
from actlab.study.power import seeds_needed
from actlab.study.signed_rank import SignedRank
from actlab.train.kinds import Metric

BETTER = "better"
WORSE = "worse"
MINOR = "minor"
EQUIVALENT = "equivalent"
UNDECIDED = "undecided"
CONTROL = "control"

SHARE_TO_LEARN = 0.2
"""A network has learned if it gains more than this share of the best arm's gain over the baseline."""


@dataclass(frozen=True)
class Judgement:
    """The verdict on one arm against the control."""

    difference: Difference
    verdict: str
    more_seeds: int | None


def judge(
    tests: Mapping[str, Sequence[float]],
    *,
    metric: Metric,
    region: float,
    alpha: float,
    seed: int | None,
    later: float = 1.0,
) -> dict[str, Judgement]:
    """Judge every arm but the first, which is the control.

    A difference is proved if Holm's procedure over all arms rejects. The arm is better or worse if its interval then
    lies beyond the region of practical equivalence, and otherwise its difference is minor: proved, but not shown to
    matter. An arm is equivalent if no difference is proved and the interval at the Bonferroni level lies within the
    region.

    Args:
        tests: the test metrics of every arm, paired by seed; the control first.
        metric: the metric.
        region: half the width of the region of practical equivalence.
        alpha: the error spent on this look.
        seed: the random seed of the resampling that estimates how many more seeds are needed; with None, they are not
            estimated.
        later: the error of a further look, as a share of `alpha`: at that level more seeds will be judged.
    """
    control, *others = tests
    paired = {arm: SignedRank(_minus(tests[arm], tests[control])) for arm in others}
    steps = holm([paired[arm].p for arm in others], alpha=alpha)
    judgements = {}
    for arm, step in zip(others, steps, strict=True):
        test = paired[arm]
        shown = test.interval(step.alpha)
        difference = Difference(
            each=test.differences,
            mean=test.mean,
            estimate=test.estimate,
            low=shown.low,
            high=shown.high,
            p=test.p,
            adjusted_p=step.adjusted_p,
            level=1 - step.alpha,
            zeros=test.zeros,
        )
        levels = Levels(step.alpha, alpha / len(others), region)
        verdict = _verdict(test, levels=levels, rejected=step.rejected, metric=metric)
        open_question = verdict == UNDECIDED or (verdict == MINOR and not shown.lies_within(region))
        more = None
        if open_question and seed is not None:
            levels = Levels(step.alpha * later, alpha * later / len(others), region)
            more = _more(test, levels=levels, seed=seed, is_proved=verdict == MINOR)
        judgements[arm] = Judgement(difference, verdict, more)
    return judgements


def learned(tests: Mapping[str, Sequence[float]], *, metric: Metric, baseline: float) -> dict[str, int]:
    """Return with how many seeds each arm learned.

    It learned if it gains more over the baseline than a fifth of what the best arm gains on average,
    and more than the region of practical equivalence.
    """
    gains = {arm: [metric.gain(value, over=baseline) for value in values] for arm, values in tests.items()}
    best = max(sum(each) / len(each) for each in gains.values())
    needed = max(SHARE_TO_LEARN * best, metric.region(baseline))
    return {arm: sum(gain > needed for gain in each) for arm, each in gains.items()}


def _minus(values: Sequence[float], control: Sequence[float]) -> tuple[float, ...]:
    return tuple(value - against for value, against in zip(values, control, strict=True))


def best_group(tests: Mapping[str, Sequence[float]], *, metric: Metric, alpha: float) -> tuple[str, ...]:
    """Return the arms that cannot be distinguished from the best, the best mean first.

    An arm is left out if another one is better by the one-sided signed-rank test, at the level `alpha` divided by the
    number of other arms. So the arm that is truly the best is in the group with a probability of at least 1 − `alpha`.

    Source:
        Gupta 1965, Technometrics 7, 225-245, with exact signed-rank tests.

    Example:
        >>> from actlab.train.kinds import ACCURACY
        >>> best_group({"a": [1, 2, 3, 4, 5, 6], "b": [3, 5, 7, 9, 11, 13]}, metric=ACCURACY, alpha=0.05)
        ('b',)
    """
    level = alpha / max(1, len(tests) - 1)
    inside = [
        arm
        for arm, own in tests.items()
        if not any(_is_above(other, own, metric=metric, level=level) for name, other in tests.items() if name != arm)
    ]
    return tuple(sorted(inside, key=lambda arm: -metric.gain(sum(tests[arm]), over=0.0)))


def _is_above(one: Sequence[float], other: Sequence[float], *, metric: Metric, level: float) -> bool:
    """Return whether the first values are better than the second by the one-sided test."""
    test = SignedRank(_minus(one, other))
    return metric.gain(test.estimate, over=0.0) > 0 and test.p / 2 <= level


def _verdict(test: SignedRank, *, levels: Levels, rejected: bool, metric: Metric) -> str:
    if not rejected:
        return EQUIVALENT if test.interval(levels.equivalence).lies_within(levels.region) else UNDECIDED
    shown = test.interval(levels.difference)
    if shown.low <= levels.region and shown.high >= -levels.region:
        return MINOR
    # The interval decides the side, not the mean: the interval is what was tested.
    return BETTER if (shown.low > 0) == metric.larger_is_better else WORSE


def _more(test: SignedRank, *, levels: Levels, seed: int, is_proved: bool) -> int | None:
    more = more_seeds(test.differences, levels=levels, seed=seed, is_proved=is_proved)
    # With too few pairs ranks decide nothing, whatever the resampled differences are.
    floor = seeds_needed(1, alpha=min(levels.difference, 1.0)) - len(test.differences)
    return None if more is None else max(more, floor)
