"""Metrics by name, and metrics of the user: how outputs are judged, and what a constant prediction would score."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from actlab.errors import BadTask, shortened
from actlab.train.examples import article
from actlab.train.kinds import ACCURACY, ERROR, Kind, Loss, Metric, Said
from actlab.user_code import their_code

LOSS = Metric("loss", "units of the loss", False, 0.02, True)

LOSS_ALONE = "loss alone"
"""The kind of a task that only its own loss can judge."""

UNBALANCED = 3
"""From this ratio of the commonest to the rarest class on, a constant prediction has a high accuracy."""


BINS = 15
"""Bins of the expected calibration error, of equal width."""

CALIBRATION_ERROR = Metric("expected calibration error", "points", False, 0.5, False)


@dataclass(frozen=True)
class OfClasses:
    """A metric of what outputs say about classes."""

    metric: Metric
    value: Callable[[Said], float]


@dataclass(frozen=True)
class OfNumbers:
    """A metric of numbers: from outputs, targets and the size of one unit of the targets."""

    metric: Metric
    value: Callable[[Tensor, Tensor, float], float]


def by_loss(loss: Loss) -> Kind:
    """Return the kind of a task that is judged by its own loss."""
    return Kind(LOSS_ALONE, loss, LOSS, partial(_loss, loss), None)


def with_metric(kind: Kind, metric: str | Metric, *, loss: Loss, task: str) -> Kind:
    """Return the kind, judged by another metric.

    Args:
        kind: the kind of task.
        metric: a metric, or the name of one.
        loss: the loss of the task, for the metric "loss".
        task: the name of the task, for errors.

    Raises:
        BadTask: the metric is unknown, or it is for another kind of task.
    """
    if isinstance(metric, Metric) and metric.function is not None:
        return replace(kind, metric=metric, score=partial(_by_function, metric.function, task), baseline=None)
    name = _normal(metric if isinstance(metric, str) else metric.name)
    name = OTHER_NAMES.get(name, name)
    if name == LOSS.name:
        return replace(kind, metric=LOSS, score=partial(_loss, loss), baseline=None)
    if name == _normal(kind.metric.name):
        return kind
    wanted = () if kind.name == LOSS_ALONE else (OfNumbers,) if kind.reads is None else (OfClasses,)
    fitting = {key: each for key, each in METRICS.items() if isinstance(each, wanted)}
    found = [each for key, each in fitting.items() if name in (key, _normal(each.metric.name))]
    if not found:
        names = ", ".join([*fitting, LOSS.name])
        raise BadTask(
            f"task '{task}': metric must be a function of outputs and targets, or for this kind of task"
            f" ({kind.name}) one of {names}; got '{shortened(name)}'."
        )
    return _judged(kind, found[0])


def _judged(kind: Kind, by: OfClasses | OfNumbers) -> Kind:
    if isinstance(by, OfNumbers):
        return replace(kind, metric=by.metric, score=by.value, baseline=partial(_best_number, by))
    assert kind.reads is not None
    score = partial(_score_of_classes, kind.reads, by.value)
    return replace(kind, metric=by.metric, score=score, baseline=partial(_best_class, kind.reads, by))


def check_judge(metric: Metric, *, task: str) -> None:
    """Raise `BadTask` if a metric cannot judge alone: a constant prediction is perfectly calibrated."""
    if metric == CALIBRATION_ERROR:
        raise BadTask(
            f"task '{task}': metric must be one that a constant prediction does not have best; got {metric.name}. Judge"
            " by log loss or brier, which are best for calibrated probabilities, and name ece in beside."
        )


def is_unbalanced(targets: Tensor) -> bool:
    """Return whether the commonest class has at least three times as many rows as the rarest."""
    rows = targets.flatten().long().bincount()
    rows = rows[rows > 0]
    return len(rows) > 1 and int(rows.max()) >= UNBALANCED * int(rows.min())


def _normal(name: str) -> str:
    return " ".join(name.lower().replace("-", " ").replace("_", " ").split())


def _loss(loss: Loss, outputs: Any, targets: Any, unit: float) -> float:
    return float(loss(outputs, targets))


def _by_function(function: Callable[[Any, Any], float], task: str, outputs: Any, targets: Any, unit: float) -> float:
    with their_code(f"task '{task}': the metric"):
        value = function(outputs, targets)
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadTask(f"task '{task}': the metric must return one number; got {article(value)}.") from error


def _score_of_classes(
    reads: Callable[[Tensor, Tensor], Said],
    value: Callable[[Said], float],
    outputs: Tensor,
    targets: Tensor,
    unit: float,
) -> float:
    return value(reads(outputs, targets))


def _best_class(
    reads: Callable[[Tensor, Tensor], Said], by: OfClasses, train: Tensor, targets: Tensor, unit: float
) -> float:
    """Return the metric of the constant prediction that is best on the training targets: a class, or the shares."""
    known, asked = _classes_of(train), _classes_of(targets)
    count = 1 + int(max(known.max(), asked.max()))
    rows = known.bincount(minlength=count).double().clamp_min(1)  # a class that is not in training may be asked for
    shares = rows / rows.sum()
    certain = torch.eye(count, dtype=torch.double) if count == 2 else shares.new_zeros(0, count)
    constants = torch.cat([shares[None], certain]).log()

    def value(constant: Tensor, classes: Tensor) -> float:
        return by.value(Said(constant.expand(len(classes), count), classes))

    best = max(constants, key=lambda constant: by.metric.gain(value(constant, known), over=0.0))
    return value(best, asked)


def _classes_of(targets: Tensor) -> Tensor:
    if targets.is_floating_point():
        targets = targets.argmax(1) if targets.dim() > 1 and targets.shape[1] > 1 else targets > 0
    return targets.long().flatten()


def _best_number(by: OfNumbers, train: Tensor, targets: Tensor, unit: float) -> float:
    """Return the metric of the constant prediction that is best on the training targets: the mean or the median."""
    constants = (train.mean(0, keepdim=True), train.median(0, keepdim=True).values)

    def value(constant: Tensor, asked: Tensor) -> float:
        return by.value(constant.expand_as(asked), asked, unit)

    best = max(constants, key=lambda constant: by.metric.gain(value(constant, train), over=0.0))
    return value(best, targets)


def _accuracy(said: Said) -> float:
    return 100.0 * (said.chosen == said.classes).double().mean().item()


def _counts(said: Said) -> tuple[Tensor, Tensor, Tensor]:
    """Return for each class the rows that are and are called so, those that are, and those that are called so."""
    count = said.shares.shape[1]
    right = said.classes[said.chosen == said.classes]
    return tuple(each.bincount(minlength=count).double() for each in (right, said.classes, said.chosen))  # type: ignore[return-value]  # three of them


def _over_classes(said: Said, value: Callable[[Tensor, Tensor, Tensor], Tensor]) -> float:
    """Return a metric in points: of two classes that of the second, otherwise the mean over the classes there are."""
    right, are, called = _counts(said)
    values = value(right, are, called).nan_to_num(0.0)
    return 100.0 * (values[1] if len(values) == 2 else values[are > 0].mean()).item()


def _balanced_accuracy(said: Said) -> float:
    right, are, _ = _counts(said)
    return 100.0 * (right / are)[are > 0].mean().item()


def _f1(said: Said) -> float:
    return _over_classes(said, lambda right, are, called: 2 * right / (are + called))


def _iou(said: Said) -> float:
    return _over_classes(said, lambda right, are, called: right / (are + called - right))


def _each_against_the_rest(said: Said, value: Callable[[Tensor, Tensor], float]) -> float:
    """Return a metric in points: of two classes that of the second, otherwise the mean over the classes there are."""
    present = [1] if said.shares.shape[1] == 2 else sorted(set(said.classes.tolist()))
    values = [value(said.shares[:, number], said.classes == number) for number in present]
    return 100.0 * sum(values) / len(values)


def _average_precision(said: Said) -> float:
    return _each_against_the_rest(said, _precision_over_recall)


def _precision_over_recall(scores: Tensor, is_one: Tensor) -> float:
    """Return the precision averaged over the recall; equal scores count as one step, as in scikit-learn."""
    order = scores.argsort(descending=True)
    right = is_one[order].double().cumsum(0)
    last = torch.cat([scores[order].diff() != 0, torch.tensor([True])])
    right, called = right[last], torch.arange(1, len(order) + 1)[last]
    gained = right.diff(prepend=right.new_zeros(1)) / right[-1]
    return float((gained * right / called).sum())


def _area(said: Said) -> float:
    return _each_against_the_rest(said, _share_of_pairs_in_order)


def _share_of_pairs_in_order(scores: Tensor, is_one: Tensor) -> float:
    """Return the area under the ROC curve: the share of pairs with the larger score for the one; ties count half."""
    ones, others = scores[is_one].contiguous(), scores[~is_one].sort().values
    below = torch.searchsorted(others, ones) + torch.searchsorted(others, ones, right=True)
    return float(below.double().mean() / (2 * len(others)))


def _cross_entropy(said: Said) -> float:
    return -said.shares.gather(1, said.classes[:, None]).mean().item()


def _bits(said: Said) -> float:
    return _cross_entropy(said) / math.log(2)


def _perplexity(said: Said) -> float:
    return math.exp(_cross_entropy(said))


def _brier(said: Said) -> float:
    """Return the Brier score, the mean squared error of the probabilities; of two classes that of the second alone."""
    shares = said.shares.exp()
    wrong = (shares - torch.eye(shares.shape[1], dtype=shares.dtype)[said.classes]).square()
    return (wrong[:, 1] if shares.shape[1] == 2 else wrong.sum(1)).mean().item()


def _calibration_error(said: Said) -> float:
    """Return the expected calibration error in points: how far confidence and accuracy differ, averaged over the rows.

    Source:
        Guo et al. 2017, arXiv:1706.04599: bins of equal width over the probability of the predicted class.
    """
    confidence, right = said.shares.exp().amax(1), (said.chosen == said.classes).double()
    places = (confidence * BINS).ceil().long().sub_(1).clamp_(0, BINS - 1)
    gaps = torch.zeros(BINS, dtype=torch.double).index_add_(0, places, confidence - right)
    return 100.0 * (gaps.abs().sum() / len(right)).item()


def _error(outputs: Tensor, targets: Tensor, unit: float) -> float:
    return unit * (outputs.reshape(targets.shape).double() - targets.double()).square().mean().sqrt().item()


def _absolute_error(outputs: Tensor, targets: Tensor, unit: float) -> float:
    return unit * (outputs.reshape(targets.shape).double() - targets.double()).abs().mean().item()


def _explained(outputs: Tensor, targets: Tensor, unit: float) -> float:
    wrong = (outputs.reshape(targets.shape).double() - targets.double()).square().sum()
    around = (targets.double() - targets.double().mean(0)).square().sum()
    return 100.0 * (1 - wrong / around).item()


def _points(name: str) -> Metric:
    return Metric(name, "points", True, 0.5, False, is_share=True)


METRICS: dict[str, OfClasses | OfNumbers] = {
    "accuracy": OfClasses(ACCURACY, _accuracy),
    "balanced accuracy": OfClasses(_points("balanced accuracy"), _balanced_accuracy),
    "average precision": OfClasses(_points("average precision"), _average_precision),
    "roc auc": OfClasses(_points("area under the ROC curve"), _area),
    "f1": OfClasses(_points("F1"), _f1),
    "dice": OfClasses(_points("Dice coefficient"), _f1),
    "iou": OfClasses(_points("intersection over union"), _iou),
    "cross entropy": OfClasses(Metric("cross-entropy", "nats", False, 0.02, True), _cross_entropy),
    "bits": OfClasses(Metric("cross-entropy per target", "bits", False, 0.02, True), _bits),
    "perplexity": OfClasses(Metric("perplexity", "equally likely choices", False, 0.02, True), _perplexity),
    "brier": OfClasses(Metric("Brier score", "squared probability", False, 0.02, True), _brier),
    "ece": OfClasses(CALIBRATION_ERROR, _calibration_error),
    "rmse": OfNumbers(ERROR, _error),
    "mae": OfNumbers(Metric("mean absolute error", "units of the target", False, 0.02, True), _absolute_error),
    "r2": OfNumbers(Metric("explained variance R²", "points", True, 0.5, False), _explained),
}

OTHER_NAMES = {"log loss": "cross entropy"}

CALIBRATION = ("cross entropy", "brier", "ece")
"""The metrics that judge the probabilities of the classes, not only the choice of one."""
