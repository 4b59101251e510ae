"""Models made by a task's factory, and the check that one fits its data and loss."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import torch
from torch import Tensor, nn

from actlab.errors import BadTask
from actlab.train.examples import Examples, article
from actlab.train.kinds import KINDS, Kind, Loss, fault_of, is_one_logit, kind_of
from actlab.user_code import their_code

Build = Callable[[], nn.Module]
"""What gives a fresh activation module at every call."""

FEW = 8
"""Rows that a model is tried on."""


def takes_activation(factory: Callable[..., nn.Module]) -> bool:
    """Whether a factory needs one argument: the function that gives activation modules."""
    try:
        parameters = list(inspect.signature(factory).parameters.values())
    except (TypeError, ValueError):  # a builtin without a signature
        return False
    positional = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    return bool(positional) and positional[0].default is inspect.Parameter.empty


def build(factory: Callable[..., nn.Module], *, activation: Build | None, task: str) -> nn.Module:
    """A fresh model, from a factory that is handed `activation` where one is given.

    Raises:
        BadTask: the factory raised, or gave something else than a module.
    """
    with their_code(f"task '{task}': the model's factory"):
        model = factory() if activation is None else factory(activation)
    if not isinstance(model, nn.Module):
        raise BadTask(f"task '{task}': the model's factory gave {article(model)}; it must return a torch.nn.Module.")
    return model


def outputs_of(model: nn.Module, few: Examples, *, task: str) -> Tensor:
    """What the model gives for a few rows.

    Raises:
        BadTask: the model raised, or gave something else than one tensor.
    """
    with their_code(f"task '{task}': the model, given inputs of shape {tuple(few.inputs.shape)},"):
        outputs = model(few.inputs)
    if not isinstance(outputs, Tensor):
        raise BadTask(f"task '{task}': the model gave {article(outputs)}; it must give one tensor.")
    return outputs


def settled_kind(kind: str, *, outputs: Tensor, few: Examples, classes: int) -> Kind:
    """The kind asked for, or the one that targets and outputs speak for."""
    if kind:
        return KINDS[kind]
    one_logit = is_one_logit(outputs, rows=len(few), classes=classes)
    return KINDS["binary" if one_logit else kind_of(few.targets)]


def check_fit(outputs: Tensor, few: Examples, *, kind: Kind, loss: Loss, classes: int, task: str) -> None:
    """Nothing, where these outputs fit the loss.

    Raises:
        BadTask: they do not, the loss raised, or it is not one number that depends on a parameter.
    """
    fault = fault_of(kind, outputs, few.targets, classes=classes)
    if fault:
        raise BadTask(f"task '{task}': the model's output does not fit the loss: {fault}.")
    with their_code(f"task '{task}': the loss"):
        value = loss(outputs, few.targets)
    if not isinstance(value, Tensor) or value.dim() != 0:
        raise BadTask(f"task '{task}': the loss must be one number; found {article(value)}.")
    if not value.requires_grad:
        raise BadTask(f"task '{task}': the loss depends on no parameter of the model; nothing can be learned.")
    with their_code(f"task '{task}': the gradient of the loss"):
        torch.autograd.backward(value)
