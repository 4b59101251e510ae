"""What a number of seeds can decide, against the published table."""

from __future__ import annotations

import pytest

from actlab.study.power import seeds_needed, smallest_p
from actlab.study.signed_rank import SignedRank


@pytest.mark.parametrize(
    ("seeds", "p"),
    [(5, 0.0625), (6, 0.03125), (7, 0.015625), (8, 0.0078125), (9, 0.00390625), (10, 0.001953125), (11, 0.0009765625)],
)
def test_smallest_p_is_that_of_the_clearest_sample(seeds: int, p: float) -> None:
    assert smallest_p(seeds) == p == SignedRank(tuple(float(value) for value in range(1, seeds + 1))).p


@pytest.mark.parametrize(("arms", "all_pairs", "control"), [(3, 7, 7), (5, 9, 8), (10, 11, 9), (20, 13, 10)])
def test_seeds_needed_under_holm(arms: int, all_pairs: int, control: int) -> None:
    assert seeds_needed(arms * (arms - 1) // 2) == all_pairs
    assert seeds_needed(arms - 1) == control
