"""Old public names still work and warn with the new name."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
import torch
from torch import nn

import actlab
from actlab.train.subject import subject

INPUTS, TARGETS = torch.randn(60, 4), torch.arange(60) % 3
MODEL = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
SGD = torch.optim.SGD(MODEL.parameters(), lr=0.1)


def checked(**optimizer: object) -> object:
    return actlab.check(MODEL, (INPUTS, TARGETS), nn.CrossEntropyLoss(), **optimizer)


def task(**optimizer: object) -> actlab.Task:
    return actlab.Task("t", lambda: MODEL, train=(INPUTS, TARGETS), **optimizer)


def described(key: str) -> object:
    return subject({"model": MODEL, "batch": (INPUTS, TARGETS), key: SGD}, name="net.py:ready").optimizer


def declared(**named: object) -> actlab.Activation:
    @actlab.activation(**named)
    def square(x):
        return x * x

    return square


CASES: dict[str, tuple[Callable[[], object], Callable[[], object], str]] = {
    "check": (
        lambda: checked(optimiser=SGD).findings,
        lambda: checked(optimizer=SGD).findings,
        "the argument 'optimiser' is deprecated; use 'optimizer'.",
    ),
    "Task": (
        lambda: task(optimiser="sgd").optimizer,
        lambda: task(optimizer="sgd").optimizer,
        "the argument 'optimiser' is deprecated; use 'optimizer'.",
    ),
    "an attribute of a task": (
        lambda: task(optimizer="sgd").optimiser,
        lambda: "sgd",
        "Task.optimiser is deprecated; use Task.optimizer.",
    ),
    "a key": (
        lambda: described("optimiser"),
        lambda: described("optimizer"),
        "'net.py:ready': the key 'optimiser' is deprecated; use 'optimizer'.",
    ),
    "a declaration": (
        lambda: declared(twin="torch.tanh").reference,
        lambda: declared(reference="torch.tanh").reference,
        "the argument 'twin' is deprecated; use 'reference'.",
    ),
    "a report": (lambda: checked().is_well, lambda: checked().ok, "Report.is_well is deprecated; use Report.ok."),
}


@pytest.mark.parametrize("case", CASES)
def test_an_old_name_does_the_same_and_warns_at_the_callers_line(case: str) -> None:
    old, new, message = CASES[case]
    with pytest.warns(DeprecationWarning, match="is deprecated; use") as caught:
        found = old()
    assert found == new()
    assert [str(one.message) for one in caught] == [message]
    assert caught[0].filename == __file__ or case == "a key"


def test_both_names_at_once_are_refused() -> None:
    with pytest.raises(TypeError, match="both 'optimizer' and its old name 'optimiser'"):
        checked(optimiser=SGD, optimizer=SGD)


@pytest.mark.parametrize("function", [actlab.check, actlab.Task])
def test_help_shows_the_new_name_alone(function: Callable[..., object]) -> None:
    names = inspect.signature(function).parameters
    assert "optimizer" in names
    assert "optimiser" not in names
