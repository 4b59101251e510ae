"""A task and the same model with a batch and a loss get the same diagnosis."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from actlab.diagnosis.check import check
from actlab.diagnosis.report import Report
from actlab.rules.finding import Finding
from actlab.study import control_diagnosis
from actlab.study.control_diagnosis import batches, control_model, diagnosed
from actlab.telemetry.settings import Settings
from actlab.train.subject import Subject, defined_at
from actlab.train.task import OPTIMIZERS, Task
from unit.report.findings import finding

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
    usual = {"train": (INPUTS, TARGETS), "kind": "classification", "batch_size": 32}
    return Task("signs", model, **{**usual, **options})


def mlp(*last: nn.Module, activation: type[nn.Module] = nn.ReLU, outputs: int = 2) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 16), activation(), nn.Linear(16, outputs), *last)


def with_dropout() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 2))


def deep_sigmoid() -> nn.Module:
    hidden = [layer for _ in range(8) for layer in (nn.Linear(16, 16), nn.Sigmoid())]
    return nn.Sequential(nn.Linear(4, 16), nn.Sigmoid(), *hidden, nn.Linear(16, 2))


def softmax_before_the_loss() -> nn.Module:
    return mlp(nn.Softmax(dim=1))


def one_logit() -> nn.Module:
    return mlp(outputs=1)


def probability() -> nn.Module:
    return mlp(nn.Sigmoid(), outputs=1)


REAL = (INPUTS, INPUTS[:, :1].square())
CASES: dict[str, Callable[[], Task]] = {
    "healthy": partial(task, mlp),
    "healthy, with dropout": partial(task, with_dropout),
    "softmax before cross-entropy": partial(task, softmax_before_the_loss),
    "softmax before cross-entropy, too slow to learn": partial(task, softmax_before_the_loss, rates=(5e-5, 5e-5)),
    "vanishing gradient": partial(task, deep_sigmoid),
    "one logit": partial(task, one_logit, kind="binary"),
    "a probability as a logit": partial(task, probability, kind="binary"),
    "a regression": partial(task, one_logit, train=REAL, kind="regression"),
    "unreachable targets": partial(task, lambda: mlp(nn.Tanh(), outputs=1), train=REAL, kind="regression"),
    "unreachable targets, own loss": partial(
        task, lambda: mlp(nn.Tanh(), outputs=1), train=REAL, kind="regression", loss=nn.MSELoss()
    ),
    "a class that the batch lacks": partial(
        task, lambda: mlp(outputs=3), train=(INPUTS, torch.cat([TARGETS[:190], torch.full((10,), 2)]))
    ),
}


def shown(report: Report) -> list[tuple[object, ...]]:
    """What a reader of the findings gets to see, and what they rest on."""

    def place(found: Finding) -> object:
        return found.site and (found.site.name, found.site.file, found.site.line)

    def message(found: Finding) -> str:
        return re.sub(r"\d(\.\d+)?e-1\d", "0", found.message)  # the order of the rows decides about rounding noise

    return [(one.id, one.severity, message(one), place(one), one.remedies) for one in report.findings]


@pytest.mark.parametrize("steps", [0, 60])
@pytest.mark.parametrize("case", CASES)
def test_a_task_is_diagnosed_as_check_diagnoses_its_model_and_batches(case: str, steps: int) -> None:
    subject = CASES[case]()
    model = control_model(subject, seed=3)
    data = list(islice(batches(subject, seed=3), 60))
    optimizer = OPTIMIZERS[subject.optimizer](model.parameters(), lr=(subject.rates[0] * subject.rates[1]) ** 0.5)
    own = partial(check, model, data[0], subject.loss, optimizer=optimizer, train_steps=steps, data=data)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        expected: Report = own()
    found = diagnosed(subject, seed=3, train_steps=steps)
    assert shown(found) == shown(expected)
    assert [one.evidence for one in found.findings] == [one.evidence for one in expected.findings]
    assert (found.quantities is None) is (steps == 0)


@pytest.mark.parametrize("steps", [0, 60])
@pytest.mark.parametrize("model", [softmax_before_the_loss, mlp, deep_sigmoid])
def test_a_task_of_one_batch_and_the_same_model_batch_and_loss_get_the_same_findings(
    model: Callable[[], nn.Module], steps: int
) -> None:
    subject = task(model, batch_size=200)
    own = control_model(subject, seed=0)
    optimizer = OPTIMIZERS["adam"](own.parameters(), lr=(subject.rates[0] * subject.rates[1]) ** 0.5)
    inputs, targets = next(batches(subject, seed=0))
    file, line = defined_at(subject)
    given = Subject("ready", own, inputs, targets, F.cross_entropy, optimizer, file, line)
    assert shown(diagnosed(given, train_steps=steps)) == shown(diagnosed(subject, train_steps=steps))


def test_a_task_that_cannot_learn_names_the_error_as_the_likely_cause() -> None:
    report = diagnosed(CASES["softmax before cross-entropy, too slow to learn"](), train_steps=60)
    found = {one.id: one for one in report.findings}
    assert (found["AL111"].severity, found["AL111"].evidence["likely_cause"]) == ("warning", "AL201")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The arguments that `check` gets."""
    seen: dict[str, Any] = {}

    def checked(model: nn.Module, **given: Any) -> Report:
        seen.update(given, model=model)
        return Report((finding("AL201"),), (), (), None)

    monkeypatch.setattr(control_diagnosis, "check", checked)
    return seen


def test_a_task_hands_check_its_own_model_batch_loss_and_optimizer(asked: dict[str, Any]) -> None:
    report = diagnosed(task())
    inputs, targets = asked["batch"]
    assert [one.id for one in report.findings] == ["AL201"]
    assert (inputs.shape, targets.shape, type(asked["model"]).__name__) == ((32, 4), (32,), "Net")
    assert asked["loss"] is F.cross_entropy
    assert isinstance(asked["optimizer"], torch.optim.Adam)


def test_a_factory_that_takes_the_activation_gets_the_control(asked: dict[str, Any]) -> None:
    def model(activation: Any) -> nn.Module:
        return nn.Sequential(nn.Linear(4, 8), activation(), nn.Linear(8, 2))

    diagnosed(task(model, activation="tanh"))
    assert type(asked["model"][1]) is nn.Tanh


def test_every_training_step_is_reported_and_lowers_the_loss() -> None:
    told: list[tuple[int, int]] = []
    report = diagnosed(task(), train_steps=40, progress=lambda done, total, left, label: told.append((done, total)))
    assert told == [(done, 40) for done in range(1, 41)]
    assert report.quantities is not None
    losses = [loss for _, loss in report.quantities.losses]
    assert len(losses) == 40
    assert sum(losses[-5:]) < sum(losses[:5])


def test_the_same_seed_gives_the_same_run_and_leaves_the_random_state() -> None:
    before = torch.get_rng_state()
    runs = [diagnosed(task(with_dropout), train_steps=5, seed=seed).quantities for seed in (1, 1, 2)]
    losses = [run.losses for run in runs if run is not None]
    assert losses[0] == losses[1] != losses[2]
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_of_ones_own_is_handed_on_as_it_is(asked: dict[str, Any]) -> None:
    model = functional()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    diagnosed(Subject("net.py:ready", model, INPUTS, TARGETS, None, optimizer), train_steps=5)
    assert asked["model"] is model
    assert (asked["loss"], asked["optimizer"], asked["train_steps"]) == (None, optimizer, 5)


def test_thresholds_are_handed_to_check(asked: dict[str, Any]) -> None:
    settings = Settings(most=0.9)
    diagnosed(task(), settings=settings)
    assert asked["settings"] is settings
