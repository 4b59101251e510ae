"""How many seeds to go on to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actlab.study.next_seeds import seeds_to_settle
from actlab.study.plan import Look
from unit.report.comparisons import TESTS, made


def test_it_is_the_number_that_the_sentence_names() -> None:
    comparison = made({name: TESTS[name] for name in ("sigmoid", "tanh")})
    comparison = with_alpha(comparison, 0.04)
    seeds = seeds_to_settle(comparison)
    assert comparison.arms[1].verdict == "undecided"
    assert f"About {seeds} seeds should settle it" in comparison.verdict


def with_alpha(comparison, alpha):
    return replace(comparison, plan=replace(comparison.plan, looks=(Look(8, alpha),)))


@pytest.mark.parametrize("names", [("sigmoid", "relu"), ("sigmoid", "softplus")])
def test_nothing_is_asked_for_if_all_is_decided(names: tuple[str, ...]) -> None:
    assert seeds_to_settle(with_alpha(made({name: TESTS[name] for name in names}), 0.04)) is None


def test_nothing_is_asked_for_if_it_cannot_be_settled() -> None:
    comparison = with_alpha(made({name: TESTS[name] for name in ("sigmoid", "tanh")}), 0.04)
    open_arm = comparison.arms[1]
    for more in (None, 193):
        arms = (comparison.arms[0], replace(open_arm, more_seeds=more))
        assert seeds_to_settle(replace(comparison, arms=arms)) is None
    assert seeds_to_settle(replace(comparison, arms=(comparison.arms[0], replace(open_arm, more_seeds=192)))) == 200
    assert seeds_to_settle(with_alpha(comparison, 0.05)) is None  # no error is left for another look


def test_nothing_is_asked_for_if_nothing_learns() -> None:
    comparison = with_alpha(made({name: TESTS[name] for name in ("sigmoid", "tanh")}), 0.04)
    arms = tuple(replace(arm, learned=3) for arm in comparison.arms)
    assert seeds_to_settle(replace(comparison, arms=arms)) is None
    assert seeds_to_settle(replace(comparison, arms=(arms[0], replace(arms[1], learned=4)))) is not None
