"""Which activation a call of PyTorch is, and which calls are layers or only move numbers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from torch import Tensor

from actlab.catalog.index import get
from actlab.catalog.torch_ops import TORCH_OPS, TorchOp, is_pointwise
from actlab.errors import BadParam
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation

AnyActivation = Activation | AxisActivation
Arguments = Mapping[str, Any]

CONVOLUTIONS = frozenset({"conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"})
# Layers that are one affine map.
LAYERS = CONVOLUTIONS | {"linear", "addmm", "bilinear"}
# Steps that multiply by weights: an activation stands between two of them.
LINEAR = LAYERS | {
    "baddbmm",
    "matmul",
    "mm",
    "bmm",
    "mv",
    "addbmm",
    "addmv",
    "tensordot",
    "einsum",
    "grouped_mm",
    "grouped_mm_fallback",  # Transformers' own, where PyTorch's cannot run
    "lstm",
    "gru",
    "rnn_tanh",
    "rnn_relu",
    "multi_head_attention_forward",
    "scaled_dot_product_attention",
}
# They move or pick numbers or change their type, and leave every number as it is.
MOVES = frozenset(
    {
        "view",
        "reshape",
        "flatten",
        "unflatten",
        "transpose",
        "permute",
        "movedim",
        "moveaxis",
        "swapaxes",
        "squeeze",
        "unsqueeze",
        "contiguous",
        "chunk",
        "split",
        "getitem",
        "unbind",
        "narrow",
        "select",
        "T",
        "mT",
        "to",
        "float",
        "half",
        "bfloat16",
        "double",
        "type",
        "type_as",
        "clone",
        "detach",
        "expand",
        "expand_as",
        "gather",
        "index_select",
        "masked_select",
        "take_along_dim",
        "nan_to_num",
        "view_as",
        "reshape_as",
        "identity",
        "requires_grad",
        "alias",
        "tile",
    }
)


# Functions that are an activation by themselves, wherever they are called.
ALONE = frozenset(op.function for op in TORCH_OPS if not op.is_arithmetic)
# Those of them that act on every element alone.
POINTWISE = frozenset(op.function for op in TORCH_OPS if not op.is_arithmetic and is_pointwise(op))
# Functions of arithmetic that are an activation only where they follow weights.
AFTER_WEIGHTS: Mapping[str, str] = {op.function: op.activation for op in TORCH_OPS if op.is_arithmetic}
MAY_FOLLOW_WEIGHTS = AFTER_WEIGHTS.keys() | {"clamp"}
_OPS = {name: tuple(op for op in TORCH_OPS if op.function == name) for name in ALONE}

# Parameter values at which the catalog has a name for the function.
_NAMED: Mapping[tuple[str, tuple[float, ...]], str] = {
    ("hard_tanh", (0.0, 6.0)): "relu6",
    ("threshold", (0.0, 0.0)): "relu",
}


def known(function: str, arguments: Arguments) -> AnyActivation | None:
    """Return the activation that a function of this name is, whatever it follows; None if it is not one."""
    if function == "clamp":
        return _clamped(arguments)
    if function not in _OPS:
        return None
    op = next((op for op in _OPS[function] if _is_meant(op, arguments)), None)
    return None if op is None else bound(op.activation, _parameters(op, arguments))


def after_weights(function: str, arguments: Arguments) -> AnyActivation | None:
    """Return the activation that a function of arithmetic is where it follows weights."""
    name = AFTER_WEIGHTS.get(function)
    if name is not None:
        return get(name)
    return _clamped(arguments, anywhere=False) if function == "clamp" else None


def bound(name: str, values: Mapping[str, float]) -> AnyActivation | None:
    """Return the activation with these parameter values; None if the catalog's bounds do not admit them."""
    return _bound(name, tuple(values.items()))


@lru_cache(maxsize=1024)
def _bound(name: str, values: tuple[tuple[str, float], ...]) -> AnyActivation | None:
    try:
        act = get(name, **dict(values))
    except BadParam:
        return None
    better = _NAMED.get((name, tuple(param.value for param in act.params)))
    return act if better is None else get(better)


def _is_meant(op: TorchOp, arguments: Arguments) -> bool:
    return all(arguments.get(name, _DEFAULTS[name]) == value for name, value in op.only_with.items())


_DEFAULTS = {"approximate": "none"}


def _parameters(op: TorchOp, arguments: Arguments) -> Mapping[str, float]:
    """Return the parameters that the call sets, of a tensor the mean."""
    names = {param.name for param in get(op.activation).params}
    found = {name: arguments[name] for name in op.arguments if name in names and name in arguments}
    return {name: _number(value) for name, value in found.items() if isinstance(value, int | float | Tensor)}


def _number(value: float | Tensor) -> float:
    return float(value.detach().double().mean()) if isinstance(value, Tensor) else float(value)


def _clamped(arguments: Arguments, *, anywhere: bool = True) -> AnyActivation | None:
    low, high = arguments.get("min"), arguments.get("max")
    if high is None and _is_zero(low):
        return get("relu")
    if not isinstance(low, int | float) or not isinstance(high, int | float) or not low < high:
        return None
    if (low, high) in {(0, 6), (-1, 1)} or not anywhere:
        return bound("hard_tanh", {"min_val": float(low), "max_val": float(high)})
    return None


def _is_zero(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.numel() == 1 and float(value.detach()) == 0
    return isinstance(value, int | float) and value == 0
