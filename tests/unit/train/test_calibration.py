"""Calibration: Brier score and log loss as scikit-learn has them, the expected calibration error by hand."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from sklearn.metrics import brier_score_loss, log_loss
from torch import nn

from actlab.errors import BadTask
from actlab.train.kinds import KINDS
from actlab.train.metrics import with_metric
from actlab.train.mlp import mlp
from actlab.train.task import Task
from unit.study.small_task import ring


def score(metric: str, outputs: torch.Tensor, targets: torch.Tensor, *, kind: str = "classification") -> float:
    chosen = KINDS[kind]
    return with_metric(chosen, metric, loss=chosen.loss, task="x").score(outputs, targets, 1.0)


@pytest.mark.parametrize("classes", [2, 5])
def test_log_loss_and_brier_score_are_those_of_scikit_learn(classes: int) -> None:
    outputs, targets = torch.randn(300, classes, dtype=torch.double) * 3, torch.randint(classes, (300,))
    shares = outputs.softmax(1).numpy()
    given = shares[:, 1] if classes == 2 else shares
    assert score("log loss", outputs, targets) == pytest.approx(log_loss(targets, shares))
    assert score("brier", outputs, targets) == pytest.approx(brier_score_loss(targets, given))


def test_one_logit_and_two_logits_say_the_same() -> None:
    logit, targets = torch.randn(200) * 2, torch.randint(2, (200,))
    both = torch.stack([torch.zeros(200), logit], 1)
    for metric in ("log loss", "brier", "ece"):
        one = score(metric, logit, targets, kind="binary")
        assert one == pytest.approx(score(metric, both, targets), rel=1e-6)


def test_the_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    # Four rows at 90 % of which three are right, and four at 60 % of which one is: (4 * .15 + 4 * .35) / 8.
    shares = torch.tensor([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 4, dtype=torch.double)
    targets = torch.tensor([0, 0, 0, 1, 0, 1, 1, 1])
    assert score("ece", shares.log(), targets) == pytest.approx(25.0)


def test_calibrated_probabilities_have_a_small_error_and_overconfident_ones_a_large_one() -> None:
    logits = torch.randn(20_000, 3, dtype=torch.double)
    targets = torch.multinomial(logits.softmax(1), 1).flatten()
    assert score("ece", logits, targets) < 2 < 10 < score("ece", 4 * logits, targets)


def test_a_task_is_judged_by_log_loss_or_brier_score_but_not_by_the_calibration_error() -> None:
    task = ring(metric="brier", beside=("log loss", "ece"))
    assert task.metric.name == "Brier score"
    assert not task.metric.larger_is_better
    assert [metric.name for metric in task.beside] == ["cross-entropy", "expected calibration error"]
    with pytest.raises(BadTask, match=r"got expected calibration error\. Judge by log loss or brier"):
        ring(metric="ece")


def test_numbers_have_no_calibration() -> None:
    with pytest.raises(BadTask, match="for this kind of task"):
        Task(
            "numbers", partial(mlp, nn.ReLU, sizes=(2, 4, 1)), train=(torch.randn(60, 2), torch.randn(60)), metric="ece"
        )
