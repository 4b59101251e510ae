"""Gradient boosting is fitted to the task's own training rows and judged by the task's own metric."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import average_precision_score, balanced_accuracy_score
from torch import nn

from actlab.train.boosting import boosted, boosted_sentence
from actlab.train.builtin import builtin_task
from actlab.train.task import Task

NOISE = torch.Generator().manual_seed(0)
INPUTS = torch.randn(300, 4, generator=NOISE)
BITS = (INPUTS[:, 0] * INPUTS[:, 1] + torch.randn(300, generator=NOISE) / 4 > 0.5).long()


def net(outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, outputs))


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = net(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


def fitted(task: Task) -> HistGradientBoostingClassifier:
    model = HistGradientBoostingClassifier(random_state=0)
    return model.fit(task.train.inputs.numpy(), task.train.targets.numpy().reshape(-1))


@pytest.mark.parametrize("outputs", [1, 2])
def test_classes_are_judged_by_the_metric_of_the_task(outputs: int) -> None:
    task = Task("t", lambda: net(outputs), train=(INPUTS, BITS), metric="balanced accuracy")
    said = fitted(task).predict(task.test.inputs.numpy())
    assert boosted(task) == pytest.approx(100 * balanced_accuracy_score(task.test.targets, said))
    task = Task("t", lambda: net(outputs), train=(INPUTS, BITS), metric="average precision")
    shares = fitted(task).predict_proba(task.test.inputs.numpy())[:, 1]
    assert boosted(task) == pytest.approx(100 * average_precision_score(task.test.targets, shares))


def test_probabilities_are_judged_as_the_loss_takes_them() -> None:
    model = lambda: nn.Sequential(net(1), nn.Sigmoid())  # noqa: E731  # as short as a user writes it
    task = Task("t", model, train=(INPUTS, BITS[:, None].float()), loss=nn.BCELoss())
    right = fitted(task).predict(task.test.inputs.numpy()) == task.test.targets.numpy()[:, 0]
    assert boosted(task) == pytest.approx(100 * right.mean())


def test_numbers_are_judged_in_reported_units() -> None:
    task = builtin_task("diabetes")
    model = HistGradientBoostingRegressor(random_state=0).fit(task.train.inputs.numpy(), task.train.targets.numpy())
    wrong = model.predict(task.test.inputs.numpy()) - task.test.targets.numpy()
    assert boosted(task) == pytest.approx(task.target_unit * np.sqrt((wrong**2).mean()))


def test_splits_are_averaged() -> None:
    task = builtin_task("breast-cancer")
    each = [boosted(task.with_split(number)) for number in (0, 3)]
    assert boosted(task, splits=(0, 3)) == pytest.approx(np.mean(each))
    assert each[0] != each[1]


def test_a_class_that_training_lacks_is_never_said() -> None:
    kinds = torch.cat([BITS[:200], torch.full((100,), 2)])
    task = Task("t", lambda: net(3), train=(INPUTS[:200], BITS[:200]), valid=(INPUTS, kinds), test=(INPUTS, kinds))
    assert 50 < boosted(task) < 67


@pytest.mark.parametrize(
    "task",
    [
        Task("images", lambda: nn.Sequential(nn.Flatten(), net(2)), train=(INPUTS[:, None], BITS)),
        Task("labels", lambda: net(4), train=(INPUTS, (INPUTS > 0).long())),
        Task("numbers", lambda: net(4), train=(INPUTS, INPUTS)),
        Task("classes", lambda: net(20), train=(INPUTS, torch.arange(300) % 20)),
        Task("keywords", Named, train=({"x": INPUTS}, BITS)),
    ],
    ids=lambda task: task.name,
)
def test_other_tasks_have_no_such_yardstick(task: Task) -> None:
    assert boosted(task) is None


def test_a_network_far_behind_is_said_to_be() -> None:
    task = builtin_task("digits-relu")
    near = boosted_sentence(task, 94.7, network=94.0)
    said = "Gradient boosting (scikit-learn, default settings) has 94.7 points on the same test rows;"
    assert near == f"{said} the best network has 94."
    assert "far behind it, so its activation is not the question" in boosted_sentence(task, 94.7, network=76.0)
    assert "far behind" not in boosted_sentence(task, 76.0, network=94.7)
    loss = builtin_task("diabetes")
    assert "far behind" in boosted_sentence(loss, 50.0, network=70.0)
    assert "far behind" not in boosted_sentence(loss, 70.0, network=50.0)
