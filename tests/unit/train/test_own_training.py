"""A training loop of the user: its scores are read, and what it raises fails one run, with the message kept."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from actlab.errors import BadTask
from actlab.train.loop import Epoch
from actlab.train.own_training import OwnTraining, carry_out_own
from actlab.train.task import Task

Build = Callable[[], nn.Module]


def adversarial(activation: Build, rate: float, seed: int, budget: int) -> dict[str, Any]:
    """Train a generator of numbers around 3 against a critic."""
    maker = nn.Sequential(nn.Linear(2, 8), activation(), nn.Linear(8, 1))
    critic = nn.Sequential(nn.Linear(1, 8), activation(), nn.Linear(8, 1))
    for_maker = torch.optim.Adam(maker.parameters(), lr=rate)
    for_critic = torch.optim.Adam(critic.parameters(), lr=rate)
    curve = []
    for _ in range(budget):
        for _ in range(20):
            real, made = 3 + torch.randn(32, 1) / 2, maker(torch.randn(32, 2))
            loss = nn.functional.softplus(-critic(real)).mean() + nn.functional.softplus(critic(made.detach())).mean()
            for_critic.zero_grad()
            loss.backward()
            for_critic.step()
            loss = nn.functional.softplus(-critic(maker(torch.randn(32, 2)))).mean()
            for_maker.zero_grad()
            loss.backward()
            for_maker.step()
        curve.append((loss.item(), far(maker)))
    return {"valid": far(maker), "test": far(maker), "curve": curve, "steps": 20 * budget}


@torch.no_grad()
def far(maker: nn.Module) -> float:
    return float((maker(torch.randn(256, 2)).mean() - 3).abs())


def task_of(function: Callable[..., Any] = adversarial, **settings: Any) -> OwnTraining:
    return OwnTraining("numbers", function, **{"baseline": 3.0, "larger_is_better": False, "epochs": 3, **settings})


def test_an_adversarial_training_is_carried_out() -> None:
    task = task_of(epochs=8)
    run = carry_out_own(task, nn.Tanh, rate=2e-2, seed=0)
    assert (run.diverged, run.message, run.steps, len(run.curve), run.best) == (False, "", 160, 8, 8)
    assert run.test < 2.0
    assert all(isinstance(point, Epoch) for point in run.curve)
    assert carry_out_own(task, nn.Tanh, rate=2e-2, seed=0) == run
    assert carry_out_own(task, nn.Tanh, rate=2e-2, seed=1) != run
    assert carry_out_own(task, nn.ReLU, rate=2e-2, seed=0) != run


def test_the_random_state_of_the_caller_is_restored() -> None:
    def draw(activation: Build, rate: float, seed: int, budget: int) -> float:
        return random.random() + np.random.random() + torch.rand(1).item()  # as users do

    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    first = carry_out_own(task_of(draw), nn.ReLU, rate=1.0, seed=5)
    assert before[:2] == (random.getstate(), np.random.get_state()[1].tolist())
    assert torch.equal(before[2], torch.get_rng_state())
    random.random(), np.random.random(), torch.rand(1)  # a run must not depend on what was drawn before
    assert (first.valid, first.valid) == (first.test, carry_out_own(task_of(draw), nn.ReLU, rate=9.0, seed=5).test)


def test_a_raise_in_one_run_fails_that_run_alone() -> None:
    def fragile(activation: Build, rate: float, seed: int, budget: int) -> dict[str, float]:
        if seed == 42:
            raise RuntimeError("the simulator lost its connection")
        return {"valid": 1.0, "test": 2.0}

    task = task_of(fragile)
    runs = [carry_out_own(task, nn.ReLU, rate=0.1, seed=seed) for seed in range(100)]
    failed = [run for run in runs if run.diverged]
    assert len(failed) == 1
    assert (failed[0].valid, failed[0].test, failed[0].still_learning) == (3.0, 3.0, False)
    assert "the training raised RuntimeError: the simulator lost its connection (test_own_training.py, line" in (
        failed[0].message
    )
    assert {run.message for run in runs if not run.diverged} == {""}


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ({"valid": float("nan"), "test": 1.0}, "the scores must be finite; got valid nan and test 1.0"),
        (float("inf"), "the scores must be finite"),
        (None, "valid must be a number; got None"),
        ({"valid": 1.0, "test": "good"}, "test must be a number; got 'good'"),
        ({"valid": 1.0, "test": 1.0, "curve": 3}, "curve must be a list of validation scores; got 3"),
    ],
)
def test_scores_that_are_not_numbers_fail_the_run(returned: object, message: str) -> None:
    run = carry_out_own(task_of(lambda activation, rate, seed, budget: returned), nn.ReLU, rate=0.1, seed=0)
    assert run.diverged
    assert run.test == 3.0
    assert message in run.message


@pytest.mark.parametrize("returned", [{}, {"valid": 1.0}, {"valid": 1.0, "test": 1.0, "accuracy": 1.0}])
def test_a_dict_of_another_form_is_refused(returned: dict[str, float]) -> None:
    with pytest.raises(BadTask, match="must return one score, or a dict with valid and test, and perhaps curve"):
        carry_out_own(task_of(lambda activation, rate, seed, budget: returned), nn.ReLU, rate=0.1, seed=0)


def test_a_curve_holds_scores_or_pairs_up_to_a_divergence() -> None:
    def curve(activation: Build, rate: float, seed: int, budget: int) -> dict[str, Any]:
        return {"valid": 1.0, "test": 1.0, "curve": [1.0, (0.5, 2.0), float("nan"), 3.0]}

    assert carry_out_own(task_of(curve), nn.ReLU, rate=0.1, seed=0).curve == (Epoch(None, 1.0), Epoch(0.5, 2.0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"function": 5}, "train must be a function of activation, rate, seed, budget; got 5"),
        ({"function": lambda activation, rate: 0.0}, "must take the arguments activation, rate, seed, budget by these"),
        ({"epochs": 0}, "epochs must be a positive integer; got 0"),
        ({"rates": (1.0, 0.1)}, "rates must be two positive numbers"),
        ({"baseline": float("nan")}, "baseline must be a finite number; got nan"),
    ],
)
def test_a_fault_is_said_at_once(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadTask, match=message):
        task_of(**change)


def test_the_identity_follows_the_function_and_the_settings() -> None:
    def other(activation: Build, rate: float, seed: int, budget: int) -> float:
        return 1.0

    tasks = [task_of(), task_of(other), task_of(epochs=4), task_of(baseline=2.0), task_of(margin=0.1)]
    assert len({task.fingerprint() for task in tasks}) == len(tasks)
    assert task_of().contents() == task_of().contents()
    assert task_of().contents()["the training"] != task_of(other).contents()["the training"]
    assert (task_of().region(10.0), task_of(margin=0.1).region(10.0)) == (0.2, 0.1)
    assert pickle.loads(pickle.dumps(task_of())).fingerprint() == task_of().fingerprint()


def test_the_data_belong_to_the_function() -> None:
    task = task_of()
    assert (task.rows, task.can_resplit, task.with_split(0), task.baseline()) == (0, False, task, 3.0)
    assert "only if it draws them by the seed" in task.split_sentence
    with pytest.raises(BadTask, match="cannot be split anew; got 2"):
        task.with_split(2)


def test_a_task_is_made_from_a_training() -> None:
    task = Task.from_training("numbers", adversarial, baseline=3.0, larger_is_better=False)
    assert isinstance(task, OwnTraining)
    assert task.takes_activation
