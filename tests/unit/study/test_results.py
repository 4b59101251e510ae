"""Trials read into results: winners, steps to a target, good learning rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from torch import nn

from actlab.study.outcome import Outcome
from actlab.study.plan import CONFIRM, TUNE, Look, Plan, Trial
from actlab.study.results import read, winners
from actlab.train.kinds import ACCURACY, ERROR
from actlab.train.loop import Epoch
from actlab.train.task import Task

RATES = (0.03, 0.001, 0.01)
SEEDS = tuple(range(6))


@pytest.fixture(scope="module")
def task() -> Task:
    rows = np.random.default_rng(0).normal(size=(100, 2)), np.arange(100) % 2
    return Task("t", lambda: nn.Linear(2, 2), train=rows, epochs=4, batch_size=15, rates=(1e-3, 1e-1))


def plan_of(*arms: str) -> Plan:
    return Plan("t", "f", arms, RATES, (99,), SEEDS, (Look(6, 0.05),), 0.5, False, "as-is", 0)


def tuning(values: Mapping[str, Sequence[float]]) -> dict[Trial, Outcome]:
    done = {}
    for arm, each in values.items():
        for point, value in enumerate(each):
            trial = Trial(arm, point, 99, TUNE)
            done[trial] = Outcome(trial, RATES[point], value, None, False, 16, (Epoch(1.0, value),), 0.1)
    return done


def test_the_winner_is_the_best_and_of_equals_the_lowest_rate() -> None:
    done = tuning({"relu": (90.0, 90.0, 80.0), "tanh": (1.0, 2.0, 3.0)})
    assert winners(plan_of("relu", "tanh"), done, metric=ACCURACY) == {"relu": 1, "tanh": 2}
    assert winners(plan_of("relu", "tanh"), done, metric=ERROR) == {"relu": 2, "tanh": 0}


def test_targets_lie_nine_tenths_of_the_way_from_the_baseline_to_the_best(task: Task) -> None:
    plan = plan_of("relu", "tanh")
    done = tuning({"relu": (95.0, 100.0, 60.0), "tanh": (96.0, 94.0, 95.0)})
    curves = {"relu": (60.0, 94.0, 95.0, 100.0), "tanh": (50.0, 60.0, 70.0, 80.0)}
    for arm, curve in curves.items():
        for seed in SEEDS:
            trial = Trial(arm, 1, seed, CONFIRM)
            epochs = tuple(Epoch(1.0, value) for value in curve)
            done[trial] = Outcome(trial, RATES[1], curve[-1], curve[-1] - 1, False, 16, epochs, 0.1)
    found = read(plan, done, chosen={"relu": 1, "tanh": 1}, look=0, task=task)
    assert (task.baseline(task.valid), found.target) == (50.0, 95.0)
    relu, tanh = found.arms
    assert (relu.steps_to_target, tanh.steps_to_target) == (12.0, None)
    assert (relu.good_rates, tanh.good_rates) == pytest.approx((2 / 3 * 2, 2 / 3 * 2))
    assert (relu.valid, relu.test, tanh.test) == (100.0, 99.0, 79.0)
