"""The kinds of task: the loss that a model is trained with, and the metric that it is judged by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Metric:
    """A metric, and the size of a difference that does not matter."""

    name: str
    unit: str
    larger_is_better: bool
    margin: float
    margin_is_relative: bool

    def is_better(self, value: float, than: float) -> bool:
        """Return whether the value is strictly better than another."""
        return value > than if self.larger_is_better else value < than

    def gain(self, value: float, over: float) -> float:
        """Return by how much the value is better than another: positive is better in either direction."""
        return value - over if self.larger_is_better else over - value

    def region(self, control: float) -> float:
        """Return half the width of the region of practical equivalence, given the control's metric."""
        return self.margin * abs(control) if self.margin_is_relative else self.margin


@dataclass(frozen=True)
class Kind:
    """One kind of task.

    Attributes:
        name: the name of the kind.
        loss: the loss to train with.
        metric: the metric to judge by.
        score: returns the metric from outputs, targets and the size of one unit of the targets.
        baseline: returns the metric of the best constant prediction from the training targets, the targets to score
            and the size of one unit.
    """

    name: str
    loss: Loss
    metric: Metric
    score: Callable[[Tensor, Tensor, float], float]
    baseline: Callable[[Tensor, Tensor, float], float]


def _share_right(outputs: Tensor, targets: Tensor, unit: float) -> float:
    return 100.0 * (outputs.argmax(1) == targets).double().mean().item()


def _share_right_by_sign(outputs: Tensor, targets: Tensor, unit: float) -> float:
    return 100.0 * ((outputs.reshape(-1) > 0) == (targets > 0)).double().mean().item()


def _share_of_commonest(train: Tensor, targets: Tensor, unit: float) -> float:
    return 100.0 * (targets == train.long().bincount().argmax()).double().mean().item()


def _root_mean_square_error(outputs: Tensor, targets: Tensor, unit: float) -> float:
    return unit * (outputs.reshape(targets.shape).double() - targets.double()).square().mean().sqrt().item()


def _error_of_mean(train: Tensor, targets: Tensor, unit: float) -> float:
    return unit * (targets.double() - train.double().mean(0)).square().mean().sqrt().item()


def _squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.mse_loss(outputs.reshape(targets.shape), targets)


def _logistic_error(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(outputs.reshape(-1), targets.to(outputs.dtype))


ACCURACY = Metric("accuracy", "points", True, 0.5, False)
ERROR = Metric("root mean square error", "units of the target", False, 0.02, True)

KINDS = {
    kind.name: kind
    for kind in (
        Kind("classification", F.cross_entropy, ACCURACY, _share_right, _share_of_commonest),
        Kind("binary", _logistic_error, ACCURACY, _share_right_by_sign, _share_of_commonest),
        Kind("regression", _squared_error, ERROR, _root_mean_square_error, _error_of_mean),
    )
}


def fault_of(kind: Kind, outputs: Tensor, targets: Tensor, *, classes: int) -> str:
    """Return why such outputs do not fit the loss, or an empty text if they do.

    Args:
        kind: the kind of task.
        outputs: the model's outputs for a few rows.
        targets: the targets of these rows.
        classes: the number of classes; ignored for a regression.
    """
    found = f"shape {tuple(outputs.shape)} for {len(targets)} rows"
    if not outputs.is_floating_point():
        return f"floating-point numbers are required; got {str(outputs.dtype).removeprefix('torch.')}"
    if kind.name == "classification" and (outputs.dim() != 2 or outputs.shape[1] < classes):
        return f"{classes} classes require shape ({len(targets)}, {classes}), one logit per class; got {found}"
    if kind.name == "binary" and outputs.numel() != len(targets):
        return f"a binary task requires one logit per row; got {found}"
    if kind.name == "regression" and outputs.numel() != targets.numel():
        return f"the targets require shape {tuple(targets.shape)}; got {found}"
    return ""


def kind_of(targets: Tensor) -> str:
    """Return the kind that the targets' dtype implies: integers are classes, floating-point numbers a regression."""
    return "regression" if targets.is_floating_point() else "classification"


def is_one_logit(outputs: Tensor, *, rows: int, classes: int) -> bool:
    """Return whether a model of two classes has one output per row."""
    return classes == 2 and outputs.numel() == rows and torch.is_floating_point(outputs)
