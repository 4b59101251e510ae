"""The kinds of task: the loss that a model is trained with, and the metric that it is judged by."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

Loss = Callable[[Any, Any], Tensor]
"""A function of outputs and targets, of whatever form the model and the task have."""


FEWEST_TARGETS = 3
"""A share of right answers is not compared more finely than by so many test targets."""


POINTS = "points"

OWN_UNITS = "its own units"
"""The unit of a metric of the user's: it is not repeated after every number."""


def after_number(unit: str) -> str:
    """Return what follows a number with this unit.

    Example:
        >>> after_number("points"), after_number(OWN_UNITS)
        (' points', '')
    """
    return "" if unit == OWN_UNITS else f" {unit}"


@dataclass(frozen=True)
class Metric:
    """A metric, and the size of a difference that does not matter.

    Attributes:
        name: the name.
        unit: the unit of its values.
        larger_is_better: whether a larger value is better.
        margin: half the width of the region of practical equivalence.
        margin_is_relative: whether the margin is a share of the control's value.
        is_share: whether the metric is a share of right answers in percent, which moves in steps of one answer.
        function: the user's function of outputs and targets, if the metric is one.
    """

    name: str
    unit: str
    larger_is_better: bool
    margin: float
    margin_is_relative: bool
    is_share: bool = False
    function: Callable[[Any, Any], float] | None = field(default=None, compare=False, repr=False)

    def places(self, region: float) -> int:
        """Return the number of decimal places for values of the metric.

        Points have two; another unit has two digits beyond the region of practical equivalence.

        Example:
            >>> ACCURACY.places(0.5), ERROR.places(1.07), ERROR.places(0.004)
            (2, 2, 5)
        """
        if self.unit == POINTS or not 0 < region < math.inf:
            return 2
        return min(9, max(0, 2 - math.floor(math.log10(region))))

    def is_better(self, value: float, than: float) -> bool:
        """Return whether the value is strictly better than another."""
        return value > than if self.larger_is_better else value < than

    def gain(self, value: float, over: float) -> float:
        """Return by how much the value is better than another: positive is better in either direction."""
        return value - over if self.larger_is_better else over - value

    def region(self, control: float, *, targets: int | None = None) -> float:
        """Return half the width of the region of practical equivalence.

        Args:
            control: the control's metric.
            targets: the number of targets that it was measured on; a share of right answers has a region of at least
                three of them.

        Example:
            >>> ACCURACY.region(90.0), ACCURACY.region(90.0, targets=60), ERROR.region(2.0, targets=60)
            (0.5, 5.0, 0.04)
        """
        region = self.margin * abs(control) if self.margin_is_relative else self.margin
        return max(region, 100.0 * FEWEST_TARGETS / targets) if self.is_share and targets else region


CONSTANT, UNTRAINED = "the best constant prediction", "an untrained model"
"""What has learned nothing: by its metric is judged whether an arm learned, and a run that diverged has it."""


@dataclass(frozen=True)
class Kind:
    """One kind of task.

    Attributes:
        name: the name of the kind.
        loss: the loss to train with.
        metric: the metric to judge by.
        score: returns the metric from outputs, targets and the size of one unit of the targets.
        baseline: returns the metric of the best constant prediction from the training targets, the targets to score
            and the size of one unit; None if no constant is a prediction.
        reads: returns what the outputs say about the classes; None unless this is a classification.
    """

    name: str
    loss: Loss
    metric: Metric
    score: Callable[[Any, Any, float], float]
    baseline: Callable[[Any, Any, float], float] | None
    reads: Callable[[Tensor, Tensor], Said] | None = None


@dataclass(frozen=True)
class Said:
    """What outputs say about the classes.

    Attributes:
        shares: the logarithm of each class's probability, one row per target.
        classes: the right class of each target.
    """

    shares: Tensor
    classes: Tensor

    @property
    def chosen(self) -> Tensor:
        """The most probable class of each target."""
        return self.shares.argmax(1)


def _share_right(outputs: Tensor, targets: Tensor, unit: float) -> float:
    axis = class_axis(outputs, targets) or 1
    return 100.0 * (outputs.argmax(axis) == _classes(targets)).double().mean().item()


def _share_right_by_sign(outputs: Tensor, targets: Tensor, unit: float) -> float:
    return 100.0 * ((outputs.reshape(-1) > 0) == (targets.reshape(-1) > 0)).double().mean().item()


def _share_right_by_half(outputs: Tensor, targets: Tensor, unit: float) -> float:
    return _share_right_by_sign(outputs - 0.5, targets, unit)


def _share_of_commonest(train: Tensor, targets: Tensor, unit: float) -> float:
    commonest = _classes(train).long().flatten().bincount().argmax()
    return 100.0 * (_classes(targets) == commonest).double().mean().item()


def _share_of_commonest_bit(train: Tensor, targets: Tensor, unit: float) -> float:
    commonest = train.long().flatten().bincount().argmax()
    return 100.0 * (targets.reshape(-1) == commonest).double().mean().item()


def _classes(targets: Tensor) -> Tensor:
    """Return the classes; of a probability for each class, the most probable."""
    return targets.argmax(1) if targets.is_floating_point() else targets


def class_axis(outputs: Tensor, targets: Tensor) -> int | None:
    """Return the axis of the outputs that holds the classes; None if they do not fit the targets."""
    if targets.is_floating_point():
        return 1 if outputs.shape == targets.shape and outputs.dim() > 1 else None
    if outputs.dim() > 1 and outputs.shape[:1] + outputs.shape[2:] == targets.shape:
        return 1
    return -1 if outputs.dim() > 1 and outputs.shape[:-1] == targets.shape else None


