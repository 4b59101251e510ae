"""One name for all the ways to write a formula that differ in the order of terms and factors alone.

Nothing is cancelled or multiplied out, so two formulas of one name have the same values and derivatives, up to rounding
and to the branch that NaN takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from hashlib import sha256

from actlab.formula.expr import Add, Call, Compare, Div, Expr, Mul, Neg, Node, Number, Pow, Sub, Where, walk

# A sum: the coefficient of each product of factors, by their names and powers, sorted. "/f" divides by the factor f.
_Factors = tuple[tuple[str, int], ...]
_Sum = Mapping[_Factors, Fraction]


def canonical_name(root: Expr) -> str:
    """Return a name that is equal for formulas that differ in the order of terms and factors alone.

    Example:
        >>> from actlab.formula.parser import parse
        >>> canonical_name(parse("x*sigmoid(2*x) - 1")) == canonical_name(parse("-1 + sigmoid(x*2)*x"))
        True
    """
    sums: dict[Node, _Sum] = {}
    for node in walk(root):
        if isinstance(node, Expr):
            sums[node] = _sum_of(node, sums)
    return _name(sums[root])


def _sum_of(node: Expr, sums: Mapping[Node, _Sum]) -> _Sum:
    match node:
        case Number(value):
            return {(): value}
        case Neg(operand):
            return _scaled(sums[operand], -1)
        case Add(left, right):
            return _added(sums[left], sums[right])
        case Sub(left, right):
            return _added(sums[left], _scaled(sums[right], -1))
        case Mul(Number(value), other) | Mul(other, Number(value)):
            return _scaled(sums[other], value)
        case Mul(left, right):
            return _multiplied(sums[left], sums[right])
        case Div(left, Number(value)) if value:
            return _scaled(sums[left], 1 / value)
        case Div(left, right):
            return _multiplied(sums[left], _factor("/" + _name(sums[right])))
        case Pow(base, Number(value)) if value.denominator == 1 and 1 < value < 100:
            factors, coefficient = _as_product(sums[base])
            return {tuple((name, power * int(value)) for name, power in factors): coefficient ** int(value)}
        case Pow(base, exponent):
            return _factor(f"{_name(sums[base])}**{_name(sums[exponent])}")
        case Call(atom, args):
            return _factor(f"{atom}({','.join(_name(sums[each]) for each in args)})")
        case Where(condition, then, otherwise):
            return _factor(_name_of_choice(condition, _name(sums[then]), _name(sums[otherwise]), sums))
    return _factor(node.digest)


def _name_of_choice(condition: Compare, then: str, otherwise: str, sums: Mapping[Node, _Sum]) -> str:
    """Return the choice with its comparison as <=; a < b is the opposite of b <= a."""
    left, right = _name(sums[condition.left]), _name(sums[condition.right])
    if condition.order in (">", ">="):
        left, right = right, left
    if condition.order in ("<", ">"):
        left, right, then, otherwise = right, left, otherwise, then
    return f"where({left}<={right},{then},{otherwise})"


def _factor(name: str) -> _Sum:
    return {((sha256(name.encode()).hexdigest()[:24], 1),): Fraction(1)}


def _name(terms: _Sum) -> str:
    return "+".join(sorted(f"{coefficient}*{factors}" for factors, coefficient in terms.items()))


def _as_product(terms: _Sum) -> tuple[_Factors, Fraction]:
    """Return one term as it is; a longer sum as a single factor, beside the coefficient of its first term."""
    if len(terms) == 1:
        return next(iter(terms.items()))
    leading = next((terms[factors] for factors in sorted(terms) if terms[factors]), Fraction(1))
    (factor,) = _factor(_name(_scaled(terms, 1 / leading)))
    return factor, leading


def _scaled(terms: _Sum, by: int | Fraction) -> _Sum:
    return {factors: coefficient * by for factors, coefficient in terms.items()}


def _added(left: _Sum, right: _Sum) -> _Sum:
    total = {factors: left.get(factors, Fraction(0)) + right.get(factors, Fraction(0)) for factors in {**left, **right}}
    if len(total) > 1 and total.get(()) == 0:
        del total[()]
    return total


def _multiplied(left: _Sum, right: _Sum) -> _Sum:
    (factors, one), (others, other) = _as_product(left), _as_product(right)
    powers = dict(factors)
    for name, power in others:
        powers[name] = powers.get(name, 0) + power
    return {tuple(sorted(powers.items())): one * other}
