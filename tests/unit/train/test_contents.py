"""The digests of what results depend on."""

from __future__ import annotations

import importlib
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from actlab.train.contents import digest_of, sources
from actlab.train.task import Task


def task(**options: Any) -> Task:
    inputs = torch.arange(100.0).reshape(50, 2)
    usual = {"model": lambda: nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2))}
    usual |= {"train": (inputs, torch.arange(50) % 2), "kind": "classification"}
    return Task("t", **{**usual, **options})


def changed(one: Task, other: Task) -> set[str]:
    before, now = one.contents(), other.contents()
    return {name for name in {**before, **now} if before.get(name) != now.get(name)}


def test_equal_tasks_have_equal_contents_and_each_difference_is_named() -> None:
    same = task()
    assert changed(same, task()) == set()
    assert changed(same, task(epochs=3)) == {"the task's settings"}
    assert changed(same, task(train=(torch.zeros(50, 2), torch.arange(50) % 2))) == {
        "the data",
        "the model's first outputs",
    }
    assert changed(same, task(model=lambda: nn.Sequential(nn.Linear(2, 2), nn.ReLU()))) == {
        "the model",
        "the model's first outputs",
    }
    assert changed(same, task(loss=lambda o, t: 2 * F.cross_entropy(o, t))) == {"the loss"}


def test_a_change_that_no_digest_follows_shows_in_the_first_outputs(tmp_path: Path) -> None:
    settings = tmp_path / "scale.txt"

    class Scaled(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return float(settings.read_text()) * super().forward(x)

    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(2, 4), nn.ReLU(), Scaled(4, 2))

    settings.write_text("1.0")
    before = task(model=model)
    first = before.contents()
    assert before.contents() == first
    settings.write_text("1.1")
    assert {name for name, each in task(model=model).contents().items() if each != first[name]} == {
        "the model's first outputs"
    }


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (nn.CrossEntropyLoss(label_smoothing=0.1), nn.CrossEntropyLoss(label_smoothing=0.2)),
        (nn.CrossEntropyLoss(weight=torch.ones(2)), nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0]))),
        (partial(F.cross_entropy, label_smoothing=0.1), partial(F.cross_entropy, label_smoothing=0.2)),
        (lambda o, t: F.cross_entropy(o, t), lambda o, t: F.cross_entropy(-o, t)),
        (F.cross_entropy, F.multi_margin_loss),
        ({1, 2}, {1, 3}),
    ],
)
def test_a_setting_of_a_loss_counts(one: object, other: object) -> None:
    assert digest_of(one) != digest_of(other)


def test_a_value_in_a_closure_counts_and_an_address_does_not() -> None:
    def made(factor: float) -> Any:
        return lambda o, t: factor * F.cross_entropy(o, t)

    assert digest_of(made(1.0)) == digest_of(made(1.0))
    assert digest_of(made(1.0)) != digest_of(made(2.0))
    assert digest_of(object()) == digest_of(object())


def test_the_users_files_count_also_those_that_are_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layers, net = tmp_path / "own_layers.py", tmp_path / "own_net.py"
    layers.write_text("def width(): return 3\n")
    net.write_text("import torch\nfrom own_layers import width\ndef model(): return torch.nn.Linear(2, width())\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("own_net")
    before = sources(module.model)
    assert list(before) == ["own_layers.py", "own_net.py"]
    layers.write_text("def width():\n    return 3  # the same\n")
    assert sources(module.model) == before
    layers.write_text("def width(): return 4\n")
    assert {name for name, each in sources(module.model).items() if each != before[name]} == {"own_layers.py"}
    del sys.modules["own_net"], sys.modules["own_layers"]
