"""Step times: relative to the control, with an interval that says how far they can be relied on."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from actlab.study.arm import Arm
from actlab.study.compare import prepare
from actlab.study.comparison import Cost
from actlab.study.cost import cost_of, measured_cost
from unit.study.small_task import ring

CONTROL = [1.0, 1.1, 0.9, 1.0, 5.0, 1.0, 1.0, 1.2, 0.8]


def test_the_interval_is_that_of_the_ratios_of_each_round() -> None:
    cost = cost_of({"relu": CONTROL, "silu": [2 * each for each in CONTROL]}, seconds=3.0)
    assert (cost.relative_step, cost.relative_low, cost.relative_high) == (
        {"relu": 1.0, "silu": 2.0},
        {"relu": 1.0, "silu": 2.0},
        {"relu": 1.0, "silu": 2.0},
    )
    assert cost.step_seconds == {"relu": 1.0, "silu": 2.0}


@pytest.mark.parametrize(
    ("low", "high", "is_steady"), [(1.0, 1.3, True), (1.09, 1.31, True), (1.07, 1.2, False), (1.2, 1.33, False)]
)
def test_an_interval_beyond_a_tenth_is_unsteady(low: float, high: float, is_steady: bool) -> None:
    cost = Cost(1.0, {"a": 1.0}, {"a": 1.2}, {"a": max(low, 1.085 if is_steady else low)}, {"a": high})
    assert cost.is_steady("a") is is_steady


def test_a_slow_activation_is_measured_as_slow() -> None:
    class Slow(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            time.sleep(0.003)
            return torch.tanh(x)

    study = prepare(ring(), candidates=[Arm("slow", Slow)], seeds=2, budget=1)
    cost = measured_cost(study.setting, {"relu": 0.01, "slow": 0.01}, since=time.perf_counter())
    assert cost.relative_step["slow"] >= cost.relative_low["slow"] > 1.5
    assert cost.relative_high["slow"] >= cost.relative_step["slow"]
    assert cost.relative_step["relu"] == cost.relative_low["relu"] == cost.relative_high["relu"] == 1
