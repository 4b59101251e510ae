"""The kind of a task follows from its loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actlab.errors import BadTask
from actlab.train.task import Task

X = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
BITS = (X[:, 0] > 0).float()
IMAGES = torch.randn(40, 3, 6, 6, generator=torch.Generator().manual_seed(0))
MASKS = (IMAGES[:, :1] > 0).float()


def dense(outputs: int, *end: nn.Module) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, outputs), *end)


def convolutions(outputs: int) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, outputs, 1))


def as_column(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(outputs.squeeze(1), targets.float())


CASES: dict[str, tuple[Callable[[], nn.Module], tuple[Tensor, Tensor], Any, str, str]] = {
    "a module on logits": (
        dense(1),
        (X, BITS[:, None]),
        nn.BCEWithLogitsLoss(),
        "binary",
        "binary_cross_entropy_with_logits",
    ),
    "a function in a function": (dense(1), (X, BITS), as_column, "binary", "binary_cross_entropy_with_logits"),
    "integers": (dense(1), (X, BITS.long()), as_column, "binary", "binary_cross_entropy_with_logits"),
    "probabilities": (dense(1, nn.Sigmoid()), (X, BITS[:, None]), nn.BCELoss(), "binary", "binary_cross_entropy"),
    "several labels": (
        dense(3),
        (X, (X[:, :3] > 0).float()),
        nn.BCEWithLogitsLoss(),
        "binary",
        "binary_cross_entropy_with_logits",
    ),
    "masks": (convolutions(1), (IMAGES, MASKS), nn.BCEWithLogitsLoss(), "binary", "binary_cross_entropy_with_logits"),
    "classes of pixels": (
        convolutions(2),
        (IMAGES, MASKS[:, 0].long()),
        nn.CrossEntropyLoss(),
        "classification",
        "cross_entropy",
    ),
    "probabilities of classes": (
        dense(2),
        (X, torch.stack([1 - BITS, BITS], 1) * 0.8 + 0.1),
        nn.CrossEntropyLoss(),
        "classification",
        "cross_entropy",
    ),
    "counts": (dense(1), (X, X[:, :1].round().long()), nn.MSELoss(), "regression", "mse_loss"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_kind_follows_from_the_loss_and_a_note_says_so(case: str) -> None:
    model, train, loss, kind, function = CASES[case]
    task = Task("t", model, train=train, loss=loss)
    what = "a binary task" if kind == "binary" else kind
    assert task.kind.name == kind
    assert task.notes == (f"The loss calls {function}, so this is {what}, judged by {task.metric.name}.",)
    again = replace(task, epochs=1)
    assert (again.kind, again.notes) == (task.kind, task.notes)


@pytest.mark.parametrize("case", [name for name, each in CASES.items() if each[3] != "regression"])
def test_outputs_that_are_right_score_100(case: str) -> None:
    model, train, loss, *_ = CASES[case]
    task = Task("t", model, train=train, loss=loss)
    targets = task.test.targets
    if task.kind.name == "binary":
        right = (targets > 0).float() if case == "probabilities" else 2.0 * targets - 1
    else:
        right = targets if targets.is_floating_point() else F.one_hot(targets, 2).movedim(-1, 1).float()
    assert task.score(right, task.test) == 100
    assert task.score(-right if case != "probabilities" else 1 - right, task.test) == 0
    assert 45 < task.baseline(task.test) < 75


def test_binary_targets_are_0_or_1() -> None:
    with pytest.raises(BadTask, match="the targets of a binary task must be 0 or 1; got values from -1 to 1"):
        Task("t", dense(1), train=(X, 2 * BITS[:, None] - 1), loss=nn.BCEWithLogitsLoss())


def test_a_loss_that_does_not_tell_needs_the_kind() -> None:
    def own(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.softplus((1 - 2 * targets) * outputs).mean()

    with pytest.raises(BadTask, match="the kind must be named"):
        Task("t", dense(1), train=(X, BITS[:, None]), loss=own)
    assert Task("t", dense(1), train=(X, BITS[:, None]), loss=own, kind="binary").metric.name == "accuracy"
    assert Task("t", dense(1), train=(X, X[:, :1]), loss=own).kind.name == "regression"


def test_a_kind_that_is_named_stays() -> None:
    task = Task("t", dense(1), train=(X, BITS[:, None]), loss=nn.MSELoss(), kind="regression")
    assert (task.kind.name, task.notes) == ("regression", ())
