"""Our activations as one call each for whoever follows functions or modules: `TorchFunctionMode`, `torch.fx`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import handle_torch_function

from actlab.errors import BadInput


def is_followed(x: object) -> bool:
    """Whether somebody follows the functions that are called, or this input."""
    return not torch.compiler.is_compiling() and (
        torch._C._is_torch_function_mode_enabled() or isinstance(x, torch.fx.Proxy)
    )


def shown(method: Callable[..., Tensor], owner: object, *tensors: Tensor, **settings: Any) -> Tensor:
    """The method's result, told to whoever follows: what `owner` does is one call of its `activation`.

    Raises:
        BadInput: `torch.fx` follows, which takes modules as calls, and the owner is none.
    """
    inputs: tuple[object, ...] = tensors  # whatever their annotation says
    tracer = next((each.tracer for each in inputs if isinstance(each, torch.fx.Proxy)), None)
    if tracer is not None:
        return _recorded(tracer, owner, tensors)
    result: Tensor = handle_torch_function(method, tensors, owner, *tensors, **settings)
    return result


def _recorded(tracer: Any, owner: object, tensors: tuple[Tensor, ...]) -> Tensor:
    """A call of the whole module in the graph that is being made of its surroundings."""
    if not isinstance(owner, torch.nn.Module):
        raise BadInput(f"torch.fx cannot follow {owner!r}. Use actlab.module(...), which it takes as one call.")
    call: Tensor = tracer.create_proxy("call_module", tracer.path_of_module(owner), tensors, {})
    return call


def is_shown(function: Callable[..., Any]) -> bool:
    """Whether a function that is followed is an activation of ours."""
    return (getattr(function, "__module__", None) or "").startswith("actlab.nn.")
