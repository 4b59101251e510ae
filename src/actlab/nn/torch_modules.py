"""PyTorch's own activation modules and functions, by the names of the catalog."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import cache

from torch import Tensor, nn

from actlab.catalog.index import get
from actlab.catalog.torch_ops import TORCH_OPS, TorchOp, is_pointwise
from actlab.formula.activation import Activation
from actlab.theory.properties import properties


def _class_of(op: TorchOp) -> type[nn.Module]:
    found: type[nn.Module] = getattr(nn, op.module)
    return found


# The catalog's name of every class of element-wise activations; of `nn.GELU`, the name for its default.
TORCH_NAMES: Mapping[type[nn.Module], str] = {
    _class_of(op): op.activation for op in reversed(TORCH_OPS) if op.module and is_pointwise(op)
}


def name_of_module(module: nn.Module) -> str | None:
    """Return the catalog's name of a module of PyTorch; None for every other module.

    Example:
        >>> name_of_module(nn.ReLU()), name_of_module(nn.GELU("tanh")), name_of_module(nn.Linear(1, 1))
        ('relu', 'gelu_tanh', None)
    """
    for op in TORCH_OPS:
        is_class = op.module and type(module) is _class_of(op)
        if is_class and all(getattr(module, name) == value for name, value in op.only_with.items()):
            return op.activation
    return None


def torch_function(op: TorchOp) -> Callable[..., Tensor]:
    """Return PyTorch's function for the activation."""
    home, _, name = op.path.rpartition(".")
    found: Callable[..., Tensor] = getattr(importlib.import_module(home), name)
    return found


@cache
def saturating_functions() -> Mapping[str, Callable[..., Tensor]]:
    """Return, by name, PyTorch's functions that rise everywhere and level off: only rounding makes their gradient 0.

    Example:
        >>> sorted(saturating_functions())
        ['atan', 'celu', 'elu', 'erf', 'exp', 'logsigmoid', 'sigmoid', 'softplus', 'softsign', 'tanh']
    """
    return {op.function: torch_function(op) for op in TORCH_OPS if is_pointwise(op) and _levels_off(op)}


def _levels_off(op: TorchOp) -> bool:
    act = get(op.activation)
    assert isinstance(act, Activation)
    found = properties(act)
    rises = found.monotone is True and found.direction == 1 and not found.kinks and not found.flat
    return rises and bool(found.saturates)
