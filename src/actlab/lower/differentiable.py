"""The same formula, written so that automatic differentiation of its program is right too.

A program evaluates both branches of a case distinction and multiplies the derivative of the one it drops by 0. If that
derivative is infinite or NaN there, so is the gradient of the whole. The cure is to keep every branch within the
inputs that it is for: its input is clamped to them, or exchanged for a harmless number elsewhere. The values stay the
same to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from actlab.errors import ActlabError
from actlab.formula.atoms import abs as absolute
from actlab.formula.constant import constant_value
from actlab.formula.derivative import derivative
from actlab.formula.expr import (
    Add,
    Call,
    Compare,
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
    input_names,
    is_constant,
    walk,
)
from actlab.formula.substitute import rebuilt, substitute

# A condition and whether it holds.
Case = tuple[Compare, bool]

_CLAMP = "torch.clamp({0}"
"""How the atom begins whose name is its own template: no other target has one operator with PyTorch's gradient."""

# Their derivative is bounded, and 0 at infinity or 1.
_BOUNDED = frozenset(
    {"sigmoid", "tanh", "erf", "erfc", "normal_cdf", "log_sigmoid", "softplus", "atan", "abs", "sign", "min", "max"}
)
_SATURATING = frozenset({"sigmoid", "tanh", "erf", "erfc", "normal_cdf"})

# Exponents at which eᵘ may be large enough for the function around it to be constant, and where float32 still has it.
_EXPONENTS = (4, 7, 11, 20, 40, 80)

# Numbers to put in place of an input that a branch is not for, the plainest first.
_HARMLESS = tuple(map(Fraction, ("0", "1", "-1", "2", "-2", "1/2", "-1/2", "4", "-4", "100", "-100")))

# Where the derivative of a case distinction is looked at: next to 0, around 1, up to the largest float32.
_PROBES = tuple(
    sign * Fraction(size) for size in (0, 1e-30, 1e-6, 0.3, 1, 1.7, 5, 30, 100, 1e4, 1e18, 3e38) for sign in (1, -1)
)
_HUGE = 1e38


def differentiable(root: Expr, values: Mapping[Expr, Expr] | None = None) -> Expr:
    """Return a formula with the same values whose program automatic differentiation differentiates correctly.

    Args:
        root: the formula.
        values: a number for each of its parameters, at which harmless inputs are looked for.

    Example:
        >>> from actlab.formula.parser import parse
        >>> from actlab.formula.text import text
        >>> text(differentiable(parse("where(x*x < 1, 0, log(x*x))")))
        'where(x*x < 1, 0, log(where(x*x < 1, 1, x)*where(x*x < 1, 1, x)))'
    """
    chosen = _with_chosen_sides(root)
    return _with_held_exponents(_Guard(chosen, values or {}).guarded(chosen))


def is_clamp(node: Node) -> bool:
    """Return whether the node is a clamp; its atom is its template for PyTorch."""
    return isinstance(node, Call) and node.atom.startswith(_CLAMP)


def _with_chosen_sides(root: Expr) -> Expr:
    """Return the formula with case distinctions for `min` and `max`, which PyTorch differentiates by halves at a tie.

    At a tie the derivative is the first argument's. A comparison is false at NaN, so that the side with all the
    inputs is the one that it leads to. √(x²) becomes |x|, which has a derivative at 0.
    """
    done: dict[Node, Node] = {}
    for node in walk(root):
        new = rebuilt(node, done)
        match new:
            case Call("min" | "max", (first, second)):
                new = _side(new.atom, first, second) or new
            case Call("sqrt", (Pow(base, Number(Fraction(numerator=2, denominator=1))),)):
                new = absolute(base)
            case Call("sqrt", (Mul(left, right),)) if left == right:
                new = absolute(left)
        done[node] = new
    return _expression(done[root])


def _side(atom: str, first: Expr, second: Expr) -> Expr | None:
    of_first, of_second = input_names(first), input_names(second)
    if of_first >= of_second:
        return Where(Compare("<" if atom == "max" else ">", first, second), second, first)
    if of_second >= of_first:
        return Where(Compare(">=" if atom == "max" else "<=", first, second), first, second)
    return None


