"""The matcher that applies `formula.identities`: terms and factors in any order, signs wherever they are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import reduce
from itertools import permutations

from actlab.formula.expr import Add, Call, Div, Expr, Input, Mul, Neg, Node, Number, Pow, Sub, is_constant
from actlab.formula.identities import IDENTITIES, n, r

ONE, TWO = Number(Fraction(1)), Number(Fraction(2))

Bindings = Mapping[Input, Expr]


def settled(node: Expr) -> Expr:
    """Return the node after every identity that applies to it; its parts must be settled already."""
    rows = _ROWS.get(_kind(node), ())
    heads = _heads(node) if rows else frozenset()
    for row, needed in rows:
        found = matched(row.left, node) if needed <= heads else None
        if found is not None:
            return node if is_constant(node) else _filled(row.right, found)
    return node


def matched(pattern: Expr, node: Expr) -> Bindings | None:
    """Return what the symbols of the pattern stand for where it matches the node, else None."""
    return next(_matches(pattern, node, {}), None)


def _kind(node: Node) -> str:
    return node.atom if isinstance(node, Call) else "Add" if isinstance(node, Sub) else type(node).__name__


def _heads(node: Expr) -> frozenset[str]:
    """Return the kinds of the parts, without signs and symbols: a quick test that rules out most rows."""
    parts = (part.operand if isinstance(part, Neg) else part for part in node.children)
    return frozenset(_kind(part) for part in parts if not isinstance(part, Input) and not _is_open(part))


def _is_open(part: Node) -> bool:
    return isinstance(part, Mul) and part.left == r


_ROWS = {
    kind: tuple((row, _heads(row.left)) for row in IDENTITIES if _kind(row.left) == kind)
    for kind in map(_kind, (row.left for row in IDENTITIES))
}


def _matches(pattern: Expr, node: Expr, known: Bindings) -> Iterator[Bindings]:
    """Yield every way to fill the symbols of the pattern so that it equals the node."""
    match pattern, node:
        case (Input(), _):
            yield from _bound(pattern, node, known)
        case (Number(value), _):
            yield from (known,) if value_of(node) == value else ()
        case (Neg(Input() as symbol), _):
            yield from _bound(symbol, opposite(node), known)
        case (Neg(), Neg()):
            yield from _matches(pattern.operand, node.operand, known)
        case (Add() | Sub(), Add() | Sub()):
            (sign, one), (other_sign, other) = _terms(pattern)
            for first, second in permutations(_terms(node)):
                if (first[0], second[0]) == (sign, other_sign):
                    yield from _both(known, (one, first[1]), (other, second[1]))
        case (Mul(_, factor), _) if _is_open(pattern):
            parts, sign = _factors(node)
            for at, part in enumerate(parts):
                for found in _matches(factor, part, known):
                    rest = _product(parts[:at] + parts[at + 1 :])
                    yield {**found, r: rest if sign > 0 else Neg(rest)}
        case (Mul(), Mul()):
            for left, right in permutations((node.left, node.right)):
                yield from _both(known, (pattern.right, right), (pattern.left, left))
        case (Div(), Div()):
            yield from _both(known, (pattern.right, node.right), (pattern.left, node.left))
        case (Pow(), Pow()):
            yield from _both(known, (pattern.base, node.base), (pattern.exponent, node.exponent))
        case (Call("sqrt", (base,)), Pow()) if value_of(node.exponent) == Fraction(1, 2):
            yield from _matches(base, node.base, known)
        case (Call(), Call()) if pattern.atom == node.atom and len(node.args) == 1:
            yield from _matches(pattern.args[0], node.args[0], known)


def _both(known: Bindings, *pairs: tuple[Expr, Expr]) -> Iterator[Bindings]:
    (pattern, node), *others = pairs
    for found in _matches(pattern, node, known):
        yield from _both(found, *others) if others else (found,)


def _bound(symbol: Input, node: Expr, known: Bindings) -> Iterator[Bindings]:
    if symbol in known:
        yield from (known,) if signed(known[symbol]) == signed(node) else ()
    elif symbol == n:
        power = value_of(node)
        yield from ({**known, n: Number(power)},) if power and power >= 2 and power.denominator == 1 else ()
    else:
        yield {**known, symbol: node}


def _terms(node: Add | Sub) -> tuple[tuple[int, Expr], tuple[int, Expr]]:
    """Return both terms of a sum or a difference, each after its sign."""
    (one, left), (other, right) = (
        signed(term) if isinstance(term, Neg | Number) else (1, term) for term in (node.left, node.right)
    )
    return (one, left), (-other if isinstance(node, Sub) else other, right)


def _factors(product: Expr) -> tuple[list[Expr], int]:
    """Return the factors of a product, left to right, and its sign."""
    factors, waiting, sign = [], [product], 1
    while waiting:
        match waiting.pop():
            case Mul(left, right):
                waiting += right, left
            case Neg(operand):
                waiting.append(operand)
                sign = -sign
            case factor:
                factors.append(factor)
    return factors, sign


def _product(factors: list[Expr]) -> Expr:
    return reduce(Mul, factors) if factors else ONE


def _filled(template: Expr, known: Bindings) -> Expr:
    """Return the template with its symbols replaced, without double signs and factors of 1, and every part settled."""
    if isinstance(template, Input):
        return known[template]
    parts = [_filled(part, known) for part in template.children]  # type: ignore[arg-type]  # no condition among them
    match template:
        case Neg():
            return opposite(*parts)
        case Sub():
            return minus(*parts)
        case Mul() if ONE in parts:
            return parts[0] if parts[1] == ONE else parts[1]
        case Pow() if parts[1] == ONE:
            return parts[0]
        case Call(atom):
            return settled(Call(atom, tuple(parts)))
    return settled(type(template)(*parts)) if parts else template


def value_of(node: Expr) -> Fraction | None:
    """Return the number that a number, its negative or a quotient of two is."""
    if isinstance(node, Neg):
        value = value_of(node.operand)
        return None if value is None else -value
    if isinstance(node, Div):
        above, below = value_of(node.left), value_of(node.right)
        return None if above is None or not below else above / below
    return node.value if isinstance(node, Number) else None


def signed(node: Expr) -> tuple[int, Expr]:
    """Return the sign of a product or a quotient, and the node without it."""
    match node:
        case Neg(operand):
            sign, core = signed(operand)
            return -sign, core
        case Number(value) if value < 0:
            return -1, Number(-value)
        case Mul(left, right) | Div(left, right):
            (one, first), (other, second) = signed(left), signed(right)
            if other < 0 or one < 0:
                return one * other, type(node)(first, second)
    return 1, node


def opposite(node: Expr) -> Expr:
    """Return -u, without a sign that is there already."""
    sign, core = signed(node)
    return core if sign < 0 else Neg(node)


def minus(left: Expr, right: Expr) -> Expr:
    """Return left - right; of a formula and its negative, twice the formula."""
    if isinstance(left, Number) and isinstance(right, Number):
        return Number(left.value - right.value)
    (one, first), (other, second) = signed(left), signed(right)
    return Mul(TWO, left) if first == second and one != other else Sub(left, right)
