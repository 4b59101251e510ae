"""What a number of seeds can detect, against SciPy's test on the same samples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, wilcoxon

from actlab.study.detectable import (
    POWER,
    detectable,
    detection_rate,
    equivalence_rate,
    seeds_for_equivalence,
    seeds_to_detect,
)
from actlab.study.power import seeds_needed
from actlab.study.signed_rank import SignedRank

SAMPLES = 250


@pytest.mark.parametrize(("effect", "seeds", "level"), [(1.0, 9, 0.04), (0.6, 16, 0.01), (2.5, 6, 0.04)])
def test_the_rate_is_that_of_scipys_exact_test(effect: float, seeds: int, level: float) -> None:
    drawn = np.random.default_rng(1).standard_normal((SAMPLES, seeds)) + effect
    hits = sum(wilcoxon(sample, method="exact").pvalue <= level for sample in drawn)
    low, high = binomtest(int(hits), SAMPLES).proportion_ci(0.999)
    assert low <= detection_rate(effect, seeds=seeds, level=level) <= high


def test_equivalence_is_judged_as_the_verdict_does() -> None:
    drawn = np.random.default_rng(2).standard_normal((100, 12))
    hits = sum(SignedRank(tuple(sample)).interval(0.04).lies_within(1.1) for sample in drawn)
    low, high = binomtest(int(hits), 100).proportion_ci(0.999)
    assert low <= equivalence_rate(1.1, seeds=12, level=0.04) <= high


@pytest.mark.parametrize("seeds", [6, 9, 30])
def test_without_a_difference_it_rejects_no_more_often_than_the_level(seeds: int) -> None:
    assert detection_rate(0.0, seeds=seeds, level=0.04) <= 0.05


def test_too_few_seeds_detect_nothing() -> None:
    assert detectable(4, level=0.04) is None
    assert seeds_needed(1, alpha=0.04) == 6
    assert detectable(6, level=0.04) == pytest.approx(1.8, abs=0.1)


@pytest.mark.parametrize("level", [0.04, 0.005])
def test_the_number_of_seeds_and_the_detectable_difference_agree(level: float) -> None:
    seeds = seeds_to_detect(1.0, level=level)
    assert seeds is not None
    assert detection_rate(1.0, seeds=seeds, level=level) >= POWER
    before, enough = detectable(seeds - 1, level=level), detectable(seeds, level=level)
    assert before is None or before > 1.0
    assert enough is not None
    assert enough <= 1.0


def test_noise_that_is_large_asks_for_more_seeds_than_the_cap() -> None:
    assert seeds_to_detect(0.1, level=0.04) is None
    assert seeds_for_equivalence(0.1, level=0.04) is None
    wide, narrow = seeds_for_equivalence(2.0, level=0.04), seeds_for_equivalence(0.6, level=0.04)
    assert wide is not None
    assert narrow is not None
    assert wide < narrow


def test_a_difference_in_the_other_direction_is_detected_as_often() -> None:
    up, down = (detection_rate(effect, seeds=9, level=0.04) for effect in (1.0, -1.0))
    assert up == pytest.approx(down, abs=0.03)
