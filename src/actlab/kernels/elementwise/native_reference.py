"""PyTorch's own implementation of an activation, for comparing numbers and speed."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from actlab.catalog.index import CATALOG
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation


def native_of(act: Activation | AxisActivation, *, dtype: torch.dtype = torch.float64) -> partial[Tensor] | None:
    """Return PyTorch's implementation at the activation's parameter values, or None if PyTorch has none.

    A parameter is passed by keyword if PyTorch's implementation has one of its name; otherwise the implementation
    counts only at the catalog's value. That of a gated unit takes one tensor, value and gate packed along an axis
    `dim`.

    Args:
        act: the activation.
        dtype: of the inputs; some implementations take a parameter as a tensor of it.
    """
    if act.reference is None:
        return None
    path, _, fixed = act.reference.partition("(")
    function = _imported(path)
    taken = _argument_names(function)
    usual = CATALOG[act.name].params if act.name in CATALOG else act.params
    if any(
        param.name not in taken and param.value != plain.value for param, plain in zip(act.params, usual, strict=True)
    ):
        return None
    keywords = _keywords(fixed) | {param.name: param.value for param in act.params if param.name in taken}
    if path.endswith(".prelu"):
        keywords["weight"] = torch.tensor([keywords["weight"]], dtype=dtype)
    return partial(function, **keywords)


def _keywords(fixed: str) -> dict[str, Any]:
    """Return the arguments that follow the implementation's name, such as `approximate='tanh')`."""
    call = ast.parse(f"f({fixed}" if fixed else "f()", mode="eval").body
    assert isinstance(call, ast.Call)
    return {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}


def _imported(path: str) -> Callable[..., Tensor]:
    module, _, name = path.rpartition(".")
    found: Callable[..., Tensor] = getattr(importlib.import_module(module), name)
    return found


def _argument_names(function: Callable[..., Tensor]) -> set[str]:
    """Return the names of its arguments, from its documentation if it is a builtin without a signature."""
    try:
        return set(inspect.signature(function).parameters)
    except ValueError:
        opening = next((line for line in (function.__doc__ or "").splitlines() if "(" in line), "")
        return set(re.findall(r"(\w+)\s*(?==|,|\))", opening))
