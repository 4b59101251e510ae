"""A task is checked when built, and every fault is one line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from actlab.errors import BadTask
from actlab.train.task import Task


def rows(count: int = 40, *, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(0)
    return chance.normal(size=(count, 4)), np.arange(count) % classes


def net(outputs: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, outputs))


def test_a_task_splits_off_what_is_not_given_with_equal_shares_of_classes() -> None:
    task = Task("t", net, train=rows(60))
    assert [len(part) for part in (task.train, task.valid, task.test)] == [36, 12, 12]
    assert all(part.targets.bincount().tolist() == [len(part) // 3] * 3 for part in (task.train, task.valid, task.test))
    together = torch.cat([task.train.inputs, task.valid.inputs, task.test.inputs])
    assert sorted(together[:, 0].tolist()) == sorted(torch.tensor(rows(60)[0][:, 0]).float().tolist())


def test_given_parts_stay_as_they_are() -> None:
    task = Task("t", net, train=rows(40), valid=rows(10), test=rows(5))
    assert [len(part) for part in (task.train, task.valid, task.test)] == [40, 10, 5]


def test_the_type_of_the_targets_and_the_output_decide_the_kind() -> None:
    inputs, targets = rows(classes=2)
    assert Task("t", lambda: net(2), train=(inputs, targets)).kind.name == "classification"
    assert Task("t", lambda: net(1), train=(inputs, targets)).kind.name == "binary"
    assert Task("t", lambda: net(1), train=(inputs, targets * 1.5)).kind.name == "regression"
    assert Task("t", lambda: net(1), train=(inputs, targets), kind="regression").kind.name == "regression"


def test_baseline_is_the_commonest_class_of_the_training_part() -> None:
    inputs, _ = rows(40)
    train = np.array([1] * 25 + [0] * 15)
    test = np.array([1] * 10 + [0] * 30)
    task = Task("t", lambda: net(2), train=(inputs, train), valid=(inputs, train), test=(inputs, test))
    assert (task.baseline(task.valid), task.baseline(task.test)) == (62.5, 25.0)


def test_scores_are_points_of_accuracy_and_errors_in_reported_units() -> None:
    task = Task("t", net, train=rows(60))
    right = nn.functional.one_hot(task.test.targets, 3).float()
    assert task.score(right, task.test) == 100.0
    assert task.score(right.roll(1, 0), task.test) < 100.0
    inputs, targets = rows(40)
    error = Task("t", lambda: net(1), train=(inputs, targets * 1.0), target_unit=10.0)
    assert error.score(error.test.targets[:, None] + 0.5, error.test) == pytest.approx(5.0)


def test_binary_outputs_are_judged_by_their_sign() -> None:
    task = Task("t", lambda: net(1), train=rows(classes=2))
    assert task.score((task.test.targets[:, None] - 0.5) * 4, task.test) == 100.0
    assert task.score((0.5 - task.test.targets[:, None]) * 4, task.test) == 0.0


def with_value(value: float) -> tuple[np.ndarray, np.ndarray]:
    inputs, targets = rows()
    inputs[7, 2] = value
    return inputs, targets


def raising() -> nn.Module:
    raise RuntimeError("no such weights")


class Tuple(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, x


FAULTS: dict[str, tuple[Callable[[], Task], str]] = {
    "nan": (
        lambda: Task("t", net, train=with_value(np.nan)),
        "train inputs must be finite; got 1 value that is NaN or infinite, the first in row 7",
    ),
    "inf": (lambda: Task("t", net, train=with_value(-np.inf)), "NaN or infinite, the first in row 7"),
    "too few": (
        lambda: Task("t", net, train=rows(12)),
        "train must have at least 20 rows to split off a part for valid; got 12",
    ),
    "none": (lambda: Task("t", net, train=rows(0)), "train must have at least one row; got none"),
    "lengths": (
        lambda: Task("t", net, train=(rows(40)[0], rows(39)[1])),
        "one target per input; got 40 inputs and 39 targets",
    ),
    "no pair": (lambda: Task("t", net, train=rows()[0]), "must be a pair"),
    "text": (lambda: Task("t", net, train=(rows()[0], np.array(["a"] * 40))), "train targets must be numbers"),
    "one class": (
        lambda: Task("t", net, train=(rows()[0], np.ones(40, int))),
        "must hold two classes or more; got 1 in every row",
    ),
    "same": (lambda: Task("t", lambda: net(1), train=(rows()[0], np.full(40, 2.5))), "must differ; all are the same"),
    "negative": (
        lambda: Task("t", net, train=(rows()[0], rows()[1] - 1)),
        "classes must be integers from 0, one per row; got",
    ),
    "outputs": (
        lambda: Task("t", lambda: net(2), train=rows()),
        "does not fit the loss: 3 classes require shape (8, 3), one logit per class; got shape (8, 2) for 8 rows",
    ),
    "inputs": (
        lambda: Task("t", lambda: nn.Linear(9, 3), train=rows()),
        "the model, given inputs of shape (8, 4), raised RuntimeError",
    ),
    "factory": (
        lambda: Task("t", raising, train=rows()),
        "the model's factory raised RuntimeError: no such weights (test_task.py, line",
    ),
    "no module": (
        lambda: Task("t", lambda: 3, train=rows()),
        "model must return a torch.nn.Module; got 3",
    ),
    "no function": (lambda: Task("t", 5, train=rows()), "model must be a function"),
    "tuple": (lambda: Task("t", Tuple, train=rows()), "the model must return one tensor; got a tuple of 2 entries"),
    "no parameter": (
        lambda: Task("t", lambda: nn.Flatten(), train=rows(classes=4)),
        "must depend on a parameter of the model",
    ),
    "loss": (
        lambda: Task("t", net, train=rows(), loss=lambda outputs, targets: outputs),
        "the loss must return one number",
    ),
    "loss raises": (lambda: Task("t", net, train=rows(), loss=nn.MSELoss()), "the loss raised RuntimeError"),
    "kind": (
        lambda: Task("t", net, train=rows(), kind="ranking"),
        "kind must be one of classification, binary, regression; got 'ranking'",
    ),
    "optimizer": (
        lambda: Task("t", net, train=rows(), optimizer="lion"),
        "optimizer must be one of adam, adamw, sgd, momentum; got 'lion'",
    ),
    "epochs": (lambda: Task("t", net, train=rows(), epochs=0), "epochs must be a positive integer; got 0"),
    "rates": (lambda: Task("t", net, train=rows(), rates=(0.1, 0.01)), "rates must be two positive numbers"),
}


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_line_that_names_it(fault: str) -> None:
    make, message = FAULTS[fault]
    with pytest.raises(BadTask) as raised:
        make()
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 31},
        {"batch_size": 8},
        {"optimizer": "sgd"},
        {"rates": (0.01, 0.1)},
        {"name": "u"},
        {"loss": nn.NLLLoss()},
    ],
    ids=lambda change: next(iter(change)),
)
def test_fingerprint_tells_recipes_apart(change: dict[str, Any]) -> None:
    task = Task("t", net, train=rows())
    assert task.fingerprint() == Task("t", net, train=rows()).fingerprint()
    assert replace(task, **change).fingerprint() != task.fingerprint()


def test_fingerprint_tells_data_and_models_apart() -> None:
    task = Task("t", net, train=rows())
    wider = Task("t", lambda: nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 3)), train=rows())
    other = Task("t", net, train=with_value(3.0))
    assert len({task.fingerprint(), wider.fingerprint(), other.fingerprint()}) == 3


@pytest.mark.parametrize(
    ("kind", "targets", "outputs", "digest"),
    [
        ("classification", torch.arange(40) % 3, 3, "c255f164e45321951075bd1990872baf4c26b5db2d38d8cb5407c5eb4e202243"),
        ("binary", torch.arange(40) % 2, 1, "f830e83819b863e08413a5e31b4f3e952f7f3186c33c9bc79795c63e1ace78ea"),
        ("regression", torch.arange(40.0), 1, "e6015633d6c35a2b9f3b0d3e33cb5252446faf246869dfbc16319ef39de98b1b"),
    ],
)
def test_fingerprint_is_that_of_the_first_release(kind: str, targets: torch.Tensor, outputs: int, digest: str) -> None:
    """Stored studies are found again by it."""
    task = Task("t", lambda: net(outputs), train=(torch.arange(160.0).reshape(40, 4), targets), kind=kind)
    assert task.fingerprint() == digest


def test_the_texts_of_a_task_cannot_steer_a_terminal() -> None:
    task = Task("t\x1b[2J", net, train=rows(), sentence="a\x07b", notes=("c\u202ed",))
    assert (task.name, task.sentence, task.notes) == ("t\\u001b[2J", "a\\u0007b", ("c\\u202ed",))


def test_building_a_task_leaves_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    Task("t", net, train=rows())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_factory_that_needs_an_argument_takes_the_activation() -> None:
    def model(activation: Callable[[], nn.Module]) -> nn.Module:
        return nn.Sequential(nn.Linear(4, 8), activation(), nn.Linear(8, 3))

    task = Task("t", model, train=rows(), activation="tanh")
    assert task.takes_activation
    assert not Task("t", lambda size=4: nn.Linear(size, 3), train=rows()).takes_activation
    assert isinstance(task.build(nn.Tanh)[1], nn.Tanh)
