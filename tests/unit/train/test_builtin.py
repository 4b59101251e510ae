"""The built-in tasks are what they say they are."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from actlab.errors import BadTask
from actlab.study.arm import Arm, control_of, model_of
from actlab.study.runner import one_thread
from actlab.train.builtin import DEFAULT, TASKS, builtin_task
from actlab.train.load import directions_to
from actlab.train.loop import train


@pytest.mark.parametrize("name", TASKS)
def test_a_built_in_task_is_the_same_each_time(name: str) -> None:
    task = builtin_task(name)
    assert (task.name, task.origin) == (name, ("builtin", name))
    assert directions_to(task).followed().fingerprint() == task.fingerprint()


def test_the_error_for_an_unknown_task_suggests_the_nearest() -> None:
    with pytest.raises(
        BadTask, match=r"no built-in task is named 'digit'\. Did you mean 'digits'\? The built-in tasks are digits,"
    ):
        builtin_task("digit")


def first_gradients(arm: Arm) -> tuple[float, float]:
    """The size of the loss gradient at the weights of the first and the last layer, before any step."""
    task = builtin_task(DEFAULT)
    _, where = control_of(task)
    model = model_of(task, arm, where=where, seed=0)
    torch.autograd.backward(task.loss(model(task.train.inputs), task.train.targets))
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    first, last = (layer.weight.grad for layer in (layers[0], layers[-1]))
    assert first is not None
    assert last is not None
    return first.norm().item(), last.norm().item()


def test_the_default_network_fails_for_the_textbook_reason() -> None:
    first, last = first_gradients(Arm("sigmoid", None))
    assert first < 1e-3 * last  # the gradient vanishes on its way back through five sigmoid layers
    first, last = first_gradients(Arm("tanh", nn.Tanh))
    assert first > 1e-2 * last


def test_the_default_network_does_not_learn_and_alternatives_do() -> None:
    task = builtin_task(DEFAULT)
    _, where = control_of(task)
    arms = (Arm("sigmoid", None), Arm("tanh", nn.Tanh), Arm("relu", nn.ReLU))
    with one_thread():
        runs = [train(model_of(task, arm, where=where, seed=11), task, rate=0.08, seed=11) for arm in arms]
    valid = {arm.name: run.valid for arm, run in zip(arms, runs, strict=True)}
    baseline = task.baseline(task.valid)
    assert valid["sigmoid"] <= baseline + 0.5, valid
    assert min(valid["tanh"], valid["relu"]) >= baseline + 50, valid
