"""Costs in detail: operations and bytes counted by hand, times of a slow pass, energy from a counter that is a file."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from actlab.measure.energy import Powercap, processor_counter
from actlab.study.arm import Arm
from actlab.study.compare import prepare
from actlab.study.detailed_cost import detailed_costs, energies, timing_of
from actlab.study.front import front
from actlab.train.task import Task

ROWS = torch.randn(100, 4), torch.randint(2, (100,))


class Mixed(nn.Module):
    """A network that applies relu once as a module and once as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(4, 16), nn.Linear(16, 8), nn.Linear(8, 2)
        self.act = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(F.relu(self.second(self.act(self.first(x)))))


class SlowBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: object, dy: torch.Tensor) -> torch.Tensor:
        time.sleep(0.002)
        return dy


class Slow(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return SlowBackward.apply(x)


class SlowForward(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(0.002)
        return x.relu()


@pytest.mark.parametrize(
    "model",
    [Mixed, lambda act: nn.Sequential(nn.Linear(4, 16), act(), nn.Linear(16, 8), act(), nn.Linear(8, 2))],
    ids=["found in the model", "built with the activation"],
)
def test_operations_and_parameters_are_those_of_a_row_counted_by_hand(model: object) -> None:
    task = Task("t", model, train=ROWS, batch_size=20)
    setting = prepare(task, candidates=["tanh"], seeds=2, budget=1).setting
    relu, tanh = detailed_costs(setting, task)
    products = 2 * (4 * 16 + 16 * 8 + 8 * 2)
    assert (relu.product_flops, tanh.product_flops) == (products, products)
    assert (relu.activation_operations, tanh.activation_operations) == (2 * (16 + 8), 12 * (16 + 8))
    assert relu.parameters == 4 * 16 + 16 + 16 * 8 + 8 + 8 * 2 + 2


def test_what_is_kept_for_backward_is_measured() -> None:
    class Squared(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * x * x  # keeps two products more than it returns

    task = Task("t", lambda act: nn.Sequential(nn.Linear(4, 16), act(), nn.Linear(16, 2)), train=ROWS, batch_size=20)
    setting = prepare(task, candidates=[Arm("cube", Squared)], seeds=2, budget=1).setting
    relu, cube = detailed_costs(setting, task)
    assert cube.saved_bytes - relu.saved_bytes == 2 * 20 * 16 * 4
    assert cube.activation_operations is None


def test_a_slow_backward_pass_is_slow_backward_alone() -> None:
    task = Task("t", lambda act: nn.Sequential(nn.Linear(4, 8), act(), nn.Linear(8, 2)), train=ROWS)
    setting = prepare(task, candidates=[Arm("slow", Slow)], seeds=2, budget=1).setting
    relu, slow = detailed_costs(setting, task)
    assert slow.backward.seconds > 0.002 > slow.forward.seconds
    assert slow.backward.relative >= slow.backward.low > 2
    assert relu.forward.relative == relu.backward.high == 1


def test_a_slow_forward_pass_is_slow_forward_alone() -> None:
    task = Task("t", lambda act: nn.Sequential(nn.Linear(4, 8), act(), nn.Linear(8, 2)), train=ROWS)
    setting = prepare(task, candidates=[Arm("slow", SlowForward)], seeds=2, budget=1).setting
    _, slow = detailed_costs(setting, task)
    assert slow.forward.seconds > 0.002 > slow.backward.seconds


def test_ratios_are_of_the_same_round() -> None:
    found = timing_of([2.0, 4.0, 6.0, 2.0, 2.0, 2.0, 2.0, 2.0, 9.0], [1.0, 2.0, 3.0, 1.0, 1.0, 1.0, 1.0, 1.0, 3.0])
    assert (found.seconds, found.relative, found.low, found.high) == (2.0, 2.0, 2.0, 2.0)


class Ticking:
    """A counter that rises by one joule at every reading."""

    source = "a test"

    def __init__(self) -> None:
        self.reads = 0

    def read(self) -> tuple[int, ...]:
        self.reads += 1
        return (self.reads,)

    def joules(self, before: tuple[int, ...], after: tuple[int, ...]) -> float:
        return float(after[0] - before[0])


def test_energy_is_measured_estimated_or_unavailable_and_never_invented(tmp_path: Path) -> None:
    task = Task("t", lambda act: nn.Sequential(nn.Linear(4, 8), act(), nn.Linear(8, 2)), train=ROWS)
    setting = prepare(task, candidates=["tanh"], seeds=2, budget=1).setting
    steps, rates = {"relu": 0.001, "tanh": 0.002}, {"relu": 0.01, "tanh": 0.01}
    absent = processor_counter(tmp_path / "absent")
    assert isinstance(absent, str)

    def found(**asked: object) -> list[tuple[str, float | None]]:
        every = energies(setting, task, rates=rates, step_seconds=steps, **asked)
        return [(each.step.kind, each.step.joules) for each in every]

    assert found(watts=None, counter=absent) == [("unavailable", None)] * 2
    assert found(watts=50.0, counter=absent) == [("estimated", 0.05), ("estimated", 0.1)]
    measured = found(watts=50.0, counter=Ticking())
    assert {kind for kind, _ in measured} == {"measured"}
    assert all(joules is not None and 0 < joules < 0.1 for _, joules in measured)
    assert not isinstance(absent, Powercap)


def test_the_front_holds_whom_nobody_beats_in_both() -> None:
    gains = {"a": 1.0, "b": 3.0, "c": 2.0, "d": 3.0, "e": 5.0}
    assert front(gains, {"a": 1.0, "b": 2.0, "c": 2.0, "d": 2.0}) == ("a", "b", "d")
    assert front(gains, {"e": 1.0, "a": 1.0}) == ("e",)
    assert front(gains, {}) == ()
