"""Names and arguments of PyTorch's functions, one name for all spellings."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from actlab.catalog.torch_ops import TORCH_OPS

# Other spellings of a function, without the trailing underscore of in-place ones.
_SAME = {
    "__add__": "add",
    "__radd__": "add",
    "__iadd__": "add",
    "__sub__": "sub",
    "__isub__": "sub",
    "__rsub__": "rsub",
    "__mul__": "mul",
    "__rmul__": "mul",
    "__imul__": "mul",
    "__truediv__": "div",
    "__itruediv__": "div",
    "__rtruediv__": "rdiv",
    "__rdiv__": "rdiv",
    "__pow__": "pow",
    "__ipow__": "pow",
    "__rpow__": "rpow",
    "__neg__": "neg",
    "__abs__": "abs",
    "__matmul__": "matmul",
    "__rmatmul__": "matmul",
    "__getitem__": "getitem",
    "__gt__": "gt",
    "__ge__": "ge",
    "__lt__": "lt",
    "__le__": "le",
    "subtract": "sub",
    "multiply": "mul",
    "divide": "div",
    "true_divide": "div",
    "negative": "neg",
    "absolute": "abs",
    "greater": "gt",
    "greater_equal": "ge",
    "less": "lt",
    "less_equal": "le",
    "clip": "clamp",
    "clamp_min": "clamp",
    "clamp_max": "clamp",
    "special_erfc": "erfc",
    "special_expm1": "expm1",
    "special_log1p": "log1p",
    "fmax": "maximum",
    "fmin": "minimum",
    "concat": "cat",
    "concatenate": "cat",
    **{alias: op.function for op in TORCH_OPS for alias in op.aliases},
}

# The argument names of PyTorch's compiled functions, which have no signature.
_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "clamp": ("input", "min", "max"),
    "clamp_min": ("input", "min"),
    "clamp_max": ("input", "max"),
    "dropout": ("input", "p", "training"),
    "pow": ("input", "exponent"),
    "where": ("condition", "input", "other"),
    "sum": ("input", "dim", "keepdim"),
    "mean": ("input", "dim", "keepdim"),
    "logsumexp": ("input", "dim", "keepdim"),
    "max": ("input", "dim", "keepdim"),
    "transpose": ("input", "dim0", "dim1"),
    "flatten": ("input", "start_dim", "end_dim"),
    "squeeze": ("input", "dim"),
    "unsqueeze": ("input", "dim"),
    "chunk": ("input", "chunks", "dim"),
    "split": ("input", "split_size", "dim"),
    "cat": ("tensors", "dim"),
    "stack": ("tensors", "dim"),
    "gather": ("input", "dim", "index"),
    "getitem": ("input", "index"),
    **{op.function: ("input", *op.arguments) for op in TORCH_OPS if op.arguments},
}

_SIGNS = {
    "add": "+",
    "sub": "-",
    "rsub": "-",
    "mul": "*",
    "div": "/",
    "rdiv": "/",
    "pow": "**",
    "rpow": "**",
    "neg": "-",
    "matmul": "@",
    "gt": ">",
    "ge": ">=",
    "lt": "<",
    "le": "<=",
}


_INDEXING = {"__getitem__": "x[...]", "__setitem__": "x[...] = y"}


def name_of(function: Callable[..., Any]) -> str:
    """Return the name of a function, the same for a method and in place; empty if it computes nothing."""
    # not cached by function: torch.mm and torch.dsmm are equal in C and have different names
    name = getattr(function, "__name__", "") or ""
    if name == "__get__":  # a property, of which some return a tensor, such as x.T
        owner = getattr(getattr(function, "__self__", None), "__name__", "")
        return owner if owner in {"T", "mT", "H", "mH", "data", "real", "imag"} else ""
    return _plain(name)


@lru_cache(maxsize=4096)
def _plain(name: str) -> str:
    if name in {"__set__", "__delete__"}:
        return ""
    name = name.partition(".")[0]  # an overload: relu.default
    plain = name if name.startswith("__") else name.strip("_")
    return _SAME.get(plain, plain)


def is_in_place(function: Callable[..., Any]) -> bool:
    """Return whether the function overwrites its first argument, by its name."""
    name = getattr(function, "__name__", "").partition(".")[0]  # without the overload of an operator
    if name in {"__setitem__", "__iadd__", "__isub__", "__imul__", "__itruediv__", "__ipow__"}:
        return True
    return name.endswith("_") and not name.endswith("__")


def spelling_of(function: Callable[..., Any]) -> str:
    """Return how code writes the call: `F.relu`, `torch.relu`, `x.relu_()` or an operator."""
    return _spelling(function, getattr(function, "__name__", ""))


@lru_cache(maxsize=4096)
def _spelling(function: Callable[..., Any], name: str) -> str:
    module = getattr(function, "__module__", None) or ""
    if name == "__get__":
        return f"x.{name_of(function)}"
    if name in _INDEXING:
        return _INDEXING[name]
    # an operator on tensors arrives as the method of that name
    is_operator = name_of(function) in _SIGNS and (name.startswith("__") or not name.endswith("_"))
    if is_operator and not module.startswith("torch._C") and module != "torch":
        return _SIGNS[name_of(function)]
    if module.startswith("torch._ops"):
        return f"torch.ops.aten.{name.partition('.')[0]}"
    if module in {"torch.nn.functional", "torch._C._nn"}:
        return f"F.{name.lstrip('_')}"
    is_method = type(function).__name__ in {"method_descriptor", "wrapper_descriptor"} or module == "torch._tensor"
    if is_method or not module.startswith("torch"):
        return f"x.{name}()"
    return f"{'torch.special' if 'special' in module else 'torch'}.{name.removeprefix('special_')}"


def argument_names(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of the function's arguments, as far as they are known."""
    raw = getattr(function, "__name__", "")
    return _signature(function) or _ARGUMENTS.get(raw.rstrip("_")) or _ARGUMENTS.get(name_of(function), ())


