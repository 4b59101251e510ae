"""Evaluate formulas on whole arrays, each value with a bound on its error.

The running error analysis of Wilkinson (Higham, Accuracy and Stability of Numerical Algorithms, section 3.3): each
operation adds its own rounding to what its operands bring. Where the bound is small beside a unit in the last place
of the measured dtype, the value is a good enough reference; elsewhere the point is doubtful and `reference` computes
fifty digits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, final

import numpy as np
from mpmath import mp

from actlab.formula.expr import (
    Add,
    Call,
    Compare,
    Constant,
    Div,
    Expr,
    Input,
    Mul,
    Neg,
    Node,
    Number,
    ParamRef,
    Pow,
    Sub,
    Where,
    walk,
)
from actlab.lower.straight_line import Leaf
from actlab.measure.accuracy.atoms import ATOMS, gaussian, spherical_bessel
from actlab.measure.accuracy.ulp import Flags, Reals

# An elementary function of the mathematics library is assumed to be right to this many roundings.
ROUNDINGS = 6

# A real power is computed by a logarithm and an exponential.
_POWER_ROUNDINGS = 8


@final
@dataclass(frozen=True)
class Bounded:
    """Values, each with a bound on its absolute error (to first order); NaN or infinite if unknown."""

    value: Reals
    error: Reals


Known = Mapping[Node, Bounded]


def evaluated(roots: Sequence[Expr], given: Mapping[Leaf, Reals]) -> dict[Node, Bounded]:
    """Compute every part of the formulas at every point, in the arithmetic of the given arrays."""
    like = next(iter(given.values()))
    done: dict[Node, Bounded] = {}
    with np.errstate(all="ignore"):
        for node in walk(*roots):
            if isinstance(node, Expr):
                done[node] = _of(node, done, given, like=like)
    return done


def nearest(value: Any, kind: np.dtype[Any]) -> Any:
    """Round an mpmath number or a fraction to NumPy's kind, also where a double would underflow."""
    with mp.workprec(200):
        exact = mp.mpf(value.numerator) / value.denominator if isinstance(value, Fraction) else mp.mpf(value)
        if not mp.isfinite(exact) or exact == 0:
            return kind.type(float(exact))
        man, exponent = mp.frexp(exact)
        high = float(man)
        low = float(man - high)
        with np.errstate(over="ignore", under="ignore"):
            return np.ldexp(kind.type(high) + kind.type(low), max(min(int(exponent), 40_000), -40_000))


def branch(condition: Compare, done: Known) -> tuple[Flags, Flags]:
    """Say which branch each point takes, and where rounding leaves that in doubt."""
    left, right = done[condition.left], done[condition.right]
    ask = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}[condition.order]
    slack = left.error + right.error
    close = ~(np.abs(left.value - right.value) > slack) & (slack != 0)
    return ask(left.value, right.value), close


def _of(node: Expr, done: Known, given: Mapping[Leaf, Reals], *, like: Reals) -> Bounded:
    unit = _unit(like)
    match node:
        case Input() | ParamRef():
            return Bounded(given[node], np.zeros_like(like))
        case Number(value):
            return _constant(value, like)
        case Constant():
            with mp.workprec(200):
                return _constant(+mp.pi, like)
        case Neg(operand):
            return Bounded(-done[operand].value, done[operand].error)
        case Add(left, right):
            return _sum(done[left], done[right])
        case Sub(left, right):
            negative = Bounded(-done[right].value, done[right].error)
            return _sum(done[left], negative)
        case Mul(left, right):
            exact = any(isinstance(side, Number) and _is_power_of_two(side.value) for side in (left, right))
            return _product(done[left], done[right], 0 if exact else unit)
        case Div(left, right):
            return _quotient(done[left], done[right], unit)
        case Pow(base, exponent):
            return _power(done[base], done[exponent], unit)
        case Where(condition, then, otherwise):
            return _chosen(condition, done[then], done[otherwise], done)
        case Call(atom, args):
            return _called(atom, args, done, unit)
    raise AssertionError(f"{type(node).__name__} has no value at a point")


def _unit(like: Reals) -> Any:
    return np.finfo(like.dtype).eps


def _is_power_of_two(value: Fraction) -> bool:
    whole = max(abs(value.numerator), value.denominator)
    return 1 in (abs(value.numerator), value.denominator) and whole & (whole - 1) == 0


def _underflow(value: Reals) -> Reals:
    """Bound the loss by underflow."""
    kind = np.finfo(value.dtype)
    return np.where(np.abs(value) < kind.smallest_normal, kind.smallest_subnormal, 0).astype(value.dtype)


def _constant(exact: Any, like: Reals) -> Bounded:
    value = nearest(exact, like.dtype)
    with mp.workprec(300):
        man, exponent = np.frexp(value)
        high = float(man)
        back = mp.ldexp(mp.mpf(high) + mp.mpf(float(man - like.dtype.type(high))), int(exponent))
        told = mp.mpf(exact.numerator) / exact.denominator if isinstance(exact, Fraction) else exact
        is_exact = back == told
    error = np.abs(value) * (0 if is_exact else _unit(like))
    return Bounded(np.full_like(like, value), np.full_like(like, error))


