"""Holm's procedure against its definition, and the family's error in simulation."""

from __future__ import annotations

import numpy as np
import pytest

from actlab.study.holm import holm
from actlab.study.verdict import BETTER, WORSE, judge
from actlab.train.kinds import ACCURACY


def test_holm_rejects_the_example_of_its_definition() -> None:
    # Sorted: 0.005 <= 0.05/4, 0.011 <= 0.05/3, 0.02 <= 0.05/2, 0.06 > 0.05.
    steps = holm([0.02, 0.06, 0.005, 0.011], alpha=0.05)
    assert [step.rejected for step in steps] == [True, False, True, True]
    assert [step.alpha for step in steps] == [0.05 / 2, 0.05, 0.05 / 4, 0.05 / 3]
    assert [step.adjusted_p for step in steps] == pytest.approx([0.04, 0.06, 0.02, 0.033])


def test_holm_stops_at_the_first_failure() -> None:
    steps = holm([0.001, 0.03, 0.04], alpha=0.05)
    assert [step.rejected for step in steps] == [True, False, False]
    assert [step.alpha for step in steps] == [0.05 / 3, 0.05 / 2, 0.05 / 2]  # not 0.05: the third is never reached


@pytest.mark.parametrize("seed", range(20))
def test_a_p_value_is_within_its_level_exactly_when_rejected(seed: int) -> None:
    p_values = (np.random.default_rng(seed).uniform(0, 1, 8) ** 3).tolist()
    for p, step in zip(p_values, holm(p_values, alpha=0.05), strict=True):
        assert (p <= step.alpha) == step.rejected == (step.adjusted_p <= 0.05)


def family_wise_error(*, repeats: int, seeds: int, arms: int) -> float:
    """How often any of several arms that do not differ from the control is called better or worse."""
    chance = np.random.default_rng(1)
    wrong = 0
    for _ in range(repeats):
        tests = np.round(90 + chance.normal(0, 1, (arms, seeds)) * 4) / 4  # rounded: ties, as with accuracy
        judged = judge(
            {str(arm): list(row) for arm, row in enumerate(tests)}, metric=ACCURACY, region=0.5, alpha=0.05, seed=None
        )
        wrong += any(one.verdict in (BETTER, WORSE) for one in judged.values())
    return wrong / repeats


def test_family_wise_error_is_kept_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actlab.study.verdict.more_seeds", lambda *args, **kwargs: None)
    assert family_wise_error(repeats=150, seeds=8, arms=3) <= 0.09


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "arms"), [(8, 3), (9, 9), (12, 5)])
def test_family_wise_error_is_kept(monkeypatch: pytest.MonkeyPatch, seeds: int, arms: int) -> None:
    monkeypatch.setattr("actlab.study.verdict.more_seeds", lambda *args, **kwargs: None)
    assert family_wise_error(repeats=1500, seeds=seeds, arms=arms) <= 0.061  # 0.05 and two standard errors
