"""Metrics by name agree with scikit-learn; metrics of the user are called; constants and imbalance are judged."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as judge
from torch import Tensor, nn
from torch.nn import functional as F

from actlab.errors import BadTask
from actlab.train.kinds import KINDS, OF_SHARES
from actlab.train.metrics import METRICS, OfNumbers, is_unbalanced, with_metric
from actlab.train.task import Task

CHANCE = np.random.default_rng(0)
CLASSES = torch.tensor(CHANCE.choice(4, 200, p=[0.5, 0.3, 0.15, 0.05]))
LOGITS = torch.tensor(CHANCE.normal(size=(200, 4))) + 2.0 * F.one_hot(CLASSES, 4)
BITS = (CLASSES > 1).long()
LOGIT = torch.tensor(CHANCE.normal(size=(200, 1)) * 4).round() / 4 + BITS[:, None]  # with many equal scores
NUMBERS = torch.tensor(CHANCE.normal(size=(200, 1)))
GUESSES = NUMBERS + torch.tensor(CHANCE.normal(size=(200, 1)))


def scored(kind: str, metric: str, outputs: Tensor, targets: Tensor, unit: float = 1.0) -> float:
    return with_metric(KINDS[kind], metric, loss=KINDS[kind].loss, task="t").score(outputs, targets, unit)


def binned(right: Any, confidence: Any) -> float:
    """Return the expected calibration error with fifteen bins."""
    right, confidence = np.asarray(right), np.asarray(confidence)
    bins = [(confidence > low / 15) & (confidence <= (low + 1) / 15) for low in range(15)]
    return 100 * sum(each.mean() * abs(right[each].mean() - confidence[each].mean()) for each in bins if each.any())


OF_MANY = {
    "accuracy": lambda said, shares: 100 * judge.accuracy_score(CLASSES, said),
    "balanced accuracy": lambda said, shares: 100 * judge.balanced_accuracy_score(CLASSES, said),
    "f1": lambda said, shares: 100 * judge.f1_score(CLASSES, said, average="macro"),
    "dice": lambda said, shares: 100 * judge.f1_score(CLASSES, said, average="macro"),
    "iou": lambda said, shares: 100 * judge.jaccard_score(CLASSES, said, average="macro"),
    "average precision": lambda said, shares: 100 * judge.average_precision_score(np.eye(4)[CLASSES], shares),
    "roc auc": lambda said, shares: 100 * judge.roc_auc_score(CLASSES, shares, multi_class="ovr"),
    "cross entropy": lambda said, shares: judge.log_loss(CLASSES, shares),
    "bits": lambda said, shares: judge.log_loss(CLASSES, shares) / np.log(2),
    "perplexity": lambda said, shares: np.exp(judge.log_loss(CLASSES, shares)),
    "brier": lambda said, shares: judge.brier_score_loss(CLASSES, shares),
    "ece": lambda said, shares: binned(said == CLASSES, shares.amax(1)),
}
OF_TWO = {
    "accuracy": lambda said, share: 100 * judge.accuracy_score(BITS, said),
    "balanced accuracy": lambda said, share: 100 * judge.balanced_accuracy_score(BITS, said),
    "f1": lambda said, share: 100 * judge.f1_score(BITS, said),
    "dice": lambda said, share: 100 * judge.f1_score(BITS, said),
    "iou": lambda said, share: 100 * judge.jaccard_score(BITS, said),
    "average precision": lambda said, share: 100 * judge.average_precision_score(BITS, share),
    "roc auc": lambda said, share: 100 * judge.roc_auc_score(BITS, share),
    "cross entropy": lambda said, share: judge.log_loss(BITS, share),
    "bits": lambda said, share: judge.log_loss(BITS, share) / np.log(2),
    "perplexity": lambda said, share: np.exp(judge.log_loss(BITS, share)),
    "brier": lambda said, share: judge.brier_score_loss(BITS, share),
    "ece": lambda said, share: binned(said == BITS, torch.maximum(share, 1 - share)),
}
OF_NUMBERS = {
    "rmse": lambda: judge.root_mean_squared_error(NUMBERS, GUESSES),
    "mae": lambda: judge.mean_absolute_error(NUMBERS, GUESSES),
    "r2": lambda: 100 * judge.r2_score(NUMBERS, GUESSES),
}


def test_every_metric_is_compared_below() -> None:
    assert set(METRICS) == set(OF_MANY) | set(OF_NUMBERS)
    assert set(OF_TWO) == set(OF_MANY)
    assert {name for name, each in METRICS.items() if isinstance(each, OfNumbers)} == set(OF_NUMBERS)


@pytest.mark.parametrize("name", OF_MANY)
def test_a_metric_of_classes_is_that_of_scikit_learn(name: str) -> None:
    expected = OF_MANY[name](LOGITS.argmax(1), LOGITS.softmax(1))
    assert scored("classification", name, LOGITS, CLASSES) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", OF_TWO)
def test_a_metric_of_two_classes_is_that_of_scikit_learn(name: str) -> None:
    expected = OF_TWO[name]((LOGIT > 0).flatten().long(), LOGIT.sigmoid().flatten())
    assert scored("binary", name, LOGIT, BITS) == pytest.approx(expected, abs=1e-9)
    two_logits = torch.cat([torch.zeros_like(LOGIT), LOGIT], 1)
    assert scored("classification", name, two_logits, BITS) == pytest.approx(expected, abs=1e-9)
    of_shares = with_metric(OF_SHARES, name, loss=F.binary_cross_entropy, task="t")
    assert of_shares.score(LOGIT.sigmoid(), BITS.float(), 1.0) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", OF_NUMBERS)
def test_a_metric_of_numbers_is_that_of_scikit_learn(name: str) -> None:
    expected = OF_NUMBERS[name]()
    assert scored("regression", name, GUESSES, NUMBERS) == pytest.approx(expected)
    scaled = scored("regression", name, GUESSES, NUMBERS, unit=10.0)
    assert scaled == pytest.approx(expected if name == "r2" else 10 * expected)


@pytest.mark.parametrize("name", OF_TWO)
def test_the_baseline_is_the_best_constant_of_the_training_targets(name: str) -> None:
    kind = with_metric(KINDS["binary"], name, loss=KINDS["binary"].loss, task="t")
    assert kind.baseline is not None
    share = BITS.double().mean().item()
    entropy = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    expected = {
        "accuracy": 100 * (1 - share),
        "balanced accuracy": 50.0,
        "f1": 200 * share / (1 + share),
        "dice": 200 * share / (1 + share),
        "iou": 100 * share,
        "average precision": 100 * share,
        "roc auc": 50.0,
        "cross entropy": entropy,
        "bits": entropy / np.log(2),
        "perplexity": np.exp(entropy),
        "brier": share * (1 - share),
        "ece": 0.0,
    }
    assert kind.baseline(BITS, BITS, 1.0) == pytest.approx(expected[name])


def test_the_baseline_is_finite_for_a_class_that_training_lacks() -> None:
    kind = with_metric(KINDS["classification"], "bits", loss=F.cross_entropy, task="t")
    assert kind.baseline is not None
    assert kind.baseline(torch.tensor([0, 0, 1]), torch.tensor([3]), 1.0) == pytest.approx(np.log2(5))


def test_the_baseline_of_numbers_is_their_mean_or_their_median() -> None:
    skewed = NUMBERS.exp()
    kind = with_metric(KINDS["regression"], "mae", loss=KINDS["regression"].loss, task="t")
    assert kind.baseline is not None
    assert kind.baseline(skewed, skewed, 1.0) == pytest.approx((skewed - skewed.median()).abs().mean().item())
    kind = with_metric(KINDS["regression"], "r2", loss=KINDS["regression"].loss, task="t")
    assert kind.baseline is not None
    assert kind.baseline(skewed, skewed, 1.0) == pytest.approx(0.0, abs=1e-9)


def rows(count: int = 120, *, rare: int = 5) -> tuple[Tensor, Tensor]:
    inputs = torch.randn(count, 4, generator=torch.Generator().manual_seed(0))
    return inputs, (torch.arange(count) % rare == 0).long()


def net(outputs: int = 2) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, outputs))


def test_a_metric_is_named() -> None:
    task = Task("t", net, train=rows(), metric="Balanced-accuracy")
    assert (task.metric.name, task.metric.unit, task.region(50.0)) == ("balanced accuracy", "points", 12.5)
    assert task.baseline(task.test) == 50.0
    right = F.one_hot(task.test.targets, 2).float()
    assert task.score(right, task.test) == 100.0
    assert replace(task, epochs=3).metric == task.metric
    assert replace(task, metric="accuracy").score(right, task.test) == 100.0
    assert pickle.loads(pickle.dumps(task)).baseline(task.test) == 50.0


def closeness(outputs: Tensor, targets: Tensor) -> float:
    return -float((outputs[:, 1] - targets).abs().mean())


def test_a_metric_is_a_function() -> None:
    task = Task("t", net, train=rows(), metric=closeness)
    assert (task.metric.name, task.metric.larger_is_better, task.metric.margin) == ("closeness", True, 0.02)
    outputs = torch.stack([torch.zeros(24), task.test.targets.float()], 1)
    assert task.score(outputs, task.test) == 0.0
    assert task.baseline(task.test) < 0.0
    assert task.baseline_name == "an untrained model"
    assert not Task("t", net, train=rows(), metric=closeness, larger_is_better=False).metric.larger_is_better
    assert replace(task, epochs=3).score(outputs, task.test) == 0.0
    assert pickle.loads(pickle.dumps(task)).score(outputs, task.test) == 0.0


def test_the_loss_is_a_metric() -> None:
    task = Task("t", net, train=rows(), metric="loss")
    assert not task.metric.larger_is_better
    assert task.score(torch.zeros(24, 2), task.test) == pytest.approx(np.log(2))


def raises(outputs: Tensor, targets: Tensor) -> float:
    raise RuntimeError("no such unit")


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("mae", r"for this kind of task \(classification\) one of accuracy, balanced accuracy"),
        ("acuracy", r"metric must be a function .* got 'acuracy'"),
        (raises, "the metric raised RuntimeError: no such unit"),
        (lambda outputs, targets: "good", "the metric must return one number; got 'good'"),
        (lambda outputs, targets: outputs, "the metric must return one number; got a tensor"),
        (
            lambda outputs, targets: float("nan"),
            "of an untrained model must be finite on validation and test rows; got nan",
        ),
    ],
    ids=["kind", "unknown", "raises", "text", "tensor", "nan"],
)
def test_a_faulty_metric_is_refused(metric: Any, message: str) -> None:
    with pytest.raises(BadTask, match=message):
        Task("t", net, train=rows(), metric=metric)


def test_a_metric_that_a_part_leaves_undefined_is_refused() -> None:
    inputs, targets = rows()
    parts = {"train": (inputs, targets), "valid": (inputs, targets), "test": (inputs, targets * 0)}
    with pytest.raises(BadTask, match="area under the ROC curve of a constant prediction must be finite on validation"):
        Task("t", net, **parts, metric="roc auc")


def test_another_kind_has_its_own_metric() -> None:
    task = Task("t", lambda: net(1), train=rows())
    other = replace(task, kind="regression")
    assert (task.metric.name, len(task.beside)) == ("accuracy", 2)
    assert (other.metric.name, other.beside) == ("root mean square error", ())


def test_the_metric_belongs_to_the_fingerprint() -> None:
    named = [Task("t", net, train=rows(), metric=metric) for metric in (None, "accuracy", "f1", closeness)]
    prints = [task.fingerprint() for task in named]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3
    assert len({task.contents()["the metric"] for task in named}) == 3


def test_unbalanced_classes_have_other_metrics_beside_accuracy() -> None:
    task = Task("t", net, train=rows())
    assert [each.name for each in task.beside] == ["balanced accuracy", "average precision"]
    constant = torch.tensor([1.0, 0.0]).expand(24, 2)
    assert task.scores(constant, task.test) == pytest.approx(
        {"accuracy": 79.17, "balanced accuracy": 50.0, "average precision": 20.83}, abs=0.01
    )
    assert "81 % of the training rows are of the commonest of 2 classes" in task.beside_sentence
    inputs, targets = rows()
    common_one = Task("t", net, train=(inputs, 1 - targets))
    assert [each.name for each in common_one.beside] == ["balanced accuracy"]
    balanced = Task("t", net, train=rows(rare=2))
    assert (balanced.beside, balanced.beside_sentence) == ((), "")
    chosen = Task("t", net, train=rows(rare=2), beside=("f1", "cross-entropy"))
    assert list(chosen.scores(constant, chosen.test)) == ["accuracy", "F1", "cross-entropy"]


@pytest.mark.parametrize(
    ("counts", "expected"), [((30, 10), True), ((29, 10), False), ((30, 30, 10), True), ((9,), False)]
)
def test_classes_are_unbalanced_from_a_ratio_of_three(counts: tuple[int, ...], expected: bool) -> None:
    targets = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    assert is_unbalanced(targets) is expected
