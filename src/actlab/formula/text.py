"""A formula as text that the parser reads back to the same tree."""

from __future__ import annotations

from fractions import Fraction

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
    walk,
)

# How tightly a node binds: sums 1, products 2, signs 3, powers 4, everything with brackets of its own 5.
_SUM, _PRODUCT, _SIGN, _POWER, _WHOLE = 1, 2, 3, 4, 5

_LONGEST = 20_000


def text(root: Node) -> str:
    """Return the formula as its author would type it.

    A tree whose text would be too long is represented by its digest.
    """
    if root.size > _LONGEST:
        return f"<formula of {root.size} nodes, {root.digest}>"
    done: dict[Node, tuple[str, int]] = {}
    for node in walk(root):
        done[node] = _spelled(node, done)
    return done[root][0]


def number_text(value: Fraction) -> str:
    """Return the number as a decimal if it is one, else as a quotient."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if rest != 1:
        return f"{value.numerator}/{value.denominator}"
    return _decimal(value)


def _decimal(value: Fraction) -> str:
    places = 0
    while (value * 10**places).denominator != 1:
        places += 1
    digits = str(abs(int(value * 10**places))).rjust(places + 1, "0")
    sign = "-" if value < 0 else ""
    if places > 30:
        whole = digits.lstrip("0")
        return f"{sign}{whole[0]}.{whole[1:] or '0'}e{len(whole) - 1 - places}"
    if places == 0 and len(digits) > 21:
        whole = digits.rstrip("0")
        return f"{sign}{whole}e{len(digits) - len(whole)}"
    return f"{sign}{digits[:-places]}.{digits[-places:]}" if places else sign + digits


def _spelled(node: Node, done: dict[Node, tuple[str, int]]) -> tuple[str, int]:
    def at(child: Expr, least: int) -> str:
        spelled, binding = done[child]
        return spelled if binding >= least else f"({spelled})"

    match node:
        case Number(value):
            spelled = number_text(value)
            return spelled, _PRODUCT if "/" in spelled else _SIGN if value < 0 else _WHOLE
        case Constant(name) | Input(name) | ParamRef(name):
            return name, _WHOLE
        case Neg(operand):
            return f"-{at(operand, _SIGN)}", _SIGN
        case Add(left, right):
            return f"{at(left, _SUM)} + {at(right, _PRODUCT)}", _SUM
        case Sub(left, right):
            return f"{at(left, _SUM)} - {at(right, _PRODUCT)}", _SUM
        case Mul(left, right):
            return f"{at(left, _PRODUCT)}*{at(right, _SIGN)}", _PRODUCT
        case Div(left, right):
            return f"{at(left, _PRODUCT)}/{at(right, _SIGN)}", _PRODUCT
        case Pow(base, exponent):
            return f"{at(base, _WHOLE)}**{at(exponent, _SIGN)}", _POWER
        case Call("spherical_bessel", (Number(order), x)) if order == 0:
            return f"sinc({at(x, 0)})", _WHOLE
        case Call(atom, args):
            return f"{atom}({', '.join(at(arg, 0) for arg in args)})", _WHOLE
        case Compare(order, left, right):
            return f"{at(left, 0)} {order} {at(right, 0)}", 0
        case Where(condition, then, otherwise):
            return f"where({done[condition][0]}, {at(then, 0)}, {at(otherwise, 0)})", _WHOLE
        case Over(reduction, operand):
            return f"{reduction}({at(operand, 0)})", _WHOLE
    raise AssertionError(f"no spelling for {type(node).__name__}")
