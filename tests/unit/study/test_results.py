"""Trials read into results: choices, steps to a target, good learning rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from actlab.report.page import page
from actlab.report.terminal import comparison_lines
from actlab.study.arm import Arm
from actlab.study.choice import at_ends, chosen, extension
from actlab.study.comparison import Comparison
from actlab.study.measuring import Measuring
from actlab.study.outcome import Outcome
from actlab.study.plan import Look, Plan, Trial
from actlab.study.results import read
from actlab.study.runner import Setting
from actlab.train.kinds import ACCURACY, CONSTANT, ERROR, UNTRAINED
from actlab.train.loop import Epoch
from actlab.train.task import Task

RATES = (0.001, 0.01, 0.03)
SEEDS = tuple(range(6))
POINTS = (0, 1, 2)


@pytest.fixture(scope="module")
def task() -> Task:
    rows = np.random.default_rng(0).normal(size=(100, 2)), np.arange(100) % 2
    return Task("t", lambda: nn.Linear(2, 2), train=rows, epochs=4, batch_size=15, rates=(1e-3, 1e-1))


def plan_of(*arms: str) -> Plan:
    return Plan("t", "f", arms, RATES, SEEDS, (Look(6, 0.05),), 0.5, False, "fixed", "as-is", 0)


def outcomes(values: Mapping[str, Sequence[Sequence[float]]]) -> dict[Trial, Outcome]:
    """Return trials with these validation metrics: arm by arm, a row for every seed; the test metric is one less."""
    done = {}
    for arm, rows in values.items():
        for seed, row in zip(SEEDS, rows, strict=True):
            for point, value in enumerate(row):
                trial = Trial(arm, point, seed)
                rate = 0.001 * 3**point
                done[trial] = Outcome(trial, rate, value, value - 1, False, False, 1, 16, (Epoch(1.0, value),), 0.1)
    return done


def test_every_seed_chooses_its_own_rate_and_of_equals_the_middle_one() -> None:
    rows = [(90.0, 80.0, 70.0), (70.0, 80.0, 90.0), (80.0, 80.0, 80.0), (80.0, 80.0, 1.0), (1, 2, 1), (3, 2, 3)]
    done = outcomes({"relu": rows, "tanh": rows[::-1]})
    plan = plan_of("relu", "tanh")
    assert chosen(plan, done, points=POINTS, look=0, metric=ACCURACY)["relu"] == (0, 2, 1, 0, 1, 0)
    assert chosen(plan, done, points=POINTS, look=0, metric=ERROR)["relu"] == (2, 0, 1, 2, 0, 1)


def extended(
    rows: Sequence[Sequence[float]], *, points: Sequence[int] = POINTS, region: float = 1.0
) -> tuple[int, ...]:
    still = [(80.0, 90.0, 80.0, *[0.0] * 20)] * 6
    done = outcomes({"relu": [row[: len(points)] for row in rows], "tanh": [row[: len(points)] for row in still]})
    return extension(plan_of("relu", "tanh"), done, points=points, metric=ACCURACY, region=region)


def test_the_range_is_extended_where_half_of_an_arms_seeds_choose_an_end() -> None:
    inside, high, low = (80.0, 90.0, 80.0), (80.0, 80.2, 80.4), (80.4, 80.2, 80.0)
    assert extended([inside] * 4 + [high] * 2) == ()
    assert extended([inside] * 3 + [high] * 3) == (3, 4)
    assert extended([low] * 6) == (-2, -1)
    assert extended([low] * 3 + [high] * 3) == (-2, -1, 3, 4)
    assert extended([(80.0,)] * 6, points=(0,)) == ()
    assert extended([(*[0.0] * 8, 1.0)] * 6, points=range(9)) == ()  # extended three times already


def test_the_range_is_extended_where_an_arm_is_clearly_best_at_an_end_on_average() -> None:
    rows = [(60.0, 70.0, 69.0)] * 4 + [(60.0, 60.0, 90.0)] * 2
    assert extended(rows) == (3, 4)
    assert extended(rows, region=20.0) == ()


def test_the_arms_at_an_end_of_the_range_are_named() -> None:
    choices = {"relu": (1, 1, 1, 1, 2, 2), "tanh": (2, 2, 2, 1, 1, 1)}
    assert at_ends(choices, points=POINTS) == {"tanh": 3}


def with_curves(task: Task, *, wanted: float | None = None) -> Comparison:
    """Return the result of a control that reaches 100, and of an arm that reaches 80."""
    plan = replace(plan_of("relu", "tanh"), measuring=Measuring(target=wanted))
    done = outcomes({"relu": [(95.0, 100.0, 60.0)] * 6, "tanh": [(96.0, 94.0, 95.0)] * 6})
    curves = {"relu": (60.0, 94.0, 95.0, 100.0), "tanh": (50.0, 60.0, 70.0, 80.0)}
    choices = {"relu": (1,) * 6, "tanh": (1,) * 6}
    for arm, curve in curves.items():
        for seed in SEEDS:
            trial = Trial(arm, 1, seed)
            epochs = tuple(Epoch(1.0, value) for value in curve)
            done[trial] = replace(done[trial], valid=curve[-1], test=curve[-1] - 1, curve=epochs)
    setting = Setting(task, {arm: Arm(arm, None) for arm in plan.arms}, None, plan)
    return read(plan, done, choices=choices, points=POINTS, look=0, setting=setting)


def test_the_target_is_what_the_control_reaches_less_what_does_not_matter(task: Task) -> None:
    found = with_curves(task)
    assert (found.region, found.target) == (15.0, 85.0)
    assert found.target_sentence == "what relu reaches, less what does not matter"
    relu, tanh = found.arms
    assert (relu.steps_to_target, relu.missed_target) == (8.0, 0)
    assert (tanh.steps_to_target, tanh.missed_target) == (None, 6)


def test_the_seeds_that_diverged_at_their_own_rate_are_named(task: Task) -> None:
    plan = plan_of("relu", "tanh")
    done = outcomes({"relu": [(100.0, 100.0, 100.0)] * 6, "tanh": [(100.0, 100.0, 100.0)] * 6})
    for trial in (Trial("tanh", 1, SEEDS[2]), Trial("tanh", 0, SEEDS[3])):
        done[trial] = replace(done[trial], diverged=True)
    setting = Setting(task, {arm: Arm(arm, None) for arm in plan.arms}, None, plan)
    choices = {"relu": (1,) * 6, "tanh": (1,) * 6}
    relu, tanh = read(plan, done, choices=choices, points=POINTS, look=0, setting=setting).arms
    assert (relu.diverged_seeds, tanh.diverged_seeds) == ((), (SEEDS[2],))


def test_the_plan_can_fix_the_target(task: Task) -> None:
    found = with_curves(task, wanted=60.0)
    assert (found.target, found.target_sentence) == (60.0, "as the plan fixes it")
    assert [arm.steps_to_target for arm in found.arms] == [4.0, 8.0]


def test_a_control_that_does_not_learn_sets_no_target(task: Task) -> None:
    plan = plan_of("relu", "tanh")
    done = outcomes({"relu": [(50.0, 50.0, 50.0)] * 6, "tanh": [(100.0, 100.0, 100.0)] * 6})
    setting = Setting(task, {arm: Arm(arm, None) for arm in plan.arms}, None, plan)
    choices = {"relu": (1,) * 6, "tanh": (1,) * 6}
    found = read(plan, done, choices=choices, points=POINTS, look=0, setting=setting)
    assert (task.baseline(task.valid), found.target) == (50.0, 95.0)
    assert found.target_sentence.startswith("nine tenths of the way")
    assert [arm.steps_to_target for arm in found.arms] == [None, 16.0]


def test_the_range_of_good_rates_comes_near_the_best(task: Task) -> None:
    relu, tanh = with_curves(task).arms
    assert (relu.good_range, tanh.good_range) == ((0.001, 0.01), (0.001, 0.03))
    assert relu.good_rates == pytest.approx(1)
    assert (relu.valid, relu.test, tanh.test) == (100.0, 99.0, 79.0)


def test_no_test_metric_counts_but_those_of_the_chosen_rates(task: Task) -> None:
    plan = plan_of("relu", "tanh")
    done = outcomes({"relu": [(95.0, 96.0, 60.0)] * 6, "tanh": [(96.0, 94.0, 95.0)] * 6})
    choices = chosen(plan, done, points=POINTS, look=0, metric=ACCURACY)
    setting = Setting(task, {arm: Arm(arm, None) for arm in plan.arms}, None, plan)

    def result() -> object:
        return read(plan, done, choices=choices, points=POINTS, look=0, setting=setting).arms

    before = result()
    for trial in list(done):
        if choices[trial.arm][trial.seed] != trial.point:
            done[trial] = replace(done[trial], test=float("nan"))
    assert result() == before


def test_results_name_what_has_learned_nothing() -> None:
    def distance(outputs: Tensor, targets: Tensor) -> float:
        return float((outputs - targets).norm(dim=1).mean())

    rows = (torch.eye(2).repeat(20, 1), torch.eye(2).repeat(20, 1))
    own = Task("t", lambda: nn.Sequential(nn.Linear(2, 2), nn.ReLU()), train=rows, metric=distance, epochs=1)
    assert own.baseline_name == UNTRAINED
    plan = plan_of("relu", "tanh")
    setting = Setting(own, {arm: Arm(arm, None) for arm in plan.arms}, None, plan)
    done = outcomes({"relu": [(own.baseline(own.test),) * 3] * 6, "tanh": [(own.baseline(own.test),) * 3] * 6})
    found = read(plan, done, choices=dict.fromkeys(plan.arms, (0,) * 6), points=POINTS, look=0, setting=setting)
    assert found.baseline_name == UNTRAINED
    assert f"where {UNTRAINED} has" in found.verdict
    assert "its own units" not in found.verdict  # it does not follow a number
    assert found.target_sentence == f"nine tenths of the way from {UNTRAINED} to the best arm, as relu does not learn"
    assert f"An untrained model has {found.baseline:.1f}" in " ".join("\n".join(comparison_lines(found)).split())
    assert "best constant prediction" not in page(found, provenance={})
    assert "best constant prediction" in page(replace(found, baseline_name=CONSTANT), provenance={})
