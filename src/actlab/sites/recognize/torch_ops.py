"""Which activation a call of PyTorch is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from actlab.catalog.index import get
from actlab.errors import BadParam
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation

AnyActivation = Activation | AxisActivation
Arguments = Mapping[str, Any]

CONVOLUTIONS = frozenset({"conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"})
# Layers that are one affine map.
LAYERS = CONVOLUTIONS | {"linear", "addmm", "bilinear"}
# Steps that multiply by weights: what an activation stands between.
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
# They move numbers, pick some of them or change their type, and leave each what it is.
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

# Functions that are activations wherever they are called, and from which of their arguments the parameters come.
_PLAIN: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "relu": ("relu", {}),
    "relu6": ("relu6", {}),
    "leaky_relu": ("leaky_relu", {"negative_slope": "negative_slope"}),
    "sigmoid": ("sigmoid", {}),
    "hardsigmoid": ("hard_sigmoid", {}),
    "logsigmoid": ("log_sigmoid", {}),
    "tanh": ("tanh", {}),
    "softsign": ("softsign", {}),
    "elu": ("elu", {"alpha": "alpha"}),
    "celu": ("celu", {"alpha": "alpha"}),
    "selu": ("selu", {}),
    "silu": ("silu", {}),
    "mish": ("mish", {}),
    "hardswish": ("hard_swish", {}),
    "softplus": ("softplus", {"beta": "beta"}),
    "softshrink": ("soft_shrink", {"lambd": "lambd"}),
    "hardshrink": ("hard_shrink", {"lambd": "lambd"}),
    "tanhshrink": ("tanh_shrink", {}),
    "glu": ("glu", {}),
    "softmax": ("softmax", {}),
    "log_softmax": ("log_softmax", {}),
    "softmin": ("softmin", {}),
}

# Functions of arithmetic that are an activation only where they follow weights.
AFTER_WEIGHTS: Mapping[str, str] = {
    "sin": "sine",
    "cos": "cosine",
    "exp": "exponential",
    "erf": "erf",
    "atan": "arctan",
}


def known(function: str, arguments: Arguments) -> AnyActivation | None:
    """The activation that a function of this name is, whatever it follows; None where it is none."""
    if function in _PLAIN:
        name, taken = _PLAIN[function]
        numbers = {ours: arguments[theirs] for theirs, ours in taken.items() if theirs in arguments}
        return bound(name, {ours: float(value) for ours, value in numbers.items() if isinstance(value, int | float)})
    special = _SPECIAL.get(function)
    return None if special is None else special(arguments)


def after_weights(function: str, arguments: Arguments) -> AnyActivation | None:
    """The activation that a function of arithmetic is where it follows weights."""
    name = AFTER_WEIGHTS.get(function)
    if name is not None:
        return get(name)
    return _clamped(arguments, anywhere=False) if function == "clamp" else None


def bound(name: str, values: Mapping[str, float]) -> AnyActivation | None:
    """The activation with these parameter values; None where the catalog's bounds do not admit them."""
    try:
        return get(name, **values)
    except BadParam:
        return None


def _gelu(arguments: Arguments) -> AnyActivation:
    return get("gelu_tanh" if arguments.get("approximate") == "tanh" else "gelu")


def _prelu(arguments: Arguments) -> AnyActivation | None:
    weight = arguments.get("weight", arguments.get("1"))
    slope = float(weight.detach().double().mean()) if isinstance(weight, Tensor) else 0.25
    return bound("prelu", {"weight": slope})


def _threshold(arguments: Arguments) -> AnyActivation | None:
    low, value = arguments.get("threshold"), arguments.get("value")
    if not isinstance(low, int | float) or not isinstance(value, int | float):
        return get("threshold")
    return get("relu") if low == value == 0 else bound("threshold", {"threshold": float(low), "value": float(value)})


def _rrelu(arguments: Arguments) -> AnyActivation | None:
    return get("rrelu")


def _hardtanh(arguments: Arguments) -> AnyActivation | None:
    low, high = arguments.get("min_val", -1.0), arguments.get("max_val", 1.0)
    return (
        get("relu6") if (low, high) == (0, 6) else bound("hard_tanh", {"min_val": float(low), "max_val": float(high)})
    )


def _clamped(arguments: Arguments, *, anywhere: bool = True) -> AnyActivation | None:
    low, high = arguments.get("min"), arguments.get("max")
    if high is None and _is_zero(low):
        return get("relu")
    if not isinstance(low, int | float) or not isinstance(high, int | float) or not low < high:
        return None
    if (low, high) == (0, 6):
        return get("relu6")
    if (low, high) == (-1, 1) or not anywhere:
        return bound("hard_tanh", {"min_val": float(low), "max_val": float(high)})
    return None


def _is_zero(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.numel() == 1 and float(value.detach()) == 0
    return isinstance(value, int | float) and value == 0


_SPECIAL: Mapping[str, Callable[[Arguments], AnyActivation | None]] = {
    "gelu": _gelu,
    "hardtanh": _hardtanh,
    "prelu": _prelu,
    "rrelu": _rrelu,
    "threshold": _threshold,
    "clamp": _clamped,
}

ALONE = frozenset(_PLAIN) | frozenset(_SPECIAL) - {"clamp"}
"""Functions that are an activation by themselves, wherever they are called."""