def _rounding(value: Reals, unit: Any) -> Reals:
    """Bound the rounding of a result; an overflow that is right costs nothing."""
    return np.where(np.isinf(value), 0, unit * np.abs(value))


def _sum(left: Bounded, right: Bounded) -> Bounded:
    value = left.value + right.value
    # two-sum (Knuth): what the addition really lost, which is often nothing
    back = value - left.value
    lost = (left.value - (value - back)) + (right.value - back)
    return Bounded(value, left.error + right.error + np.where(np.isinf(value), 0, np.abs(lost)))


def _product(left: Bounded, right: Bounded, unit: Any) -> Bounded:
    value = left.value * right.value
    brought = np.abs(left.value) * right.error + np.abs(right.value) * left.error + left.error * right.error
    sure = (np.abs(left.value) > left.error) & (np.abs(right.value) > right.error)
    brought = np.where(np.isinf(value), np.where(sure, 0, np.inf), brought)
    return Bounded(value, brought + _rounding(value, unit) + _unless_zero(left.value, right.value, value))


def _unless_zero(left: Reals, right: Reals, value: Reals) -> Reals:
    """Bound the loss of a product by underflow: nothing if a factor is 0."""
    return np.where((left == 0) | (right == 0), 0, _underflow(value))


def _quotient(left: Bounded, right: Bounded, unit: Any) -> Bounded:
    value = left.value / right.value
    room = np.abs(right.value) - right.error
    brought = (left.error + np.abs(value) * right.error) / np.where(room > 0, room, 0)
    brought = np.where((left.error == 0) & (right.error == 0), 0, brought)
    return Bounded(value, brought + _rounding(value, unit) + np.where(left.value == 0, 0, _underflow(value)))


def _power(base: Bounded, exponent: Bounded, unit: Any) -> Bounded:
    value = np.power(base.value, exponent.value)
    room = np.abs(base.value) - base.error
    relative = np.abs(exponent.value) * base.error / np.where(room > 0, room, 0)
    relative = np.where(base.error == 0, 0, relative)
    moved = np.where(exponent.error == 0, 0, np.abs(np.log(np.abs(base.value))) * exponent.error)
    error = np.abs(value) * (relative + moved + _POWER_ROUNDINGS * unit) + _underflow(value)
    return Bounded(value, np.where(relative < 0.1, error, np.inf))


def _chosen(condition: Compare, then: Bounded, otherwise: Bounded, done: Known) -> Bounded:
    holds, doubtful = branch(condition, done)
    error = np.where(holds, then.error, otherwise.error)
    return Bounded(np.where(holds, then.value, otherwise.value), np.where(doubtful, np.inf, error))


def _called(atom: str, args: tuple[Expr, ...], done: Known, unit: Any) -> Bounded:
    first = done[args[0]]
    match atom:
        case "abs":
            return Bounded(np.abs(first.value), first.error)
        case "sign":
            doubtful = ~(np.abs(first.value) > first.error) & (first.error != 0)
            return Bounded(np.sign(first.value), np.where(doubtful, np.inf, 0).astype(first.value.dtype))
        case "min" | "max":
            other = done[args[1]]
            value = (np.minimum if atom == "min" else np.maximum)(first.value, other.value)
            return Bounded(value, np.maximum(first.error, other.error))
        case "spherical_bessel":
            assert isinstance(args[0], Number)
            return _bessel(int(args[0].value), done[args[1]], unit)
        case "sin" | "cos":
            value = (np.sin if atom == "sin" else np.cos)(first.value)
            return Bounded(value, np.minimum(first.error, 2) + ROUNDINGS * unit * np.abs(value))
        case "exp" if (root := _root_of_square(args[0])) is not None and not done[root].error.any():
            # exp(−x²): the rounding of x² would be multiplied by x²
            return _spread(lambda x: gaussian(x, halved=False), done[root], unit)
        case "normal_pdf":
            return _spread(lambda x: ATOMS["normal_pdf"](np.abs(x)), first, unit)
        case _:
            return _spread(ATOMS[atom], first, unit)


def _root_of_square(node: Expr) -> Expr | None:
    match node:
        case Neg(Mul(left, right)) if left == right:
            return left
        case _:
            return None


def _bessel(order: int, x: Bounded, unit: Any) -> Bounded:
    value = spherical_bessel(order, x.value)
    # beyond 1 neither the function nor its derivative passes 2/|x|; a power series near 0 is relatively exact
    size = np.minimum(1, 2 / np.abs(x.value))
    own = 4 * ROUNDINGS * unit * np.where(np.abs(x.value) < 1, np.abs(value), size)
    return Bounded(value, np.minimum(x.error, 2) * size + own + _underflow(value))


def _spread(function: Callable[[Reals], Reals], x: Bounded, unit: Any) -> Bounded:
    """Compute a monotone function; the error of its argument is propagated by computing both ends."""
    value = function(x.value)
    error = _rounding(value, ROUNDINGS * unit) + _underflow(value)
    moved: Flags = x.error != 0
    if moved.any():
        # never less than a rounding of the argument, which would have no effect
        room = np.maximum(x.error[moved], unit * np.abs(x.value[moved]))
        ends = function(x.value[moved] - room), function(x.value[moved] + room)
        error[moved] += np.maximum(np.abs(ends[0] - value[moved]), np.abs(ends[1] - value[moved]))
    return Bounded(value, error)
