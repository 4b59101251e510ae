"""Build models by a task's factory, and check that they fit its data and loss."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from actlab.errors import BadTask
from actlab.nn.user_lines import noting_lines
from actlab.train.evaluate import output
from actlab.train.examples import Examples, article, shapes
from actlab.train.kinds import Loss
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


def outputs_of(model: nn.Module, few: Examples, *, task: str) -> Any:
    """Return the model's output for a few rows.

    Raises:
        BadTask: the model raised.
    """
    with their_code(f"task '{task}': the model, given inputs of {shapes(few.inputs)},"):
        return output(model, few.inputs)


def check_loss(outputs: Any, few: Examples, *, loss: Loss, task: str) -> None:
    """Raise `BadTask` unless the loss of these outputs is one number that depends on a parameter."""
    with their_code(f"task '{task}': the loss"):
        value = loss(outputs, few.targets)
    if not isinstance(value, Tensor) or value.dim() != 0:
        raise BadTask(f"task '{task}': the loss must return one number; got {article(value)}. Take its mean.")
    if not value.requires_grad:
        raise BadTask(f"task '{task}': the loss must depend on a parameter of the model; got one without a gradient.")
    with their_code(f"task '{task}': the gradient of the loss"):
        torch.autograd.backward(value)
