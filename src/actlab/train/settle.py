"""Choose the kind of a task from its loss, its targets and what its model returns, and check that they fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from actlab.errors import BadTask
from actlab.train.examples import Examples, article
from actlab.train.factory import FEW
from actlab.train.kinds import (
    KINDS,
    OWN_UNITS,
    Kind,
    Loss,
    Metric,
    class_axis,
    cross_entropy_along_last,
    fault_of,
    is_one_logit,
    kind_of,
    kind_of_loss,
)
from actlab.train.metrics import LOSS_ALONE, by_loss, is_unbalanced


@dataclass(frozen=True)
class Settled:
    """The kind and the loss of a task, and a note of why, if the user named neither."""

    kind: Kind
    loss: Loss
    note: str = ""


def settled(train: Examples, outputs: Any, *, kind: str, loss: Loss | None, classes: int, task: str) -> Settled:
    """Return kind and loss of a task.

    Args:
        train: the training part.
        outputs: the model's outputs for its first rows.
        kind: the name of the kind, or an empty text.
        loss: the loss of the user.
        classes: the number of classes, if the targets are integers.
        task: the name of the task, for errors.

    Raises:
        BadTask: the kind cannot be chosen.
    """
    few = train.first(FEW)
    if not isinstance(outputs, Tensor) or not isinstance(train.targets, Tensor):
        return _judged_by_loss(outputs, few, kind=kind, loss=loss, task=task)
    found = kind_of_loss(loss, outputs, few.targets) if loss is not None and kind in ("", "binary") else None
    if found is not None and found[0].name == "regression" and outputs.numel() != few.targets.numel():
        found = None  # the loss fits neither the outputs nor the targets, or reads them in a way of its own
    if found is not None and loss is not None and kind in ("", found[0].name):
        of_loss, function = found
        what = "a binary task" if of_loss.name == "binary" else of_loss.name
        note = f"The loss calls {function}, so this is {what}, judged by {of_loss.metric.name}."
        return Settled(of_loss, loss, "" if kind else note)
    if kind:
        implied = KINDS[kind]
    else:
        one_logit = is_one_logit(outputs, targets=few.targets.numel(), classes=classes)
        implied = KINDS["binary" if one_logit else kind_of(few.targets)]
    if loss is not None:
        if not kind and (train.targets is train.inputs or fault_of(implied, outputs, few.targets, classes=classes)):
            return Settled(
                by_loss(loss), loss, _note_on_loss("The outputs fit neither classes nor numbers of the targets")
            )
        if not kind:
            _refuse_bits(train.targets, task=task)
        return Settled(implied, loss)
    axis = class_axis(outputs, few.targets) if implied.name == "classification" else None
    return Settled(implied, cross_entropy_along_last if axis == -1 and outputs.dim() > 2 else implied.loss)


def _judged_by_loss(outputs: Any, few: Examples, *, kind: str, loss: Loss | None, task: str) -> Settled:
    what = "outputs" if not isinstance(outputs, Tensor) else "targets"
    found = article(outputs if what == "outputs" else few.targets)
    if loss is None and what == "outputs":
        raise BadTask(
            f"task '{task}': the model must return one tensor; got {found}. Pass a loss= that takes it, or wrap the"
            " model in a module that returns one."
        )
    if loss is None:
        raise BadTask(f"task '{task}': loss must be a function of the outputs and the targets, which are {found}.")
    if kind:
        raise BadTask(f"task '{task}': kind='{kind}' requires {what} that are one tensor; got {found}. Leave it out.")
    return Settled(by_loss(loss), loss, _note_on_loss(f"The {what} are {found}"))


def _note_on_loss(why: str) -> str:
    return f"{why}, so this is judged by its own loss; metric= names another metric."


def as_asked(parts: Mapping[str, Examples], *, kind: str) -> dict[str, Examples]:
    """Convert the targets to floating point for a regression."""
    if kind != "regression":
        return dict(parts)
    return {name: replace(part, targets=part.targets.float()) for name, part in parts.items()}


def check_fit(outputs: Any, few: Examples, *, kind: Kind, classes: int, task: str) -> None:
    """Raise `BadTask` unless these outputs fit the kind of task."""
    if kind.name == LOSS_ALONE:
        return
    if not isinstance(outputs, Tensor):
        raise BadTask(f"task '{task}': the model must return one tensor; got {article(outputs)}.")
    fault = fault_of(kind, outputs, few.targets, classes=classes)
    if fault:
        raise BadTask(f"task '{task}': the model's output does not fit the loss: {fault}.")


def check_targets(targets: Any, *, kind: Kind, task: str) -> None:
    """Raise `BadTask` unless the training targets fit the kind of task."""
    if kind.name == LOSS_ALONE:
        return
    if kind.name == "regression":
        if bool((targets == targets[:1]).all()):
            raise BadTask(f"task '{task}': the training targets must differ; all are the same.")
    elif kind.name == "binary" and not bool(((targets == 0) | (targets == 1)).all()):
        low, high = float(targets.min()), float(targets.max())
        raise BadTask(
            f"task '{task}': the targets of a binary task must be 0 or 1; got values from {low:g} to {high:g}. For"
            " other targets, pass kind='regression'."
        )
    elif not _are_classes(targets, kind=kind.name):
        raise BadTask(
            f"task '{task}': classes must be integers from 0, one per row; got {_described(targets)}. For other"
            " targets, pass kind='regression'."
        )
    elif float(targets.min()) == float(targets.max()):
        raise BadTask(
            f"task '{task}': the training targets must hold two classes or more; got {float(targets.min()):g} in"
            " every row."
        )


def metrics_beside(kind: Kind, targets: Any) -> tuple[str, ...]:
    """Return the names of the metrics that stand beside accuracy because the classes are unbalanced.

    Average precision is about the second class, so it says something only if that is the rarer one.
    """
    if kind.metric.name != "accuracy" or targets.is_floating_point() or targets.numel() != len(targets):
        return ()
    if not is_unbalanced(targets):
        return ()
    rows = targets.flatten().bincount()
    is_rare_second = len(rows) == 2 and rows[1] < rows[0]
    return ("balanced accuracy", "average precision") if is_rare_second else ("balanced accuracy",)


def metric_of(function: Callable[[Any, Any], float], *, larger_is_better: bool) -> Metric:
    """Return the metric of a user's function; 2 % of the control's value do not matter."""
    name = getattr(function, "__name__", type(function).__name__).replace("_", " ").strip("<>")
    return Metric(name, OWN_UNITS, larger_is_better, 0.02, True, function=function)


def _described(targets: Tensor) -> str:
    found = f"{article(targets)} and {str(targets.dtype).removeprefix('torch.')}"
    return found if targets.is_floating_point() else f"{found}, the smallest {int(targets.min())}"


def _are_classes(targets: Tensor, *, kind: str) -> bool:
    if targets.is_floating_point():  # 0 or 1, or a probability for each class
        return kind == "binary" or (targets.dim() > 1 and targets.shape[1] > 1 and float(targets.min()) >= 0)
    return int(targets.min()) >= 0


def _refuse_bits(targets: Tensor, *, task: str) -> None:
    """Refuse to guess whether targets of 0 and 1 as floating-point numbers are classes or quantities."""
    if targets.is_floating_point() and bool(((targets == 0) | (targets == 1)).all()):
        raise BadTask(
            f"task '{task}': the kind must be named: the targets are 0 and 1 as floating-point numbers, and the"
            " loss is one of your own. Pass kind='binary' (outputs above 0 say yes) or kind='regression'."
        )
