"""One conclusion over several tasks, on one scale for mixed metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from statistics import mean

import numpy as np
import pytest
from scipy.stats import wilcoxon

from actlab.study.comparison import Comparison
from actlab.study.over_tasks import LARGEST, Overall, cannot_decide, conclude, level_of
from actlab.study.plan import Look
from actlab.train.kinds import ACCURACY, ERROR, Metric
from unit.report.comparisons import made

SEEDS = 9


def table(effects: Mapping[str, float], *, number: int, metric: Metric = ACCURACY, base: float = 70.0) -> Comparison:
    """Return a comparison whose arms differ from the control by these effects, plus noise."""
    noise = np.random.default_rng(number)
    tests = {arm: tuple(base + effect + noise.normal(0.0, 0.1, SEEDS)) for arm, effect in effects.items()}
    return made(tests, metric=metric, task=f"t{number}", baseline=10.0 if metric is ACCURACY else 200.0)


def concluded(*found: Comparison) -> Overall:
    names = [each.task for each in found]
    return conclude(found, names=names, studies=range(1, 1 + len(found)), operations={"gelu": 9, "silu": 3})


def several(count: int, effects: Mapping[str, float]) -> list[Comparison]:
    return [table(effects, number=number) for number in range(count)]


def test_a_gain_counts_in_regions_and_is_positive_if_the_arm_is_better() -> None:
    more = made({"relu": (70.0,) * 6, "gelu": (71.0,) * 6}, metric=ACCURACY, task="accuracy")
    less = made({"relu": (50.0,) * 6, "gelu": (47.0,) * 6}, metric=ERROR, task="error", baseline=90.0)
    overall = concluded(more, less)
    assert [task.gains for task in overall.tasks] == [(0.0, 2.0), (0.0, 3.0)]  # regions of .5 points and of 1
    assert [task.region for task in overall.tasks] == [0.5, 1.0]
    assert overall.arms[1].gain == 2.5
    assert (overall.arms[1].wins, overall.arms[1].ties, overall.arms[1].losses) == (2, 0, 0)


def test_the_test_over_tasks_is_scipys_with_holms_correction() -> None:
    chance = np.random.default_rng(5)
    found = [
        table({"relu": 0.0, "gelu": chance.normal(1.0, 1.0), "tanh": chance.normal(-0.5, 1.0)}, number=number)
        for number in range(10)
    ]
    overall = concluded(*found)
    gains = np.array([task.gains for task in overall.tasks])
    raw = [float(wilcoxon(gains[:, place], method="exact").pvalue) for place in (1, 2)]
    differences = [arm.difference for arm in overall.arms[1:]]
    assert [each.p for each in differences if each] == pytest.approx(raw, abs=1e-12)
    low, high = sorted(raw)
    assert sorted(each.adjusted_p for each in differences if each) == pytest.approx([2 * low, max(2 * low, high)])


def test_the_matrix_holds_every_pair_both_ways() -> None:
    overall = concluded(*several(8, {"relu": 0.0, "gelu": 2.0, "tanh": -2.0, "silu": 0.1}))
    assert [arm.activation for arm in overall.ranked] == ["gelu", "silu", "relu", "tanh"]
    assert len(overall.pairs) == 6
    for arm, other in pairwise(["gelu", "silu", "relu", "tanh"]):
        pair, turned = overall.pair(arm, other), overall.pair(other, arm)
        assert (pair.gain, pair.wins, pair.losses, pair.p) == (-turned.gain, turned.losses, turned.wins, turned.p)
    assert overall.pair("gelu", "tanh").gain == pytest.approx(
        mean(task.gains[1] - task.gains[2] for task in overall.tasks)
    )
    assert (overall.pair("gelu", "tanh").wins, overall.pair("silu", "relu").ties) == (8, 8)
    assert overall.pair("gelu", "tanh").p == 2 / 2**8


def test_a_clear_gain_on_all_tasks_is_better_and_recommended() -> None:
    overall = concluded(*several(8, {"relu": 0.0, "gelu": 3.0, "tanh": -3.0}))
    assert [arm.verdict for arm in overall.arms] == ["control", "better", "worse"]
    assert (overall.recommended, overall.group, overall.can_decide) == ("gelu", ("gelu",), True)
    assert overall.verdict.startswith("Over 8 tasks, replace relu by gelu: +")


def test_of_equals_the_cheapest_is_recommended() -> None:
    chance = np.random.default_rng(1)
    found = [
        table({"relu": 0.0, "gelu": 3 + chance.normal(0, 0.3), "silu": 3 + chance.normal(0, 0.3)}, number=number)
        for number in range(8)
    ]
    overall = concluded(*found)
    assert set(overall.group) == {"gelu", "silu"}
    assert overall.recommended == "silu"


def test_equal_arms_are_equivalent_over_tasks() -> None:
    overall = concluded(*several(8, {"relu": 0.0, "gelu": 0.0}))
    assert overall.arms[1].verdict == "equivalent"
    assert overall.verdict == "No difference that matters over 8 tasks: keep relu, or take the cheapest."


def test_what_repeats_an_arm_is_neither_ahead_nor_recommended() -> None:
    few = concluded(*several(3, {"relu": 0.0, "relu#2": 3.0, "gelu": 1.0}))
    assert "gelu is ahead on average" in few.verdict
    assert "A/A: relu#2 is relu again, " in few.verdict
    alone = concluded(*several(8, {"relu": 0.0, "relu#2": 0.0}))
    assert alone.verdict.startswith("A/A: relu#2 is relu again, ")
    assert alone.verdict.endswith("by noise alone; no difference is claimed.")
    assert alone.recommended == "relu"


def test_too_few_tasks_cannot_decide_however_clear_they_are() -> None:
    overall = concluded(*several(5, {"relu": 0.0, "gelu": 30.0}))
    assert (overall.can_decide, overall.tasks_needed, overall.smallest_p) == (False, 6, 2 / 2**5)
    assert overall.arms[1].verdict == "undecided"
    assert overall.verdict.startswith(
        "5 tasks cannot decide: their smallest possible p is 0.062, and 0.04 is required;"
    )
    assert "at least 6 tasks are needed. gelu is ahead on average" in overall.verdict
    assert cannot_decide(6, comparisons=1, alpha=0.04) == ""


def test_tasks_that_disagree_are_named() -> None:
    up, down = ({"relu": 0.0, "tanh": effect} for effect in (3.0, -3.0))
    found = [table(up if number < 4 else down, number=number) for number in range(8)]
    assert "The tasks disagree about tanh: better on t0, t1, t2, t3; worse on t4" in concluded(*found).verdict


def test_a_control_that_scores_zero_has_no_infinite_gain() -> None:
    found = made({"relu": (0.0,) * 6, "gelu": (1.0,) * 6, "tanh": (0.0,) * 6}, metric=ERROR, baseline=2.0)
    overall = concluded(found, replace(found, task="other"))
    assert overall.tasks[0].gains == (0.0, -LARGEST, 0.0)
    assert "counts as 1000 regions" in overall.notes[0]


def test_readings_after_seeds_were_added_spend_what_the_first_left() -> None:
    plan = made().plan
    plan = replace(plan, looks=(Look(len(plan.seeds), 0.04),))
    longer = plan.with_seeds(12)
    assert [level_of(each) for each in (plan, longer, longer.with_seeds(20))] == [0.04, 0.005, 0.0025]
