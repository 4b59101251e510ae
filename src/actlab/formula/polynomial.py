"""Sums of products, multiplied out exactly: to see whether a numerator collapses."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from actlab.formula.expr import Add, Div, Expr, Mul, Neg, Node, Number, Pow, Sub, expr, walk

# A monomial is a sorted tuple of (factor's digest, power); the digests are looked up in a table of factors.
Monomial = tuple[tuple[str, int], ...]
Polynomial = Mapping[Monomial, Fraction]

_MOST_TERMS = 12
_MOST_POWER = 4


def collapsed(root: Expr) -> Expr | None:
    """Return the same polynomial if multiplying out leaves one term or none, else None.

    Anything but sums, products and small powers counts as an unknown. The arithmetic is exact.
    """
    factors: dict[str, Expr] = {}
    terms = _terms(root, factors)
    if terms is None or len(terms) > 1:
        return None
    for monomial, coefficient in terms.items():
        return _product(monomial, coefficient, factors)
    return expr(0)


def _terms(root: Expr, factors: dict[str, Expr]) -> Polynomial | None:
    done: dict[Node, Polynomial | None] = {}
    for node in walk(root):
        if isinstance(node, Expr):
            done[node] = _multiplied_out(node, done, factors)
    return done[root]


def _multiplied_out(node: Expr, done: Mapping[Node, Polynomial | None], factors: dict[str, Expr]) -> Polynomial | None:
    match node:
        case Number(value):
            return {(): value} if value else {}
        case Neg(operand):
            return _scaled(done[operand], Fraction(-1))
        case Add(left, right):
            return _added(done[left], done[right])
        case Sub(left, right):
            return _added(done[left], _scaled(done[right], Fraction(-1)))
        case Mul(left, right):
            return _multiplied(done[left], done[right])
        case Div(left, Number(value)) if value:
            return _scaled(done[left], 1 / value)
        case Pow(base, Number(value)) if value.denominator == 1 and 1 <= value <= _MOST_POWER:
            return _raised(done[base], int(value))
        case _:
            factors[node.digest] = node
            return {((node.digest, 1),): Fraction(1)}


def _scaled(terms: Polynomial | None, by: Fraction) -> Polynomial | None:
    return None if terms is None else {monomial: value * by for monomial, value in terms.items()}


def _added(left: Polynomial | None, right: Polynomial | None) -> Polynomial | None:
    if left is None or right is None:
        return None
    total = dict(left)
    for monomial, value in right.items():
        total[monomial] = total.get(monomial, Fraction(0)) + value
    return _bounded({monomial: value for monomial, value in total.items() if value})


def _multiplied(left: Polynomial | None, right: Polynomial | None) -> Polynomial | None:
    if left is None or right is None:
        return None
    total: dict[Monomial, Fraction] = {}
    for one, value in left.items():
        for other, factor in right.items():
            powers = dict(one)
            for digest, power in other:
                powers[digest] = powers.get(digest, 0) + power
            monomial = tuple(sorted(powers.items()))
            total[monomial] = total.get(monomial, Fraction(0)) + value * factor
    return _bounded({monomial: value for monomial, value in total.items() if value})


def _raised(terms: Polynomial | None, power: int) -> Polynomial | None:
    result: Polynomial | None = {(): Fraction(1)}
    for _ in range(power):
        result = _multiplied(result, terms)
    return result


def _bounded(terms: Polynomial) -> Polynomial | None:
    return terms if len(terms) <= _MOST_TERMS else None


def _product(monomial: Monomial, coefficient: Fraction, factors: Mapping[str, Expr]) -> Expr:
    result: Expr | None = None if coefficient == 1 and monomial else Number(coefficient)
    for digest, power in monomial:
        factor = factors[digest] if power == 1 else Pow(factors[digest], expr(power))
        result = factor if result is None else Mul(result, factor)
    assert result is not None
    return result
