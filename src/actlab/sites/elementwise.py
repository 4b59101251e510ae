"""What a program computes of one number at a time, as a formula: how hand-written activations are recognised."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from actlab.catalog.index import CATALOG
from actlab.errors import ActlabError
from actlab.formula import atoms
from actlab.formula.activation import Activation
from actlab.formula.expr import Call, Compare, Expr, Input, Number, Operand, ParamRef, Pow, Where, expr, walk
from actlab.lower.to_numpy import program
from actlab.sites.known import bound

X = Input("x")
LARGEST = 80
"""Nodes of a formula that is still looked at: no activation of the catalog, written by hand, comes near."""

SAME_NUMBERS = frozenset({"to", "float", "double", "clone", "contiguous"})

# By PyTorch's name: the same in our atoms. Only what acts on each number alone stands here.
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
    "maximum": atoms.max,
    "minimum": atoms.min,
    **dict.fromkeys(SAME_NUMBERS, expr),
}
COMPARED: Mapping[str, Callable[[Operand, Operand], Compare]] = {
    "gt": lambda a, b: expr(a) > b,
    "ge": lambda a, b: expr(a) > b,
    "lt": lambda a, b: expr(a) < b,
    "le": lambda a, b: expr(a) < b,
}

_POINTS = np.concatenate([np.linspace(-6, 6, 97), [-40.0, -15.0, 15.0, 40.0]])
_CLOSE = 2e-6
"""Relative to 1: programs round √(2/π) to five digits at the worst, and another activation is farther away."""


def recognised(formula: Expr) -> Activation | None:
    """The catalog's activation with the formula's values, its parameters fitted; None where there is none."""
    return _recognised(formula)


@lru_cache(maxsize=2048)
def _recognised(formula: Expr) -> Activation | None:
    values = evaluated(formula)
    if values is None or _is_affine(values):
        return None
    table = _table()
    for name, known in table.items():
        if _is_close(values, known):
            act = CATALOG[name]
            assert isinstance(act, Activation)
            return act
    return _with_constants(formula, values) or next(
        (found for name in _FITTED if (found := _fitted(name, values)) is not None), None
    )


def _with_constants(formula: Expr, values: np.ndarray[Any, Any]) -> Activation | None:
    """An activation of one parameter, which is one of the numbers that stand in the formula."""
    numbers = dict.fromkeys(float(node.value) for node in walk(formula) if isinstance(node, Number))
    for name in _FITTED:
        act = CATALOG[name]
        for number in numbers if len(act.params) == 1 else ():
            found = bound(name, {act.params[0].name: number}) if _is_usual(name, number) else None
            made = evaluated(found.formula) if isinstance(found, Activation) else None
            if made is not None and _is_close(values, made):
                return found if isinstance(found, Activation) else None
    return None


def _is_usual(name: str, number: float) -> bool:
    low, high = _USUAL.get(name, (-np.inf, np.inf))
    return bool(low < number < high)


def evaluated(formula: Expr) -> np.ndarray[Any, Any] | None:
    """The formula's values at the telling points; None where they are not all finite."""
    with np.errstate(all="ignore"):
        try:
            result = program((formula,), (X,)).function(_POINTS)
        except (ActlabError, OverflowError, ZeroDivisionError):
            return None
    values = np.broadcast_to(np.asarray(result, dtype=float), _POINTS.shape)
    inner = np.isfinite(values) | (np.abs(_POINTS) > 6)
    return np.where(np.isfinite(values), values, 0.0) if inner.all() else None


def bends(formula: Expr) -> bool:
    """Whether the formula is anything but a straight line."""
    values = evaluated(formula)
    return values is not None and not _is_affine(values)


def has_least_zero(formula: Expr) -> bool:
    """Whether the formula's smallest value is exactly 0."""
    values = evaluated(formula)
    return values is not None and float(values.min()) == 0.0


def holds_activation(formula: Expr) -> bool:
    """Whether the formula holds what is an activation by itself, not only arithmetic."""
    return any(
        (isinstance(node, Call) and node.atom in {"sigmoid", "tanh", "softplus", "erf", "erfc", "log_sigmoid"})
        or isinstance(node, Where)
        for node in walk(formula)
    )  # fmt: skip


def _is_affine(values: np.ndarray[Any, Any]) -> bool:
    inner = values[:97]
    return bool(np.allclose(np.diff(inner), inner[1] - inner[0], atol=1e-9))


def _is_close(values: np.ndarray[Any, Any], known: np.ndarray[Any, Any]) -> bool:
    # far out too, where clipped kinds part from the others
    return bool(np.allclose(values, known, rtol=_CLOSE, atol=_CLOSE))


# Those with a parameter that programs set.
_FITTED = (
    "swish",
    "leaky_relu",
    "elu",
    "celu",
    "softplus",
    "scaled_tanh",
    "sine",
    "snake",
    "squareplus",
    "threshold",
    "xielu",
)
# Outside, the fit has found another function: |x| is no leaky relu, and a steep swish is min(x, 0) or max(x, 0).
_USUAL = {"leaky_relu": (0.0, 1.0), "swish": (0.0, 20.0)}


@lru_cache(maxsize=1)
def _table() -> Mapping[str, np.ndarray[Any, Any]]:
    found = {}
    for name, act in CATALOG.items():
        if isinstance(act, Activation) and act.inputs == ("x",) and name not in {"identity", "prelu", "rrelu", "swish"}:
            values = evaluated(act.formula)
            if values is not None:
                found[name] = values
    return found


def _fitted(name: str, values: np.ndarray[Any, Any]) -> Activation | None:
    act = CATALOG[name]
    assert isinstance(act, Activation)
    if not act.params:
        return None
    function = program((act.expression,), (X, *(ParamRef(param.name) for param in act.params))).function

    def off(given: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        with np.errstate(all="ignore"):
            result = np.broadcast_to(np.asarray(function(_POINTS[:97], *given), dtype=float), (97,))
        difference: np.ndarray[Any, Any] = np.nan_to_num(result - values[:97], nan=1e6, posinf=1e6, neginf=-1e6)
        return difference

    start = np.array([param.value for param in act.params])
    with np.errstate(all="ignore"):
        fit = least_squares(off, start, xtol=1e-12, ftol=1e-14, gtol=1e-14, max_nfev=60)
    if np.abs(fit.fun).max() > _CLOSE * max(1.0, np.abs(values[:97]).max()):
        return None
    if not _is_usual(name, float(fit.x[0])):
        return None
    found = bound(name, {param.name: _tidy(value) for param, value in zip(act.params, fit.x, strict=True)})
    return found if isinstance(found, Activation) else None


def _tidy(value: float) -> float:
    """The value to the digits that a fit can tell."""
    return float(f"{value:.6g}")
