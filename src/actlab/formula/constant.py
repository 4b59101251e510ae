"""The value of a formula's constant parts, in double precision and in bounded time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from actlab.errors import BadFormula, shortened
from actlab.formula.expr import (
    Add,
    Call,
    Compare,
    Constant,
    Div,
    Expr,
    Mul,
    Neg,
    Node,
    Number,
    Pow,
    Sub,
    Where,
    walk,
)
from actlab.formula.text import text


def constant_value(root: Expr) -> float:
    """Return the value of a constant expression as a double.

    Raises:
        BadFormula: it has no finite value.
    """
    values: dict[Node, float] = {}
    try:
        for node in walk(root):
            values[node] = _value(node, values)
    except (OverflowError, ZeroDivisionError, ValueError) as error:
        raise _not_finite(root) from error
    if not math.isfinite(values[root]):
        raise _not_finite(root)
    return values[root]


def _not_finite(root: Expr) -> BadFormula:
    return BadFormula(f"the constant {shortened(text(root), limit=40)} has no finite value in double precision.")


def _value(node: Node, values: Mapping[Node, float]) -> float:
    match node:
        case Number(value):
            return float(value)
        case Constant("pi"):
            return math.pi
        case Neg(operand):
            return -values[operand]
        case Add(left, right):
            return values[left] + values[right]
        case Sub(left, right):
            return values[left] - values[right]
        case Mul(left, right):
            return values[left] * values[right]
        case Div(left, right):
            return values[left] / values[right]
        case Pow(base, exponent):
            return math.pow(values[base], values[exponent])
        case Call(atom, args):
            return _ATOMS[atom](*(values[arg] for arg in args))
        case Compare(order, left, right):
            return float(_ORDERS[order](values[left], values[right]))
        case Where(condition, then, otherwise):
            return values[then] if values[condition] else values[otherwise]
    raise AssertionError(f"{type(node).__name__} is not a constant")


_ORDERS: Mapping[str, Callable[[float, float], bool]] = MappingProxyType(
    {
        "<": lambda left, right: left < right,
        "<=": lambda left, right: left <= right,
        ">": lambda left, right: left > right,
        ">=": lambda left, right: left >= right,
    }
)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _spherical_bessel(order: float, x: float) -> float:
    # the power series converges everywhere; constants in formulas are small, so it serves
    term = math.prod(x / (2 * k + 1) for k in range(1, int(order) + 1))
    total = 0.0
    for k in range(1, 200):
        total += term
        term *= -x * x / (2 * k * (2 * k + 2 * order + 1))
    return total


_ATOMS: Mapping[str, Callable[..., float]] = MappingProxyType(
    {
        "exp": math.exp,
        "expm1": math.expm1,
        "log": math.log,
        "log1p": math.log1p,
        "sigmoid": _sigmoid,
        "log_sigmoid": lambda x: -_softplus(-x),
        "softplus": _softplus,
        "tanh": math.tanh,
        "erf": math.erf,
        "erfc": math.erfc,
        "normal_cdf": lambda x: 0.5 * math.erfc(-x / math.sqrt(2)),
        "normal_pdf": lambda x: math.exp(-x * x / 2) / math.sqrt(2 * math.pi),
        "sin": math.sin,
        "cos": math.cos,
        "spherical_bessel": _spherical_bessel,
        "atan": math.atan,
        "sqrt": math.sqrt,
        "abs": abs,
        "sign": lambda x: float((x > 0) - (x < 0)),
        "min": min,
        "max": max,
    }
)
