"""Translate element-wise calls of PyTorch to formulas."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from actlab.errors import ActlabError
from actlab.formula import atoms
from actlab.formula.expr import Call, Compare, Expr, Input, Operand, Pow, Where, expr, walk
from actlab.lower.to_numpy import program

X = Input("x")
LARGEST = 80
"""Largest formula that is matched, in nodes; hand-written activations of the catalog are far smaller."""

SAME_NUMBERS = frozenset({"to", "float", "double", "half", "bfloat16", "type", "type_as", "clone", "contiguous"})

# PyTorch's element-wise functions, by name, as atoms.
TRANSLATED: Mapping[str, Callable[..., Expr]] = {
    "add": lambda a, b: expr(a) + b,
    "sub": lambda a, b: expr(a) - b,
    "rsub": lambda a, b: expr(b) - a,
    "mul": lambda a, b: expr(a) * b,
    "div": lambda a, b: expr(a) / b,
    "rdiv": lambda a, b: expr(b) / a,
    "neg": lambda a: -expr(a),
    "pow": lambda a, b: Pow(expr(a), expr(b)),
    "square": lambda a: Pow(expr(a), expr(2)),
    "reciprocal": lambda a: expr(1) / a,
    "rsqrt": lambda a: expr(1) / atoms.sqrt(a),
    "sqrt": atoms.sqrt,
    "exp": atoms.exp,
    "expm1": atoms.expm1,
    "log": atoms.log,
    "log1p": atoms.log1p,
    "sin": atoms.sin,
    "cos": atoms.cos,
    "atan": atoms.atan,
    "erf": atoms.erf,
    "erfc": atoms.erfc,
    "abs": atoms.abs,
    "sign": atoms.sign,
    "special_ndtr": atoms.normal_cdf,
    "logaddexp": lambda a, b: atoms.softplus(expr(a) - b) + b,
    "addcmul": lambda a, b, c: expr(a) + expr(b) * c,
    "maximum": atoms.max,
    "minimum": atoms.min,
    **dict.fromkeys(SAME_NUMBERS, lambda a, *_: expr(a)),
}
COMPARED: Mapping[str, Callable[[Operand, Operand], Compare]] = {
    "gt": lambda a, b: expr(a) > b,
    "ge": lambda a, b: expr(a) > b,
    "lt": lambda a, b: expr(a) < b,
    "le": lambda a, b: expr(a) < b,
}

POINTS = np.concatenate([np.linspace(-6, 6, 97), [-40.0, -15.0, 15.0, 40.0]])


def evaluated(formula: Expr) -> np.ndarray[Any, Any] | None:
    """Return the formula's values at `POINTS`; None if they are not finite within [-6, 6]."""
    with np.errstate(all="ignore"):
        try:
            result = program((formula,), (X,)).function(POINTS)
        except (ActlabError, OverflowError, ZeroDivisionError):
            return None
    values = np.broadcast_to(np.asarray(result, dtype=float), POINTS.shape)
    inner = np.isfinite(values) | (np.abs(POINTS) > 6)
    return np.where(np.isfinite(values), values, 0.0) if inner.all() else None


def is_nonlinear(formula: Expr) -> bool:
    """Return whether the formula is not a straight line."""
    values = evaluated(formula)
    return values is not None and not is_straight(values)


def is_step_function(formula: Expr) -> bool:
    """Return whether the formula's values lie on a few levels, so that its derivative is 0."""
    values = evaluated(formula)
    return values is not None and len(np.unique(values.round(9))) <= _MOST_LEVELS


_MOST_LEVELS = 3


def has_least_zero(formula: Expr) -> bool:
    """Return whether the formula's smallest value is exactly 0."""
    values = evaluated(formula)
    return values is not None and float(values.min()) == 0.0


def holds_activation(formula: Expr) -> bool:
    """Return whether the formula contains an activation, not only arithmetic."""
    return any(
        (isinstance(node, Call) and node.atom in {"sigmoid", "tanh", "softplus", "erf", "erfc", "log_sigmoid"})
        or isinstance(node, Where)
        for node in walk(formula)
    )  # fmt: skip


def is_straight(values: np.ndarray[Any, Any]) -> bool:
    """Return whether the values at `POINTS` lie on a straight line."""
    inner = values[:97]
    return bool(np.allclose(np.diff(inner), inner[1] - inner[0], atol=1e-9))
