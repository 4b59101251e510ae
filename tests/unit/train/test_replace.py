"""Hidden activation modules are found and replaced; what ends the model stays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actlab.errors import BadTask
from actlab.train.replace import TORCH_NAMES, name_of, places, with_replaced
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
    assert (found.activation, found.replaced) == ("relu", ("3", "5"))
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
    assert found.replaced == ("body.1",)
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
    assert (found.replaced, found.kept) == (("body.1",), (("spare", "it is never called"),))


def test_places_that_share_a_module_share_one_afterwards() -> None:
    def model() -> nn.Module:
        act = nn.ReLU()
        return nn.Sequential(nn.Linear(4, 6), act, nn.Linear(6, 6), act, nn.Linear(6, 3))

    found = places(task_of(model))
    assert found.replaced == ("1", "3")
    copy = with_replaced(model(), found.replaced, activation=nn.Tanh)
    assert isinstance(copy.get_submodule("1"), nn.Tanh)
    assert copy.get_submodule("1") is copy.get_submodule("3")


def test_a_copy_is_changed_and_its_weights_stay() -> None:
    original = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    copy = with_replaced(original, ("1",), activation=nn.Tanh)
    x = torch.linspace(-1, 1, 8).reshape(2, 4)
    assert isinstance(original[1], nn.ReLU)
    assert torch.equal(copy(x), original[2](torch.tanh(original[0](x))))


def test_the_error_for_a_model_without_activation_modules_says_what_to_do() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(F.relu(self.first(x)))

    with pytest.raises(
        BadTask, match=r"must have a hidden activation module to replace; got none.*def model\(activation\)"
    ):
        places(task_of(Functional))


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
