"""Hidden activations are found and replaced, as modules and in the code; what ends the model stays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actlab.errors import BadTask
from actlab.study.arm import control_of, model_of, named_arm
from actlab.study.places import places
from actlab.train.replace import TORCH_NAMES, name_of
from actlab.train.task import Task


def task_of(model: Callable[[], nn.Module]) -> Task:
    return Task("t", model, train=(np.random.default_rng(0).normal(size=(40, 4)), np.arange(40) % 3))


def test_every_elementwise_activation_of_torch_has_a_name() -> None:
    along_an_axis_or_more = {"GLU", "MultiheadAttention", "Softmax", "Softmax2d", "LogSoftmax", "Softmin"}
    in_torch = {name for name in torch.nn.modules.activation.__all__ if name not in along_an_axis_or_more}
    assert {kind.__name__ for kind in TORCH_NAMES} == in_torch


def test_only_the_most_common_hidden_activation_is_replaced() -> None:
    def model() -> nn.Module:
        return nn.Sequential(
            nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3)
        )

    found = places(task_of(model))
    assert (found.activation, found.modules) == ("relu", ("3", "5"))
    assert found.sentence() == (
        "2 relu modules are replaced in each arm."
        " 1 stays: it is a tanh, and only the most common hidden activation, relu, is replaced."
    )


def test_an_activation_that_ends_the_model_stays() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(4, 6), nn.Sigmoid(), nn.Linear(6, 3))
            self.head = nn.Sigmoid()

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.body(x)).view(len(x), 3)

    found = places(task_of(Model))
    assert found.modules == ("body.1",)
    assert found.kept == (("head", "its output is the model's output"),)


def test_an_activation_that_is_never_called_stays() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(4, 6), nn.ELU(inplace=True), nn.Linear(6, 3))
            self.spare = nn.ELU()

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x)

    found = places(task_of(Model))
    assert (found.modules, found.kept) == (("body.1",), (("spare", "it is never called"),))


def replaced(model: Callable[[], nn.Module], activation: str = "tanh") -> nn.Module:
    """Return the model of an arm, with the weights of seed 0."""
    task = task_of(model)
    _, where = control_of(task)
    return model_of(task, named_arm(activation), where=where, seed=0)


X = torch.linspace(-1, 1, 8).reshape(2, 4)


def test_places_that_share_a_module_share_one_afterwards() -> None:
    def model() -> nn.Module:
        act = nn.ReLU()
        return nn.Sequential(nn.Linear(4, 6), act, nn.Linear(6, 6), act, nn.Linear(6, 3))

    assert places(task_of(model)).modules == ("1", "3")
    for name, kind in (("tanh", nn.Tanh), ("prelu", nn.PReLU)):
        made = replaced(model, name)
        assert isinstance(made.get_submodule("1"), kind)
        assert made.get_submodule("1") is made.get_submodule("3")


class Swish(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x)


class Functional(nn.Module):
    """A module that works in place and whose result is not used, a function, and another activation."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        self.act(x)
        x = F.relu(self.second(x))
        return self.last(torch.sigmoid(x))


def test_functions_and_modules_in_place_are_replaced_and_the_rest_is_named() -> None:
    found = places(task_of(Functional))
    assert found.sentence() == (
        "1 relu module and 1 place in the code (F.relu) are replaced in each arm."
        " model[1] stays: it is a sigmoid, and only the most common hidden activation, relu, is replaced."
    )
    made = replaced(Functional)
    hidden = torch.tanh(made.second(torch.tanh(made.first(X))))
    torch.testing.assert_close(made(X), made.last(torch.sigmoid(hidden)))


def test_classes_of_the_users_own_are_replaced() -> None:
    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 6), Swish(), nn.Linear(6, 6), Swish(), nn.Linear(6, 3))

    found = places(task_of(model))
    assert (found.activation, found.modules) == ("silu", ())
    assert found.sentence() == "2 places of silu in the code (x*sigmoid(x)) are replaced in each arm."
    made = replaced(model)
    torch.testing.assert_close(made(X), made[4](torch.tanh(made[2](torch.tanh(made[0](X))))))


def test_a_part_that_cannot_be_inspected_is_named() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.LSTM(4, 6), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(F.relu(self.first(x)[0]))

    assert "first stays: nn.LSTM cannot be inspected" in places(task_of(Recurrent)).sentence()


def test_the_error_for_a_model_without_hidden_activations_says_what_to_do() -> None:
    with pytest.raises(BadTask, match=r"must have a hidden activation to replace; got none.*def model\(activation\)"):
        places(task_of(lambda: nn.Linear(4, 3)))
    with pytest.raises(BadTask, match=r"got sigmoid at 1 \(its output is the model's output\)"):
        places(task_of(lambda: nn.Sequential(nn.Linear(4, 3), nn.Sigmoid())))


def test_attention_and_softmax_are_not_replaced() -> None:
    names = [name_of(module) for module in (nn.Softmax(-1), nn.MultiheadAttention(4, 2), nn.GLU(), nn.Linear(2, 2))]
    assert names == [None] * 4
    assert name_of(nn.GELU(approximate="tanh")) == "gelu_tanh"


def test_finding_modules_leaves_no_hook_and_the_random_state() -> None:
    made = []

    def model() -> nn.Module:
        made.append(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Dropout(), nn.Linear(6, 3)))
        return made[-1]

    task = task_of(model)
    before = torch.get_rng_state()
    places(task)
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(module._forward_hooks for module in made[-1].modules())
