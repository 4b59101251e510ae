"""Our activations as one call each for whoever follows PyTorch's functions (`torch.overrides.TorchFunctionMode`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import handle_torch_function


def is_followed() -> bool:
    """Whether somebody follows the functions that are called."""
    return not torch.compiler.is_compiling() and torch._C._is_torch_function_mode_enabled()


def shown(method: Callable[..., Tensor], owner: object, *tensors: Tensor, **settings: Any) -> Tensor:
    """The method's result, told to whoever follows: what `owner` does is one call of its `activation`."""
    result: Tensor = handle_torch_function(method, tensors, owner, *tensors, **settings)
    return result


def is_shown(function: Callable[..., Any]) -> bool:
    """Whether a function that is followed is an activation of ours."""
    return (getattr(function, "__module__", None) or "").startswith("actlab.nn.")
