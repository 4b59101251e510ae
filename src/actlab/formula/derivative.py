"""The derivative of a formula, as a formula in the same atoms.

Terms that are zero by calculus are dropped, so that `0·x` cannot turn infinity into NaN; nothing else is rewritten.
Quotients whose numerator collapses (x/(1+x) → 1/(1+x)²) are collapsed, because the textbook form would cancel.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from actlab.formula.atoms import ATOMS, exp, log, where
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
    Over,
    ParamRef,
    Pow,
    Sub,
    Where,
    expr,
    walk,
)
from actlab.formula.polynomial import collapsed

ZERO = expr(0)
ONE = expr(1)


def derivative(root: Expr, by: Input | ParamRef) -> Expr:
    """Return the partial derivative of the formula by an input or a parameter.

    At a kink it takes the branch that the formula's own condition takes there.

    Raises:
        TypeError: the formula acts along an axis; its derivative is a matrix, given as a product with a vector.
    """
    slopes: dict[Node, Expr] = {}
    for node in walk(root):
        if isinstance(node, Expr):
            slopes[node] = _slope(node, by, slopes)
    return slopes[root]


def plus(left: Expr, right: Expr) -> Expr:
    """Return the sum, without terms that are zero."""
    if left == ZERO:
        return right
    if right == ZERO:
        return left
    if isinstance(left, Number) and isinstance(right, Number):
        return Number(left.value + right.value)
    return Sub(left, right.operand) if isinstance(right, Neg) else Add(left, right)


def minus(left: Expr, right: Expr) -> Expr:
    """Return the difference, without terms that are zero."""
    return plus(left, negated(right))


def negated(operand: Expr) -> Expr:
    """Return the negative."""
    if isinstance(operand, Number):
        return Number(-operand.value)
    return operand.operand if isinstance(operand, Neg) else Neg(operand)


def times(left: Expr, right: Expr) -> Expr:
    """Return the product, without factors of one, and zero where a factor is zero by calculus."""
    if ZERO in (left, right):
        return ZERO
    if left == ONE:
        return right
    if right == ONE:
        return left
    if isinstance(left, Number) and isinstance(right, Number):
        return Number(left.value * right.value)
    if isinstance(right, Number) and not isinstance(left, Number):
        return times(right, left)
    if isinstance(left, Neg):
        return negated(times(left.operand, right))
    return negated(times(left, right.operand)) if isinstance(right, Neg) else Mul(left, right)


def over(left: Expr, right: Expr) -> Expr:
    """Return the quotient, zero where the dividend is zero by calculus."""
    if left == ZERO or right == ONE:
        return left
    if isinstance(left, Number) and isinstance(right, Number) and right != ZERO:
        return Number(left.value / right.value)
    return Neg(over(left.operand, right)) if isinstance(left, Neg) else Div(left, right)


def _slope(node: Expr, by: Expr, slopes: Mapping[Node, Expr]) -> Expr:
    match node:
        case Input() | ParamRef():
            return ONE if node == by else ZERO
        case Number() | Constant():
            return ZERO
        case Neg(operand):
            return negated(slopes[operand])
        case Add(left, right):
            return plus(slopes[left], slopes[right])
        case Sub(left, right):
            return minus(slopes[left], slopes[right])
        case Mul(left, right):
            return plus(times(slopes[left], right), times(left, slopes[right]))
        case Div():
            return _slope_of_quotient(node, slopes)
        case Pow():
            return _slope_of_power(node, slopes)
        case Call(atom, args):
            return _slope_of_call(atom, args, slopes)
        case Where(condition, then, otherwise):
            return _branches(condition, slopes[then], slopes[otherwise])
        case Over():
            raise TypeError("an activation along an axis has a matrix for a derivative; use its jvp and vjp.")
    raise AssertionError(f"no rule for {type(node).__name__}")


def _branches(condition: Compare, then: Expr, otherwise: Expr) -> Expr:
    return then if then == otherwise else where(condition, then, otherwise)


def _slope_of_quotient(node: Div, slopes: Mapping[Node, Expr]) -> Expr:
    left, right = node.left, node.right
    if slopes[right] == ZERO:
        return over(slopes[left], right)
    if isinstance(right, Call) and right.atom == "sqrt":
        # u/√w: (u'·w − u·w'/2) / (w·√w), whose numerator often collapses
        inner = right.args[0]
        half = over(slopes[inner], expr(2))
        numerator = collapsed(minus(times(slopes[left], inner), times(left, half)))
        if numerator is not None:
            return over(numerator, Mul(inner, right))
    numerator = collapsed(minus(times(slopes[left], right), times(left, slopes[right])))
    if numerator is not None:
        return over(numerator, Pow(right, expr(2)))
    usual = over(minus(slopes[left], times(node, slopes[right])), right)
    if isinstance(left, Call) and left.atom == "expm1":
        exponent = left.args[0]
        return where(exponent > 1, _slope_of_large_quotient(exponent, right, slopes), usual)
    return usual


def _slope_of_large_quotient(exponent: Expr, right: Expr, slopes: Mapping[Node, Expr]) -> Expr:
    """Return the derivative of (eᵘ − 1)/w with a single exponential; the usual form is a difference of two.

    It is eᵘ/w·(u' − w'/w) + w'/w², in which nothing overflows before the derivative does; for small u it would cancel.
    """
    share = over(slopes[right], right)
    factor = minus(slopes[exponent], share)
    return plus(times(Div(exp(exponent), right), factor), over(share, right))


def _slope_of_power(node: Pow, slopes: Mapping[Node, Expr]) -> Expr:
    base, exponent = node.base, node.exponent
    by_exponent = times(times(node, log(base)), slopes[exponent]) if slopes[exponent] != ZERO else ZERO
    if slopes[base] == ZERO:
        return by_exponent
    return plus(times(times(exponent, _lowered(base, exponent)), slopes[base]), by_exponent)


def _lowered(base: Expr, exponent: Expr) -> Expr:
    if not isinstance(exponent, Number):
        return Pow(base, Sub(exponent, ONE))
    if exponent.value == Fraction(1):
        return ONE
    return base if exponent.value == Fraction(2) else Pow(base, Number(exponent.value - 1))


def _slope_of_call(atom: str, args: tuple[Expr, ...], slopes: Mapping[Node, Expr]) -> Expr:
    total: Expr = ZERO
    for partial, arg in zip(ATOMS[atom].slopes, args, strict=True):
        if slopes[arg] != ZERO:
            total = plus(total, times(partial(*args), slopes[arg]))
    return total