class _Guard:
    """Keeps the branches of one formula within the inputs that they are for."""

    def __init__(self, root: Expr, values: Mapping[Expr, Expr]) -> None:
        self.values = values
        # where a parameter decides on a branch, its own gradient is to be kept finite too
        decided = {type(part) for node in walk(root) if isinstance(node, Compare) for part in walk(node)}
        self.leaves: tuple[type[Expr], ...] = (Input, ParamRef) if ParamRef in decided else (Input,)
        self.done: dict[Node, Node] = {}
        self.known_calm: dict[Node, bool] = {}

    def guarded(self, root: Expr) -> Expr:
        for node in walk(root):
            self.done[node] = self.distinction(node, ()) if isinstance(node, Where) else rebuilt(node, self.done)
        return _expression(self.done[root])

    def distinction(self, node: Where, outer: tuple[Case, ...]) -> Where:
        condition = self.done[node.condition]
        assert isinstance(condition, Compare)
        if not self.varies(condition):  # it holds or not for every input
            return Where(condition, self.branch(node.then, outer), self.branch(node.otherwise, outer))
        then = self.branch(node.then, (*outer, (condition, True)))
        return Where(condition, then, self.branch(node.otherwise, (*outer, (condition, False))))

    def branch(self, node: Expr, cases: tuple[Case, ...]) -> Expr:
        """Return the branch for these cases, finite and with a finite derivative in all others."""
        if isinstance(node, Where):
            return self.distinction(node, cases)
        if self.is_calm(node) or not cases:
            return _expression(self.done[node])
        units = self.units(node)
        exchange = self.clamps(node, units, cases)
        if exchange is None:
            exchange = {} if self.is_gated(node) else self.replacements(node, units, cases)
        return substitute(_expression(self.done[node]), exchange)

    def units(self, node: Expr) -> list[Expr]:
        """Return the parts whose numbers make the branch infinite: its inputs, or what is computed of them calmly."""
        if not any(isinstance(part, Where | Over) for part in walk(node)):
            return [part for part in walk(node) if isinstance(part, self.leaves)]
        units: dict[Expr, None] = {}
        waiting = [node]
        while waiting:
            part = waiting.pop()
            if self.is_calm(part) or isinstance(part, Where | Over):
                units.setdefault(part)
            else:
                waiting += [child for child in part.children if isinstance(child, Expr) and self.varies(child)]
        return list(units)

    def clamps(self, node: Expr, units: list[Expr], cases: tuple[Case, ...]) -> dict[Expr, Expr] | None:
        """Return the branch's input clamped to the interval of its cases; None if they are not an interval."""
        if len(units) != 1 or not isinstance(units[0], Input):
            return None
        (x,) = units
        low, high = None, None
        for case in cases:
            bounds = self.bounds(x, case)
            if bounds is None:
                return None
            low = max((each for each in (low, bounds[0]) if each is not None), default=None)
            high = min((each for each in (high, bounds[1]) if each is not None), default=None)
        ends = [each for each in (low, high) if each is not None]
        if not ends or not all(self.is_harmless(node, units, end) for end in ends):
            return None
        return {x: _clamped(x, low, high)}

    def bounds(self, x: Expr, case: Case) -> tuple[Fraction | None, Fraction | None] | None:
        """Return between which numbers x lies in this case; None if it lies in no interval."""
        condition, holds = case
        left, right, is_less = condition.left, condition.right, condition.order.startswith("<")
        if is_constant(left):
            left, right, is_less = right, left, not is_less
        if not is_constant(right):
            return None
        limit = right.value if isinstance(right, Number) else Fraction(constant_value(right))
        if left == x:
            return (None, limit) if is_less == holds else (limit, None)
        return (-limit, limit) if left == absolute(x) and is_less == holds and limit >= 0 else None

    def replacements(self, node: Expr, units: list[Expr], cases: tuple[Case, ...]) -> dict[Expr, Expr]:
        """Return harmless numbers for the units outside the cases; none if there are none."""
        number = next((each for each in _HARMLESS if self.is_harmless(node, units, each)), None)
        if number is None:
            return {}
        exchange: dict[Expr, Expr] = {}
        for unit in units:
            kept = guarded = _expression(self.done[unit])
            for condition, holds in reversed(cases):
                kept = Where(condition, kept, Number(number)) if holds else Where(condition, Number(number), kept)
            exchange[guarded] = kept
        return exchange

    def is_harmless(self, node: Expr, units: list[Expr], number: Fraction) -> bool:
        """Return whether the branch and its derivatives are finite where all its units are this number."""
        stand_ins: dict[Expr, Expr] = {unit: Input(f"unit{at}") for at, unit in enumerate(units)}
        formula = substitute(substitute(node, stand_ins), self.values)
        at = dict.fromkeys(stand_ins.values(), expr(number))
        slopes = [derivative(formula, unit) for unit in at if isinstance(unit, Input)]
        return all(_is_finite(substitute(each, at)) for each in (formula, *slopes))

    def is_calm(self, node: Expr) -> bool:
        """Return whether the derivative of the part's program is finite at every input, even where it overflows."""
        found = self.known_calm.get(node)
        if found is None:
            found = self.known_calm[node] = self._is_calm(node)
        return found

    def _is_calm(self, node: Expr) -> bool:
        match node:
            case Call(atom, args):
                return atom in _BOUNDED and all(map(self.is_linear, args))
            case Neg(operand):
                return self.is_calm(operand)
            case Add(left, right) | Sub(left, right):
                return self.is_calm(left) and self.is_calm(right)
            case Mul(left, right):
                return self.is_linear(node) or any(
                    not self.varies(one) and self.is_calm(other) for one, other in ((left, right), (right, left))
                )
            case Div(left, right):
                return not self.varies(right) and self.is_calm(left)
            case Where(_, then, otherwise):
                return (self.is_calm(then) and self.is_calm(otherwise)) or self.has_finite_derivative(node)
        return self.is_linear(node)

    def has_finite_derivative(self, node: Where) -> bool:
        """Return whether the derivative of the case distinction, its branches guarded, is finite at the probes."""
        if any(isinstance(part, Over) for part in walk(node)):
            return False
        formula = substitute(node, self.values)
        inputs = [part for part in walk(formula) if isinstance(part, Input)]
        for by in inputs:
            slope = derivative(formula, by)
            if not all(_is_finite(_decided(slope, dict.fromkeys(inputs, expr(probe)))) for probe in _PROBES):
                return False
        return True

    def is_linear(self, node: Expr) -> bool:
        match node:
            case Input() | ParamRef() | Over():
                return True
            case Neg(operand):
                return self.is_linear(operand)
            case Add(left, right) | Sub(left, right):
                return self.is_linear(left) and self.is_linear(right)
            case Mul(left, right):
                return (not self.varies(left) and self.is_linear(right)) or (
                    not self.varies(right) and self.is_linear(left)
                )
            case Div(left, right):
                return not self.varies(right) and self.is_linear(left)
        return not self.varies(node)

    def is_gated(self, node: Expr) -> bool:
        """Return whether it is an input times a bounded function of it, of finite derivative at every finite input."""
        if not isinstance(node, Mul):
            return False
        sides = ((node.left, node.right), (node.right, node.left))
        return any(
            self.is_linear(one)
            and isinstance(other, Call)
            and other.atom in _SATURATING
            and all(map(self.is_linear, other.args))
            for one, other in sides
        )

    def varies(self, node: Node) -> bool:
        return any(isinstance(part, self.leaves) for part in walk(node))


