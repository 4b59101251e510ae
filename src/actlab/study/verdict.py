"""Judge every arm: better, worse, equivalent, or undecided with the number of additional seeds."""

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
EQUIVALENT = "equivalent"
UNDECIDED = "undecided"
CONTROL = "control"

SHARE_TO_LEARN = 0.2
"""A network has learned if it gains more than this share of the best arm's gain over a constant prediction."""


@dataclass(frozen=True)
class Judgement:
    """The verdict on one arm against the control."""

    difference: Difference
    verdict: str
    more_seeds: int | None


def judge(tests: Mapping[str, Sequence[float]], *, metric: Metric, alpha: float, seed: int) -> dict[str, Judgement]:
    """Judge every arm but the first, which is the control.

    A difference is claimed if Holm's procedure over all arms rejects; an equivalence if the interval at the Bonferroni
    level lies within the region of practical equivalence, even if the small difference is significant.

    Args:
        tests: the test metrics of every arm, paired by seed; the control first.
        metric: the metric.
        alpha: the error spent on this look.
        seed: the random seed of the resampling that estimates how many more seeds are needed.
    """
    control, *others = tests
    paired = {arm: SignedRank(_minus(tests[arm], tests[control])) for arm in others}
    region = metric.region(sum(tests[control]) / len(tests[control]))
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
        more = _more(test, levels=levels, seed=seed) if verdict == UNDECIDED else None
        judgements[arm] = Judgement(difference, verdict, more)
    return judgements


def learned(tests: Mapping[str, Sequence[float]], *, metric: Metric, baseline: float) -> dict[str, int]:
    """Return with how many seeds each arm learned.

    It learned if it gains more over the best constant prediction than a fifth of what the best arm gains on average,
    and more than the region of practical equivalence.
    """
    gains = {arm: [metric.gain(value, over=baseline) for value in values] for arm, values in tests.items()}
    best = max(sum(each) / len(each) for each in gains.values())
    needed = max(SHARE_TO_LEARN * best, metric.region(baseline))
    return {arm: sum(gain > needed for gain in each) for arm, each in gains.items()}


def _minus(values: Sequence[float], control: Sequence[float]) -> tuple[float, ...]:
    return tuple(value - against for value, against in zip(values, control, strict=True))


def _verdict(test: SignedRank, *, levels: Levels, rejected: bool, metric: Metric) -> str:
    if test.interval(levels.equivalence).lies_within(levels.region):
        return EQUIVALENT
    if not rejected:
        return UNDECIDED
    # The interval decides the side, not the mean: the interval is what was tested.
    is_larger = test.interval(levels.difference).low > 0
    return BETTER if is_larger == metric.larger_is_better else WORSE


def _more(test: SignedRank, *, levels: Levels, seed: int) -> int | None:
    more = more_seeds(test.differences, levels=levels, seed=seed)
    # With too few pairs ranks decide nothing, whatever the resampled differences are.
    floor = seeds_needed(1, alpha=min(levels.difference, 1.0)) - len(test.differences)
    return None if more is None else max(more, floor)