def named_arguments(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return all arguments by name, or by index if the name is unknown."""
    places = argument_names(function)
    named = {places[at] if at < len(places) else str(at): value for at, value in enumerate(args)}
    named.update(kwargs)
    return named


@lru_cache(maxsize=4096)
def _signature(function: Callable[..., Any]) -> tuple[str, ...]:
    if not inspect.isfunction(function):
        return ()
    parameters = inspect.signature(function, follow_wrapped=False).parameters.values()
    return tuple(each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD)


# a tuple, since for a union of types `isinstance` takes three times as long
_SEQUENCES = (list, tuple)
_CONTAINERS = (list, tuple, dict)
_PLAIN = (bool, int, float, str, type(None))


def tensors_in(arguments: Mapping[str, Any] | tuple[Any, ...] | list[Any]) -> list[Tensor]:
    """Return the tensors among the arguments, in order, also those in tuples, lists and dicts."""
    found: list[Tensor] = []
    for value in arguments if isinstance(arguments, _SEQUENCES) else arguments.values():
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, _CONTAINERS):
            found += tensors_in(value)
    return found


def tensors_within(value: Any, *, depth: int = 4) -> list[Tensor]:
    """Return the tensors in an input or output of a model, in order, also those that are attributes of an object.

    Example:
        >>> from types import SimpleNamespace
        >>> import torch
        >>> len(tensors_within(SimpleNamespace(x=torch.ones(2), pair=[torch.ones(3), {"y": torch.ones(4)}], name="a")))
        3
    """
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, list | tuple | set | frozenset):
        parts = list(value)
    elif isinstance(value, Mapping):
        parts = list(value.values())
    elif isinstance(value, nn.Module | type | ModuleType) or depth == 0:
        return []
    else:
        named = getattr(value, "__dict__", {})
        slots = (getattr(value, name, None) for name in getattr(type(value), "__slots__", ()))
        parts = [*named.values(), *slots] if isinstance(named, dict) else []
    return [tensor for part in parts for tensor in tensors_within(part, depth=depth - 1)]


def settings_in(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that are numbers, strings, booleans, None or tuples of those."""
    found: dict[str, Any] = {}
    for name, value in arguments.items():
        if isinstance(value, Tensor):
            continue
        if isinstance(value, _PLAIN):
            found[name] = value
        elif isinstance(value, _SEQUENCES) and all(isinstance(each, bool | int | float | str) for each in value):
            found[name] = tuple(value)
    return found
