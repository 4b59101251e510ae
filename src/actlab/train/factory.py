"""Build models by a task's factory, and check that they fit its data and loss."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import torch
from torch import Tensor, nn

from actlab.errors import BadTask
from actlab.nn.user_lines import noting_lines
from actlab.train.examples import Examples, article
from actlab.train.kinds import KINDS, Kind, Loss, fault_of, is_one_logit, kind_of
from actlab.user_code import their_code

Build = Callable[[], nn.Module]
"""Returns a new activation module at every call."""

FEW = 8
"""The number of rows that a model is tried on."""


def takes_activation(factory: Callable[..., nn.Module]) -> bool:
    """Return whether a factory requires an argument, the function that returns activation modules."""
    try:
        parameters = list(inspect.signature(factory).parameters.values())
    except (TypeError, ValueError):  # a builtin without a signature
        return False
    positional = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    return bool(positional) and positional[0].default is inspect.Parameter.empty


def build(factory: Callable[..., nn.Module], *, activation: Build | None, task: str) -> nn.Module:
    """Build a new model; pass `activation` to the factory unless it is None.

    Raises:
        BadTask: the factory raised, or did not return a module.
    """
    with their_code(f"task '{task}': the model's factory"), noting_lines():
        model = factory() if activation is None else factory(activation)
    if not isinstance(model, nn.Module):
        raise BadTask(f"task '{task}': model must return a torch.nn.Module; got {article(model)}.")
    return model


def outputs_of(model: nn.Module, few: Examples, *, task: str) -> Tensor:
    """Return the model's output for a few rows.

    Raises:
        BadTask: the model raised, or did not return one tensor.
    """
    with their_code(f"task '{task}': the model, given inputs of shape {tuple(few.inputs.shape)},"):
        outputs = model(few.inputs)
    if not isinstance(outputs, Tensor):
        raise BadTask(
            f"task '{task}': the model must return one tensor; got {article(outputs)}. Wrap it in a module that does."
        )
    return outputs


def settled_kind(kind: str, *, outputs: Tensor, few: Examples, classes: int) -> Kind:
    """Return the kind of this name, or else the one that the targets and the outputs imply."""
    if kind:
        return KINDS[kind]
    one_logit = is_one_logit(outputs, rows=len(few), classes=classes)
    return KINDS["binary" if one_logit else kind_of(few.targets)]


def check_fit(outputs: Tensor, few: Examples, *, kind: Kind, loss: Loss, classes: int, task: str) -> None:
    """Raise `BadTask` unless these outputs fit the loss, and the loss is one number that depends on a parameter."""
    fault = fault_of(kind, outputs, few.targets, classes=classes)
    if fault:
        raise BadTask(f"task '{task}': the model's output does not fit the loss: {fault}.")
    with their_code(f"task '{task}': the loss"):
        value = loss(outputs, few.targets)
    if not isinstance(value, Tensor) or value.dim() != 0:
        raise BadTask(f"task '{task}': the loss must return one number; got {article(value)}. Take its mean.")
    if not value.requires_grad:
        raise BadTask(f"task '{task}': the loss must depend on a parameter of the model; got one without a gradient.")
    with their_code(f"task '{task}': the gradient of the loss"):
        torch.autograd.backward(value)
