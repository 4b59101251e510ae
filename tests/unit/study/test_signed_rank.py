"""The exact signed-rank test against independent oracles, and its interval against its own p-value."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy.stats import rankdata, wilcoxon

from actlab.errors import BadInput
from actlab.study.signed_rank import Interval, SignedRank, one_sided_p


def by_brute_force(differences: list[int]) -> tuple[float, float]:
    """One-sided p-values from all 2ⁿ sign flips of the midranks, zeros ranked but never counted."""
    ranks = rankdata(np.abs(differences))
    observed = sum(rank for rank, value in zip(ranks, differences, strict=True) if value > 0)
    flipped = [rank for rank, value in zip(ranks, differences, strict=True) if value != 0]
    sums = [
        sum(rank for rank, up in zip(flipped, ups, strict=True) if up) for ups in product((0, 1), repeat=len(flipped))
    ]
    return float(np.mean([total >= observed for total in sums])), float(np.mean([total <= observed for total in sums]))


@pytest.mark.parametrize("pairs", [4, 7, 12, 21, 30])
def test_p_is_scipys_exact_one_where_nothing_ties(pairs: int) -> None:
    chance = np.random.default_rng(pairs)
    for shift in (0.0, 0.4, -0.8):
        differences = chance.normal(shift, 1, pairs)
        assert SignedRank(tuple(differences)).p == pytest.approx(
            wilcoxon(differences, method="exact").pvalue, rel=1e-12
        )


@pytest.mark.parametrize("seed", range(40))
def test_one_sided_p_with_ties_and_zeros_counts_all_sign_flips(seed: int) -> None:
    differences = np.random.default_rng(seed).integers(-3, 5, size=9).tolist()
    assert one_sided_p(differences) == pytest.approx(by_brute_force(differences), abs=1e-12)


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 8, 0.2])
def test_interval_excludes_zero_exactly_when_the_test_rejects(seed: int, alpha: float) -> None:
    chance = np.random.default_rng(seed)
    differences = tuple(chance.integers(-4, 9, size=chance.integers(5, 13)) / 3)  # many ties, some zeros
    test = SignedRank(differences)
    assert (0.0 in test.interval(alpha)) == (test.p > alpha), (differences, test.p, test.interval(alpha))


def test_p_is_never_below_that_of_the_plain_test() -> None:
    for seed in range(60):
        differences = np.random.default_rng(seed).integers(-2, 5, size=8).tolist()
        plain = min(1.0, 2 * min(one_sided_p(differences)))
        assert SignedRank(tuple(map(float, differences))).p >= plain - 1e-12, differences


def test_interval_is_exactly_the_values_that_the_test_does_not_reject() -> None:
    differences = tuple(np.random.default_rng(3).normal(1, 1, 10))
    test = SignedRank(differences)
    interval = test.interval(0.05)
    for centre in np.linspace(-2, 4, 301):
        moved = np.array(differences) - centre
        assert (centre in interval) == (wilcoxon(moved, method="exact").pvalue > 0.05), centre


def test_interval_is_made_of_walsh_averages() -> None:
    # n = 8, 5 %: the fourth smallest and fourth largest of the 36 Walsh averages (Hollander and Wolfe, table A.4).
    differences = tuple(np.random.default_rng(5).normal(0, 1, 8))
    averages = sorted((a + b) / 2 for i, a in enumerate(differences) for b in differences[i:])
    assert SignedRank(differences).interval(0.05) == Interval(averages[3], averages[-4])


def test_interval_is_infinite_where_too_few_pairs_can_reject_anything() -> None:
    assert SignedRank((1.0, 2.0, 3.0, 4.0, 5.0)).interval(0.05) == Interval(-math.inf, math.inf)


def test_pairs_that_all_differ_by_the_same_leave_one_value() -> None:
    test = SignedRank((5.0,) * 9)
    assert (test.p, test.interval(0.05)) == (2 / 2**9, Interval(5.0, 5.0))


def test_pairs_that_never_differ_show_no_difference() -> None:
    test = SignedRank((0.0,) * 9)
    assert (test.p, test.zeros, test.interval(0.05)) == (1.0, 9, Interval(0.0, 0.0))


def test_rounding_errors_do_not_break_ties() -> None:
    step = 100 / 360
    exact = (3 * step, -3 * step, 7 * step, 7 * step, 9 * step, 12 * step)
    noisy = (93 * step - 90 * step, 87 * step - 90 * step, *exact[2:])
    assert abs(noisy[0]) != abs(noisy[1])
    assert SignedRank(noisy).p == SignedRank(exact).p


def test_estimate_is_the_median_of_walsh_averages() -> None:
    assert SignedRank((1.0, 2.0, 9.0)).estimate == 3.5  # of 1, 1.5, 2, 5, 5.5, 9


@pytest.mark.parametrize("differences", [(), (1.0, math.nan), (math.inf,)])
def test_missing_or_infinite_differences_are_refused(differences: tuple[float, ...]) -> None:
    with pytest.raises(BadInput, match="requires finite differences"):
        SignedRank(differences)


def coverage(*, repeats: int, pairs: int, step: float) -> float:
    """How often the 95 % interval holds the true difference, for skew-free noise rounded to a grid."""
    chance = np.random.default_rng(0)
    held = 0
    for _ in range(repeats):
        noise = chance.laplace(0, 1, pairs)
        differences = np.round((noise + 2 * step) / step) * step if step else noise
        held += (2 * step) in SignedRank(tuple(differences)).interval(0.05)
    return held / repeats


@pytest.mark.parametrize("step", [0.0, 0.5])
def test_interval_covers_the_difference_quick(step: float) -> None:
    assert coverage(repeats=300, pairs=9, step=step) >= 0.925  # 0.95 less two standard errors of 300 repeats


@pytest.mark.slow
@pytest.mark.parametrize("pairs", [7, 9, 15])
@pytest.mark.parametrize("step", [0.0, 0.25, 1.0])
def test_interval_covers_the_difference(pairs: int, step: float) -> None:
    assert coverage(repeats=3000, pairs=pairs, step=step) >= 0.942
