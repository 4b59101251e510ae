"""What counts as proof that a change helps."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from actlab.remedy.evidence import BETTER, EQUIVALENT, judge, level_of, pairs_needed


def exact_p(differences):
    """The one-sided p-value of the signed-rank test, by all signs of ranks without ties."""
    ranks = np.argsort(np.argsort(np.abs(differences))) + 1
    seen = ranks[np.array(differences) > 0].sum()
    sums = [
        sum(rank for rank, sign in zip(ranks, signs, strict=True) if sign)
        for signs in product((0, 1), repeat=len(ranks))
    ]
    return sum(each >= seen for each in sums) / len(sums)


@pytest.mark.parametrize("differences", [(1.0, 2.0, 3.0, 4.0, 5.5), (1.0, -0.5, 3.0, 4.0, 5.5, 2.0)])
def test_p_is_that_of_all_signs(differences):
    (found,) = judge([differences], level=0.0325, region=0.1)
    assert found.difference.p == pytest.approx(exact_p(differences))
    assert (found.verdict == BETTER) == (exact_p(differences) <= 0.0325)


def test_holm_over_what_was_confirmed():
    strong, weak = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0), (1.0, 2.0, 3.0, 4.0, 5.0, -6.0)
    first, second = judge([strong, weak], level=0.0325, region=0.1)
    assert first.verdict == BETTER
    assert first.difference.p == pytest.approx(2 * exact_p(strong))
    assert second.verdict not in (BETTER, EQUIVALENT)
    assert second.difference.p == pytest.approx(exact_p(weak))


def test_a_difference_smaller_than_matters_is_equivalent():
    (found,) = judge([(0.1, -0.2, 0.3, -0.1, 0.2)], level=0.0325, region=0.5)
    assert found.verdict == EQUIVALENT
    (found,) = judge([(0.1, -0.6, 0.3, -0.1, 0.2)], level=0.0325, region=0.5)
    assert found.verdict != EQUIVALENT


def test_identical_trainings_are_called_better_in_at_most_five_percent():
    draw = np.random.default_rng(0)
    level, pairs = level_of(0), pairs_needed(level_of(0), 2)
    better = 0
    for _ in range(1000):
        judged = judge(draw.normal(size=(2, pairs)).tolist(), level=level, region=0.01)
        better += any(each.verdict == BETTER for each in judged)
    assert better <= 50
