"""Show each activation as one call to `TorchFunctionMode` and `torch.fx`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import handle_torch_function

from actlab.errors import BadInput


def is_followed(x: object) -> bool:
    """Say whether a mode or tracer follows the function calls, or this input."""
    return not torch.compiler.is_compiling() and (
        torch._C._is_torch_function_mode_enabled() or isinstance(x, torch.fx.Proxy)
    )


def shown(method: Callable[..., Tensor], owner: object, *tensors: Tensor, **settings: Any) -> Tensor:
    """Return the method's result and show it to whatever follows the calls, as one call of the owner's `activation`.

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
    """Record a call of the whole module in the graph that is being traced."""
    if not isinstance(owner, torch.nn.Module):
        raise BadInput(f"torch.fx cannot follow {owner!r}. Use actlab.module(...), which it takes as one call.")
    call: Tensor = tracer.create_proxy("call_module", tracer.path_of_module(owner), tensors, {})
    return call


def is_shown(function: Callable[..., Any]) -> bool:
    """Say whether a function that is followed is an activation of actlab."""
    return (getattr(function, "__module__", None) or "").startswith("actlab.nn.")
