"""The training loop: deterministic, honest about divergence, and it learns."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from actlab.train.loop import step_seconds, train
from actlab.train.plateau import MOST, has_ended, is_still_learning
from actlab.train.task import Task


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 2))


@pytest.fixture(scope="module")
def task() -> Task:
    inputs = np.random.default_rng(0).normal(size=(200, 2))
    return Task("halves", model, train=(inputs, (inputs.sum(1) > 0).astype(int)), epochs=8, batch_size=17)


def fresh(task: Task, *, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return task.build()


def test_the_same_seed_gives_the_same_run_bit_for_bit(task: Task) -> None:
    runs = []
    for noise in (1, 2):
        net = fresh(task)
        torch.manual_seed(noise)  # the state outside must not matter
        runs.append(train(net, task, rate=0.01, seed=5))
    assert runs[0] == runs[1]
    assert train(fresh(task), task, rate=0.01, seed=6) != runs[0]


def test_training_learns_and_leaves_the_random_state_alone(task: Task) -> None:
    net = fresh(task)
    before = torch.get_rng_state()
    run = train(net, task, rate=0.02, seed=0)
    assert torch.equal(torch.get_rng_state(), before)
    assert run.curve[-1].loss < 0.6 * run.curve[0].loss
    assert run.valid > task.baseline(task.valid) + 20
    assert run.test > task.baseline(task.test) + 20
    assert not run.diverged
    assert run.steps == 8 * len(run.curve)


def test_the_weights_of_the_best_epoch_count(task: Task) -> None:
    net = fresh(task)
    run = train(net, task, rate=0.05, seed=0)
    values = [epoch.valid for epoch in run.curve]
    assert run.best == 1 + values.index(max(values))
    assert run.valid == max(values)
    net.eval()
    with torch.no_grad():
        assert task.score(net(task.valid.inputs), task.valid) == run.valid
        assert task.score(net(task.test.inputs), task.test) == run.test


def test_a_run_goes_on_to_its_plateau(task: Task) -> None:
    by_loss = replace(task, metric="loss")
    slow = train(fresh(by_loss), by_loss, rate=5e-4, seed=0)
    assert len(slow.curve) == MOST * task.epochs
    assert slow.still_learning
    quick = train(fresh(task), task, rate=0.1, seed=0)
    assert task.epochs <= len(quick.curve) < MOST * task.epochs
    assert not quick.still_learning


def test_slow_gains_count_and_noise_does_not(task: Task) -> None:
    of = partial(is_still_learning, task=task)
    matters = task.metric.region(50.0, targets=len(task.valid))
    rising = [50 + matters / 15 * number for number in range(80)]
    assert of(rising)
    assert not of([50.0, *[80.0, 80.0 + 2 * matters] * 20])
    assert not of(list(reversed(rising)))
    # Three targets must change before a gain counts.
    assert [of([50.0, 50.0 + rows * 100 / len(task.valid)]) for rows in (2, 4)] == [False, True]
    error = replace(task, metric="loss")
    assert is_still_learning([2.0 * 0.97**number for number in range(40)], error)
    assert not is_still_learning([2.0, 1.99, 1.98, 1.97], error)


def test_a_run_ends_when_nothing_was_gained_since_its_middle(task: Task) -> None:
    early = [50.0] * 4 + [80.0] * 16
    assert [has_ended(early[:length], task) for length in (7, 8, 11)] == [False, False, True]
    late = [10.0] * 19 + [50.0]
    assert not has_ended(late, task)
    late += [50.0] * 7 + [90.0] * (task.epochs * MOST - 27)
    assert (has_ended(late, task), is_still_learning(late, task)) == (True, True)


def test_the_last_batch_of_one_row_is_left_out(task: Task) -> None:
    alone = replace(task, batch_size=len(task.train) - 1, epochs=1)
    assert not train(fresh(alone), alone, rate=0.01, seed=0).diverged  # BatchNorm raises on a single row


def test_steps_are_timed_one_by_one(task: Task) -> None:
    seconds = step_seconds(fresh(task), task, rate=0.01, steps=4)
    assert len(seconds) == 4
    assert all(0 < each < 1 for each in seconds)


def test_models_are_evaluated_without_dropout(task: Task) -> None:
    noisy = replace(task, model=lambda: nn.Sequential(nn.Linear(2, 64), nn.Dropout(0.9), nn.Linear(64, 2)))
    net = fresh(noisy)
    run = train(net, noisy, rate=0.01, seed=0)
    net.eval()
    assert noisy.score(net(noisy.test.inputs), noisy.test) == run.test
