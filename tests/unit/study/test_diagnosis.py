"""The diagnosis of a task's model: what is handed to whom, bounded in time, nothing of the caller's changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from actlab.diagnosis.report import Report
from actlab.study import control_diagnosis
from actlab.telemetry.settings import Settings
from actlab.train.subject import subject
from actlab.train.task import Task
from unit.report.findings import finding
from unit.report.quantities import quantities

INPUTS = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
TARGETS = (INPUTS[:, 0] > 0).long()


def functional() -> nn.Module:
    """A model that a comparison could not take apart: its activation is a function."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(nn.functional.gelu(self.first(x)))

    return Net()


def task(model: Any = functional, **options: Any) -> Task:
    return Task("signs", model, train=(INPUTS, TARGETS), kind="classification", batch_size=32, **options)


class Watched:
    """A watch that counts."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *_: object) -> None: ...

    def step(self, loss: torch.Tensor) -> None:
        self.losses.append(float(loss))

    def report(self) -> Report:
        return Report((finding("AL103"),), (), (), quantities())


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `check` and `watch` were asked."""
    seen: dict[str, Any] = {"watched": Watched()}

    def check(model: nn.Module, **given: Any) -> Report:
        seen.update(given, model=model)
        return Report((finding("AL201"),), (), (), None)

    def watch(model: nn.Module, **given: Any) -> Watched:
        seen.update(watch=given, watched_model=model)
        return seen["watched"]

    monkeypatch.setattr(control_diagnosis, "check", check)
    monkeypatch.setattr(control_diagnosis, "watch", watch)
    return seen


def test_a_task_gives_its_own_model_a_batch_its_loss_and_its_optimiser(asked: dict[str, Any]) -> None:
    report = control_diagnosis.diagnosed(task())
    inputs, targets = asked["batch"]
    assert [one.id for one in report.findings] == ["AL201"]
    assert (inputs.shape, targets.shape, type(asked["model"]).__name__) == ((32, 4), (32,), "Net")
    assert asked["loss"] is task().loss or callable(asked["loss"])
    assert isinstance(asked["optimiser"], torch.optim.Adam)
    assert "watch" not in asked


def test_where_the_factory_takes_the_activation_the_control_stands_in_the_model(asked: dict[str, Any]) -> None:
    def model(activation: Any) -> nn.Module:
        return nn.Sequential(nn.Linear(4, 8), activation(), nn.Linear(8, 2))

    control_diagnosis.diagnosed(task(model, activation="tanh"))
    assert type(asked["model"][1]) is nn.Tanh


def test_a_watched_run_takes_so_many_steps_and_its_findings_are_added(asked: dict[str, Any]) -> None:
    told: list[tuple[int, int]] = []
    report = control_diagnosis.diagnosed(
        task(), train_steps=40, progress=lambda done, total, left, label: told.append((done, total))
    )
    assert [one.id for one in report.findings] == ["AL103", "AL201"]
    assert report.quantities is not None
    assert told == [(done, 40) for done in range(1, 41)]
    losses = asked["watched"].losses
    assert len(losses) == 40
    assert sum(losses[-5:]) < sum(losses[:5])
    assert asked["watch"]["every"] == 1


def test_it_ends_when_its_time_is_over_and_enough_was_seen_for_a_finding(asked: dict[str, Any]) -> None:
    control_diagnosis.diagnosed(task(), train_steps=1000, seconds=0.0)
    assert len(asked["watched"].losses) == Settings().fewest_losses == 30


def test_a_shorter_run_than_that_is_no_longer(asked: dict[str, Any]) -> None:
    control_diagnosis.diagnosed(task(), train_steps=7, seconds=0.0)
    assert len(asked["watched"].losses) == 7


def test_the_same_seed_gives_the_same_run_and_leaves_the_random_state(asked: dict[str, Any]) -> None:
    before = torch.get_rng_state()
    control_diagnosis.diagnosed(task(), train_steps=3, seed=1)
    first = asked["watched"].losses[:]
    asked["watched"].losses.clear()
    control_diagnosis.diagnosed(task(), train_steps=3, seed=1)
    assert asked["watched"].losses == first
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_of_ones_own_is_handed_on_as_it_is(asked: dict[str, Any]) -> None:
    model = functional()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    given = replace(subject((model, (INPUTS, TARGETS), None), name="net.py:ready"), optimiser=optimiser)
    control_diagnosis.diagnosed(given, train_steps=5)
    assert asked["model"] is model
    assert (asked["loss"], asked["optimiser"], asked["train_steps"]) == (None, optimiser, 5)