def _said_by_logits(outputs: Tensor, targets: Tensor) -> Said:
    axis = class_axis(outputs, targets) or 1
    logits = outputs.movedim(axis, -1).flatten(0, -2)
    return Said(logits.double().log_softmax(1), _classes(targets).flatten())


def _said_by_logit(outputs: Tensor, targets: Tensor) -> Said:
    logit = outputs.double().flatten()
    return Said(torch.stack([F.logsigmoid(-logit), F.logsigmoid(logit)], 1), (targets > 0).long().flatten())


def _said_by_share(outputs: Tensor, targets: Tensor) -> Said:
    share = outputs.double().flatten()
    return Said(torch.stack([1 - share, share], 1).clamp_min(0).log(), (targets > 0).long().flatten())


def cross_entropy_along_last(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of outputs whose last axis holds the classes, as language models have it."""
    return F.cross_entropy(outputs.flatten(0, -2), targets.flatten())


def _root_mean_square_error(outputs: Tensor, targets: Tensor, unit: float) -> float:
    return unit * (outputs.reshape(targets.shape).double() - targets.double()).square().mean().sqrt().item()


def _error_of_mean(train: Tensor, targets: Tensor, unit: float) -> float:
    return unit * (targets.double() - train.double().mean(0)).square().mean().sqrt().item()


def _squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.mse_loss(outputs.reshape(targets.shape), targets)


def _logistic_error(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(outputs.reshape(-1), targets.reshape(-1).to(outputs.dtype))


ACCURACY = Metric("accuracy", "points", True, 0.5, False, is_share=True)
ERROR = Metric("root mean square error", "units of the target", False, 0.02, True)

KINDS = {
    kind.name: kind
    for kind in (
        Kind("classification", F.cross_entropy, ACCURACY, _share_right, _share_of_commonest, _said_by_logits),
        Kind("binary", _logistic_error, ACCURACY, _share_right_by_sign, _share_of_commonest_bit, _said_by_logit),
        Kind("regression", _squared_error, ERROR, _root_mean_square_error, _error_of_mean),
    )
}

# With a loss that takes probabilities: an output above one half says yes.
OF_SHARES = Kind(
    "binary", F.binary_cross_entropy, ACCURACY, _share_right_by_half, _share_of_commonest_bit, _said_by_share
)

# The kind of task for which PyTorch's losses are, by the names of their functions.
_KINDS_OF_LOSSES = {
    "binary_cross_entropy_with_logits": KINDS["binary"],
    "binary_cross_entropy": OF_SHARES,
    "cross_entropy": KINDS["classification"],
    "nll_loss": KINDS["classification"],
    "multi_margin_loss": KINDS["classification"],
    "mse_loss": KINDS["regression"],
    "l1_loss": KINDS["regression"],
    "smooth_l1_loss": KINDS["regression"],
    "huber_loss": KINDS["regression"],
    "poisson_nll_loss": KINDS["regression"],
    "gaussian_nll_loss": KINDS["regression"],
}


def kind_of_loss(loss: Loss, outputs: Tensor, targets: Tensor) -> tuple[Kind, str] | None:
    """Return the kind of task that a loss is for, and the function that tells; None if it calls none that does.

    Example:
        >>> found = kind_of_loss(lambda o, t: 2 * F.mse_loss(o, t), torch.ones(2), torch.zeros(2))
        >>> found[0].name, found[1]
        ('regression', 'mse_loss')
    """
    called = _Called()
    for wanted in (targets, targets.float()):
        with called, suppress(Exception):  # the user's code; what it raises is reported when it is checked
            loss(outputs.detach(), wanted)
            break
    known = [(_KINDS_OF_LOSSES[name], name) for name in called.names if name in _KINDS_OF_LOSSES]
    return known[0] if len({kind.name for kind, _ in known}) == 1 else None


class _Called(TorchFunctionMode):
    """Note the names of the functions that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[str, None] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.names[getattr(func, "__name__", "")] = None
        return func(*args, **(kwargs or {}))


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
    axis = class_axis(outputs, targets) if kind.name == "classification" else None
    if kind.name == "classification" and (axis is None or outputs.shape[axis] < classes):
        if targets.is_floating_point():
            return f"probabilities of classes require outputs of shape {tuple(targets.shape)}; got {found}"
        shape = ", ".join(map(str, (len(targets), classes, *targets.shape[1:])))
        return f"{classes} classes require shape ({shape}), one logit per class; got {found}"
    if kind.name == "binary" and outputs.numel() != targets.numel():
        each = "row" if targets.numel() == len(targets) else "target"
        return f"a binary task requires one logit per {each}; got {found}"
    if kind.name == "regression" and outputs.numel() != targets.numel():
        return f"the targets require shape {tuple(targets.shape)}; got {found}"
    return ""


def kind_of(targets: Tensor) -> str:
    """Return the kind that the targets' dtype implies: integers are classes, floating-point numbers a regression."""
    return "regression" if targets.is_floating_point() else "classification"


def is_one_logit(outputs: Tensor, *, targets: int, classes: int) -> bool:
    """Return whether a model of two classes has one output per target."""
    return classes == 2 and outputs.numel() == targets and torch.is_floating_point(outputs)
