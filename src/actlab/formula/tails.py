"""The same function in atoms that keep their tails: `log(1 + exp(x))` is `softplus(x)`, `1/(1 + exp(-x))` its sigmoid.

What a user types is mathematics; computed step by step it overflows or rounds away what the function still has. Only
identities that hold for all real numbers are used, and only where the left side loses digits or range; everything
else stays as it was written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Any, TypeGuard

from actlab.formula.atoms import erfc, exp, expm1, log1p, log_sigmoid, normal_cdf, sigmoid, softplus, tanh
from actlab.formula.expr import Add, Call, Div, Expr, Mul, Neg, Node, Number, Pow, Sub, is_constant, walk
from actlab.formula.substitute import rebuilt

ZERO, ONE, TWO, HALF = (Number(Fraction(value, 2)) for value in (0, 2, 4, 1))


def with_tails(root: Expr) -> Expr:
    """The formula in atoms that stay finite and keep their tails.

    Example:
        >>> from actlab.formula.parser import parse
        >>> from actlab.formula.text import text
        >>> [text(with_tails(parse(each))) for each in ("x*tanh(log(1 + exp(x)))", "x/(1 + exp(-x))", "exp(x) - 2")]
        ['x*tanh(softplus(x))', 'x*sigmoid(x)', 'exp(x) - 2']
    """
    done: dict[Node, Node] = {}
    for node in walk(root):
        new = _log_beside_one(node, done) or rebuilt(node, done)
        done[node] = _settled(new) if isinstance(new, Expr) else new
    result = done[root]
    assert isinstance(result, Expr)
    return result


def _settled(node: Expr) -> Expr:
    """The node after every rule that applies; its parts are settled."""
    rule = _RULES.get(type(node))
    found = None if rule is None else rule(node)
    return node if found is None or is_constant(node) else _settled(found)


def _log_beside_one(node: Node, done: Mapping[Node, Node]) -> Expr | None:
    """log(1 + u) as it stands: near 0 it keeps digits that every other form of 1 + u has rounded away."""
    inner = node.args[0] if _is_call(node, "log") else None
    is_less = isinstance(inner, Sub) and inner.left == ONE
    other = inner.right if isinstance(inner, Sub) and is_less else _one_plus(inner)
    if other is None:
        return None
    settled = done[other]
    assert isinstance(settled, Expr)
    settled = _opposite(settled) if is_less else settled
    sign, core = _signed(settled)
    return None if sign < 0 and _complement(core) is not None else log1p(settled)


def _log(node: Call) -> Expr | None:
    """log(sigmoid(u)), log(exp(u) + exp(v)); log1p(exp(u))."""
    (inner,) = node.args if len(node.args) == 1 else (None,)
    if node.atom == "log1p" and _is_call(inner, "exp"):
        return softplus(inner.args[0])
    if node.atom != "log" or inner is None:
        return None
    if _is_call(inner, "sigmoid"):
        return log_sigmoid(inner.args[0])
    if isinstance(inner, Add) and _is_call(inner.left, "exp") and _is_call(inner.right, "exp"):
        first, second = inner.left.args[0], inner.right.args[0]
        return Add(first, softplus(_minus(second, first)))
    return None


def _sum(node: Expr) -> Expr | None:
    """exp(u) - 1; 1 - sigmoid(u), 1 ± tanh(u), 1 - tanh(u)², 1 ± erf(u), 1 - normal_cdf(u); 2·sigmoid(u) - 1."""
    other = _less_one(node)
    if other is not None:
        if _is_call(other, "exp"):
            return expm1(other.args[0])
        doubled = _doubled(other)
        return tanh(_half(doubled.args[0])) if _is_call(doubled, "sigmoid") else None
    other = _one_less(node)
    if other is not None:
        return _complement(other)
    other = _one_plus(node)
    if _is_call(other, "tanh"):
        return Mul(TWO, sigmoid(Mul(TWO, other.args[0])))
    if _is_call(other, "erf"):
        return _erf_and_one(other.args[0])
    return None


def _complement(other: Expr) -> Expr | None:
    """1 - f(u), where it has a form of its own."""
    doubled, root = _doubled(other), _squared(other)
    if _is_call(doubled, "sigmoid"):
        return tanh(_half(_opposite(doubled.args[0])))
    if _is_call(root, "tanh"):
        twice = Mul(TWO, root.args[0])
        return Mul(Number(Fraction(4)), Mul(sigmoid(twice), sigmoid(_opposite(twice))))
    if not isinstance(other, Call) or len(other.args) != 1:
        return None
    opposite = _opposite(other.args[0])
    match other.atom:
        case "exp":
            return Neg(expm1(other.args[0]))
        case "sigmoid":
            return sigmoid(opposite)
        case "normal_cdf":
            return normal_cdf(opposite)
        case "tanh":
            return Mul(TWO, sigmoid(Mul(TWO, opposite)))
        case "erf":
            return _erf_and_one(opposite)
    return None


def _erf_and_one(argument: Expr) -> Expr:
    """1 + erf(u)."""
    standard = _of_root_two(argument)
    return erfc(_opposite(argument)) if standard is None else Mul(TWO, normal_cdf(standard))


def _of_root_two(argument: Expr) -> Expr | None:
    """The u of u/√2, however that is written."""
    sign, core = _signed(argument)
    found = None
    if isinstance(core, Div) and _is_root(core.right, Fraction(2)):
        found = core.left
    elif isinstance(core, Mul):
        for root, rest in ((core.left, core.right), (core.right, core.left)):
            is_inverse = isinstance(root, Div) and root.left == ONE and _is_root(root.right, Fraction(2))
            if is_inverse or _is_root(root, Fraction(1, 2)):
                found = rest
    return None if found is None else found if sign > 0 else _opposite(found)


def _is_root(node: Expr, of: Fraction) -> bool:
    if isinstance(node, Pow):
        return node.exponent == Number(Fraction(1, 2)) and _value(node.base) == of
    return _is_call(node, "sqrt") and _value(node.args[0]) == of


def _value(node: Expr) -> Fraction | None:
    """The number that a number, its negative or a quotient of two is."""
    if isinstance(node, Neg):
        value = _value(node.operand)
        return None if value is None else -value
    if isinstance(node, Div):
        above, below = _value(node.left), _value(node.right)
        return None if above is None or not below else above / below
    return node.value if isinstance(node, Number) else None


def _quotient(node: Div) -> Expr | None:
    """A quotient by exp(u) + exp(v), of which one may be 1; 2·u/2."""
    if node.right == TWO:
        return _without(node.left, TWO)
    base, power = node.right, Fraction(1)
    if isinstance(node.right, Pow):
        base, power = node.right.base, _value(node.right.exponent) or Fraction(0)
    below = _two_powers(base)
    if below is None or power.denominator != 1 or power < 1:
        return None
    first, second = below
    if power == 1:
        across = _across(node.left, first, second)
        if across is not None:
            return across
    for mine, its in ((first, second), (second, first)):
        if mine == ZERO:
            share = sigmoid(_opposite(its))
            return _settled_product(node.left, share if power == 1 else Pow(share, Number(power)))
    if power > 1:
        return None
    for mine, its in ((first, second), (second, first)):
        rest = _without(node.left, exp(mine))
        if rest is not None:
            share = sigmoid(_minus(mine, its))
            return share if rest == ONE else Mul(rest, share)
    return None


def _across(above: Expr, first: Expr, second: Expr) -> Expr | None:
    """tanh((u - v)/2), where the dividend is exp(u) - exp(v) or its opposite."""
    sign, core = _signed(above)
    difference: tuple[Expr, Expr] | None = None
    if _is_call(core, "expm1") and ZERO in (first, second):
        other = second if first == ZERO else first
        difference = (other, ZERO) if core.args[0] == other else None
    elif isinstance(core, Sub) and _is_call(core.left, "exp") and _is_call(core.right, "exp"):
        difference = core.left.args[0], core.right.args[0]
    if difference is None or {*difference} != {first, second}:
        return None
    return tanh(_half(_minus(*difference[::sign])))


def _two_powers(base: Expr) -> tuple[Expr, Expr] | None:
    """The u and v of exp(u) + exp(v); 1 is exp(0)."""
    if not isinstance(base, Add):
        return None
    parts = [
        ZERO if part == ONE else part.args[0] if _is_call(part, "exp") else None for part in (base.left, base.right)
    ]
    left, right = parts
    return None if left is None or right is None or left == right == ZERO else (left, right)


def _settled_product(above: Expr, share: Expr) -> Expr:
    return share if above == ONE else _settled(Mul(above, share))


def _product(node: Mul) -> Expr | None:
    """exp(u)·sigmoid(-u) and u/2·2, whatever stands between."""
    doubled = _doubled(node.right)
    if doubled is not None:
        rest = _without(node.left, HALF)
        return rest if rest is None else doubled if rest == ONE else Mul(rest, doubled)
    share, power = (node.right.base, node.right.exponent) if isinstance(node.right, Pow) else (node.right, ONE)
    if not _is_call(share, "sigmoid") or not isinstance(power, Number) or power.value < 1:
        return None
    grown = _opposite(share.args[0])
    rest = _without(node.left, exp(grown))
    if rest is None:
        return None
    first = sigmoid(grown) if rest == ONE else Mul(rest, sigmoid(grown))
    if power == ONE:
        return first
    left = Number(power.value - 1)
    return Mul(first, share if left == ONE else Pow(share, left))


def _without(product: Expr, factor: Expr) -> Expr | None:
    """The product without one of its factors; None where it has no such one."""
    if product == factor or _of_same_power(product, factor):
        return ONE
    if isinstance(product, Neg):
        rest = _without(product.operand, factor)
        return None if rest is None else Neg(rest)
    if isinstance(product, Mul):
        for part, other in ((product.left, product.right), (product.right, product.left)):
            rest = _without(part, factor)
            if rest is not None:
                return other if rest == ONE else Mul(other, rest) if part is product.right else Mul(rest, other)
    return None


def _of_same_power(one: Expr, other: Expr) -> bool:
    """Whether both are exponentials of the same number, however its sign is written."""
    return _is_call(one, "exp") and _is_call(other, "exp") and _signed(one.args[0]) == _signed(other.args[0])


def _power(node: Pow) -> Expr | None:
    """(1 + exp(u)) to a negative whole power."""
    below = _two_powers(node.base)
    power = _value(node.exponent)
    if below is None or ZERO not in below or power is None or power.denominator != 1 or power >= 0:
        return None
    share = sigmoid(_opposite(below[0] if below[1] == ZERO else below[1]))
    return share if power == -1 else Pow(share, Number(-power))


def _one_plus(node: Expr | None) -> Expr | None:
    """The u of 1 + u."""
    if isinstance(node, Add):
        if node.left == ONE:
            return node.right
        if node.right == ONE:
            return node.left
    return None


def _less_one(node: Expr) -> Expr | None:
    """The u of u - 1."""
    minus_one = (Number(Fraction(-1)), Neg(ONE))
    if isinstance(node, Sub) and node.right == ONE:
        return node.left
    if isinstance(node, Add):
        return node.left if node.right in minus_one else node.right if node.left in minus_one else None
    return None


def _one_less(node: Expr) -> Expr | None:
    """The u of 1 - u."""
    if isinstance(node, Sub) and node.left == ONE:
        return node.right
    other = _one_plus(node)
    if other is None:
        return None
    sign, core = _signed(other)
    return core if sign < 0 and isinstance(other, Neg) else None


def _doubled(node: Expr) -> Expr | None:
    """The u of 2·u."""
    if isinstance(node, Mul):
        return node.right if node.left == TWO else node.left if node.right == TWO else None
    return None


def _half(node: Expr) -> Expr:
    sign, core = _signed(node)
    doubled = _doubled(core)
    half = Div(core, TWO) if doubled is None else doubled
    return half if sign > 0 else Neg(half)


def _squared(node: Expr) -> Expr | None:
    """The u of u²."""
    if isinstance(node, Pow):
        return node.base if node.exponent == TWO else None
    return node.left if isinstance(node, Mul) and node.left == node.right else None


def _signed(node: Expr) -> tuple[int, Expr]:
    """The sign that a product or a quotient carries, and what is left without it."""
    match node:
        case Neg(operand):
            sign, core = _signed(operand)
            return -sign, core
        case Number(value) if value < 0:
            return -1, Number(-value)
        case Mul(left, right) | Div(left, right):
            (one, first), (other, second) = _signed(left), _signed(right)
            if other < 0 or one < 0:
                return one * other, type(node)(first, second)
    return 1, node


def _opposite(node: Expr) -> Expr:
    """-u, without a sign that is there already."""
    sign, core = _signed(node)
    return core if sign < 0 else Neg(node)


def _minus(left: Expr, right: Expr) -> Expr:
    """left - right; of a number and its negative, twice the number."""
    if right == ZERO:
        return left
    if left == ZERO:
        return _opposite(right)
    (one, first), (other, second) = _signed(left), _signed(right)
    if first == second and one != other:
        return Mul(TWO, left)
    return Sub(left, right)


def _is_call(node: Node | None, atom: str) -> TypeGuard[Call]:
    return isinstance(node, Call) and node.atom == atom


_RULES: Mapping[type, Callable[[Any], Expr | None]] = MappingProxyType(
    {Add: _sum, Sub: _sum, Mul: _product, Div: _quotient, Pow: _power, Call: _log}
)
