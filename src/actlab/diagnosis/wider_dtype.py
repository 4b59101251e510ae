"""Run a 16-bit model in 32 bits, to know whether the dtype is why its numbers are not finite."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from actlab.errors import BadInput
from actlab.sites.trace.preserve_state import uncompiled, undisturbed
from actlab.sites.trace.run import Loss
from actlab.user_code import their_code

HALF = frozenset({torch.float16, torch.bfloat16})


def is_finite_in_float32(model: nn.Module, args: Any, kwargs: Mapping[str, Any], loss: Loss, targets: Any) -> bool:
    """Return whether the loss and all gradients are finite in float32; False if the model cannot be run in it."""
    try:
        with undisturbed(model), uncompiled(), torch.enable_grad(), their_code("the model", error=BadInput):
            wide = copy.deepcopy(model).float().train()
            output = wide(*_wide(args), **_wide(kwargs))
            value = loss(output) if targets is None else loss(output, _wide(targets))
            learned = [each for each in wide.parameters() if each.requires_grad]
            gradients = torch.autograd.grad(value, learned, allow_unused=True)
    except BadInput:
        return False
    return all(bool(each.isfinite().all()) for each in (value, *gradients) if each is not None)


def _wide(value: Any) -> Any:
    """Return the same structure with all tensors of 16 bits in float32."""
    if isinstance(value, Tensor):
        return value.float() if value.dtype in HALF else value
    if isinstance(value, Mapping):
        return {name: _wide(each) for name, each in value.items()}
    if type(value) in {list, tuple}:
        return type(value)(_wide(each) for each in value)
    return value