def _is_finite(formula: Expr) -> bool:
    try:
        return -_HUGE < constant_value(formula) < _HUGE
    except ActlabError:
        return False


def _decided(formula: Expr, at: Mapping[Expr, Expr]) -> Expr:
    """Return the formula at these inputs, without the branches that it does not take there."""
    done: dict[Node, Node] = dict(at.items())
    for node in walk(formula):
        if node in done:
            continue
        new = rebuilt(node, done)
        if isinstance(new, Where):
            sides = (new.condition.left, new.condition.right)
            new = (new.then if _holds(new) else new.otherwise) if all(map(_is_finite, sides)) else new
        done[node] = new
    return _expression(done[formula])


def _holds(node: Where) -> bool:
    return constant_value(Where(node.condition, expr(1), expr(0))) == 1


def _clamped(x: Expr, low: Fraction | None, high: Fraction | None) -> Call:
    limits = [f"{name}={float(end)!r}" for name, end in (("min", low), ("max", high)) if end is not None]
    return Call(f"{_CLAMP}, {', '.join(limits)})", (x,))


def _with_held_exponents(root: Expr) -> Expr:
    """Return the formula with the exponents clamped of exponentials that overflow inside a function that saturates.

    The derivative of tanh(eˣ) is 0·∞ as soon as eˣ overflows. Beyond the clamp the function is constant to every digit.
    """
    done: dict[Node, Node] = {}
    for node in walk(root):
        new = rebuilt(node, done)
        done[node] = _held(new) if isinstance(new, Call) and new.atom in _SATURATING | {"exp", "expm1"} else new
    return _expression(done[root])


def _held(node: Call) -> Expr:
    parts = (part for arg in node.args for part in walk(arg) if not is_constant(part))
    inner = [part for part in parts if isinstance(part, Call) and part.atom == "exp"]
    for part in inner:
        if is_clamp(part.args[0]):
            continue
        limit = _exponent(node, part)
        if limit is not None:
            held = Call("exp", (_clamped(part.args[0], None, Fraction(limit)),))
            node_with = substitute(node, {part: held})
            assert isinstance(node_with, Call)
            node = node_with
    return node


def _exponent(node: Call, part: Call) -> int | None:
    """Return the exponent of this exponential beyond which the node is constant; None if there is none."""
    at = {size: substitute(node, {part: Number(Fraction(2) ** (size * 7 // 5))}) for size in _EXPONENTS}
    if not all(map(is_constant, at.values())):
        return _EXPONENTS[-1] if node.atom in _SATURATING else None
    try:
        last = constant_value(at[_EXPONENTS[-1]])
        return next(size for size in _EXPONENTS if constant_value(at[size]) == last)
    except ActlabError:
        return None


def _expression(node: Node) -> Expr:
    assert isinstance(node, Expr)
    return node
