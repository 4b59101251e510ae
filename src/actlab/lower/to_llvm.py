"""LLVM: formulas as straight-line vector code for this CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal, localcontext
from fractions import Fraction
from math import inf
from typing import final

from actlab.errors import CannotLower
from actlab.formula.constant import constant_value
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
    is_constant,
    walk,
)
from actlab.lower.arithmetic import Arithmetic, Num, Recipe, Span, Strategy
from actlab.lower.circular import spherical_bessel
from actlab.lower.elementary import FUNCTIONS, OF_HALF_TURNS, SLOPES_AT_ZERO
from actlab.lower.exponential import sigmoid_of_two_softplus, tanh_of_softplus
from actlab.lower.numerals import LN2, PI
from actlab.lower.straight_line import Leaf
from actlab.lower.vector import DIGITS, Value

_ORDERS = {"<": "olt", "<=": "ole", ">": "ogt", ">=": "oge"}
_MOST_POWER = 64
_ZERO, _ONE, _TWO = (Number(Fraction(each)) for each in range(3))

# Below this negative power of two a function is its derivative at 0 times its argument.
_SMALL = 600

# The arithmetic, a part of one input, that input, its number, and the part's number: the number with its ends.
AtEnds = Callable[[Arithmetic, Expr, Leaf, Num, Num], Num]


@final
class Lowering:
    """Writes formulas of the given leaves into a block, each shared part once."""

    def __init__(self, arithmetic: Arithmetic, leaves: Mapping[Leaf, Num], *, at_ends: AtEnds | None = None) -> None:
        recipe = arithmetic.recipe
        self.arithmetic = _carrying(arithmetic) if recipe.strategy is Strategy.FIRM_SUMS else arithmetic
        self.leaves = leaves
        self._arguments = _of_arguments(arithmetic, leaves)
        self._functions = arithmetic
        if recipe.strategy is Strategy.FIRM_SUMS:
            self._functions = Arithmetic(arithmetic.block, replace(recipe, strategy=Strategy.FIRM))
        elif recipe.scaled:
            self._functions = Arithmetic(arithmetic.block, replace(recipe, span=Span.TINY_EXPONENTIALS))
        # of several inputs of any size only: parts of one input, which end on their own, and products that may overflow
        self._at_ends = at_ends if len(leaves) > 1 else None
        self._numbers: dict[Node, Num] = {}
        self._conditions: dict[Node, Value] = {}

    def number(self, root: Expr) -> Num:
        """Compute the formula.

        Raises:
            CannotLower: it holds something that vector code cannot spell.
        """
        for node in self._below(root):
            if isinstance(node, Compare):
                self.condition(node)
            elif node not in self._numbers:
                assert isinstance(node, Expr)
                self._numbers[node] = self._constant(node) if is_constant(node) else self._ended(node)
        return self._numbers[root]

    def _ended(self, node: Expr) -> Num:
        """Return the node's number; for a part of one input, its limit where the input is beyond its end."""
        number = self._written(node)
        if self._at_ends is None:
            return number
        leaves = [leaf for leaf in walk(node) if isinstance(leaf, Leaf)]
        if len(leaves) != 1 or isinstance(node, Leaf | Where):
            return number
        return self._at_ends(self.arithmetic, node, leaves[0], self.leaves[leaves[0]], number)

    def _below(self, root: Expr) -> Iterator[Node]:
        """Yield the nodes to write for the root, children first; nothing below a call that is written elsewhere."""
        if self._arguments is None:
            yield from walk(root)
            return
        stack: list[tuple[Node, bool]] = [(root, False)]
        while stack:
            node, ready = stack.pop()
            children = () if isinstance(node, Call) and not _is_simple(node) else node.children
            if ready or not children:
                yield node
            elif node not in self._numbers and node not in self._conditions:
                stack.append((node, True))
                stack.extend((child, False) for child in reversed(children))

    def condition(self, node: Compare) -> Value:
        """Return where the condition holds."""
        if node not in self._conditions:
            left, right = self.number(node.left), self.number(node.right)
            self._conditions[node] = self.arithmetic.compare(_ORDERS[node.order], left, right)
        return self._conditions[node]

    def product(self, factor: Num, root: Expr) -> Num:
        """Multiply the factor by the formula branch by branch: 0 where a branch is 0, whatever the factor."""
        if root == _ZERO:
            return self.arithmetic.constant(0)
        if root == _ONE:
            return factor
        if isinstance(root, Where) and not is_constant(root.condition):
            then, otherwise = self.product(factor, root.then), self.product(factor, root.otherwise)
            return self.arithmetic.select(self.condition(root.condition), then, otherwise)
        return self.arithmetic.mul(*self._held(factor, self.number(root)))

    def _beside(self, left: Num, right: Expr) -> Num:
        """Return the factor, finite beside a branch that is 0: a closed gate lets nothing through."""
        if self._at_ends is None or not isinstance(right, Where) or _ZERO not in (right.then, right.otherwise):
            return left
        a, zero = self.arithmetic, self.arithmetic.constant(0)
        then, otherwise = (zero if branch == _ZERO else left for branch in (right.then, right.otherwise))
        infinite = a.block.compare("oeq", a.block.abs(left.hi), a.real(inf))
        return a.select(infinite, a.select(self.condition(right.condition), then, otherwise), left)

    def _held(self, left: Num, right: Num) -> tuple[Num, Num]:
        """Return two factors whose product cannot overflow before a pending power of two is applied.

        Of one input it cannot: what grows with it is small where the power of two counts.
        """
        a = self.arithmetic
        if a.recipe.scaled or self._at_ends is None or (left.scale is None and right.scale is None):
            return left, right
        return _reduced(a, left), _reduced(a, right)

    def _constant(self, node: Expr) -> Num:
        return self.arithmetic.constant(exact_constant(node))

    def _written(self, node: Expr) -> Num:
        a, known = self.arithmetic, self._numbers
        match node:
            case Input() | ParamRef():
                if node not in self.leaves:
                    raise CannotLower(f"the formula mentions '{node.name}', which is not an argument of the kernel.")
                return self.leaves[node]
            case Neg(operand):
                return a.neg(known[operand])
            case Add(left, right):
                return a.add(known[left], known[right])
            case Sub(left, right):
                return a.sub(known[left], known[right])
            case Mul(left, right):
                return a.mul(*self._held(self._beside(known[left], right), known[right]))
            case Div(left, Pow(base, exponent)) if exponent == _TWO and a.recipe.accuracy == "full":
                # divided twice, because a square overflows, or underflows, long before the quotient does
                return a.div(a.div(known[left], known[base]), known[base])
            case Div(left, right):
                return a.div(known[left], known[right])
            case Pow(base, exponent):
                return self._power(base, exponent)
            case Where(condition, then, otherwise):
                return a.select(self._conditions[condition], known[then], known[otherwise])
            case Call():
                return self._call(node)
        raise CannotLower(f"a kernel cannot spell {type(node).__name__.lower()}.")

    def _power(self, base: Expr, exponent: Expr) -> Num:
        if not is_constant(exponent):
            raise CannotLower("a kernel cannot spell a power whose exponent varies.")
        value = exact_constant(exponent)
        number = self._numbers[base]
        if value.denominator == 1 and abs(value) <= _MOST_POWER:
            return self.arithmetic.power(number, int(value))
        if value == Fraction(1, 2):
            return self.arithmetic.sqrt(number)
        raise CannotLower(f"a kernel cannot spell the power {float(value)}.")

    def _call(self, node: Call) -> Num:
        if self._arguments is not None and not _is_simple(node):
            return self._arguments.number(node)
        number = self._called(node)
        return self._kept_small(node, number) if self.arithmetic.recipe.scaled else number

    def _kept_small(self, node: Call, number: Num) -> Num:
        """Return the call's number, also where it or its argument is too small for the type."""
        a, functions, argument = self.arithmetic, self._functions, self._numbers[node.args[-1]]
        if node.atom == "abs":
            return a.abs(argument)
        if node.atom == "sign":
            return FUNCTIONS["sign"](functions, Num(argument.hi))
        if node.atom == "sqrt":
            return a.sqrt(argument)
        if node.atom == "log":
            return self._log_of_any_size(argument)
        if node.atom == "log1p":
            size = functions.block.abs(functions.value(argument))
            large = functions.block.compare("ogt", size, functions.real(Fraction(2**_SMALL)))
            number = a.select(large, self._log_of_any_size(argument), number)
        if node.atom in SLOPES_AT_ZERO:
            small = functions.block.abs(functions.value(argument))
            near = functions.block.compare("olt", small, functions.real(Fraction(1, 2**_SMALL)))
            return a.select(near, a.mul(a.constant(SLOPES_AT_ZERO[node.atom]), argument), number)
        if node.atom in ("softplus", "log_sigmoid"):
            below = functions.settled(argument if node.atom == "softplus" else a.neg(argument))
            tail = FUNCTIONS["exp"](functions, below)
            far = functions.block.compare("olt", below.hi, functions.real(-float(DIGITS[a.kind])))
            return a.select(far, tail if node.atom == "softplus" else a.neg(tail), number)
        return number

    def _log_of_any_size(self, argument: Num) -> Num:
        """Compute log(hi·2ⁿ) = log(hi) + n·ln 2."""
        a, within = self.arithmetic, self.arithmetic.kept_within(argument)
        logarithm = FUNCTIONS["log"](self._functions, Num(within.hi, within.lo))
        if within.scale is None:
            return logarithm
        return a.add(logarithm, a.mul(Num(within.scale), a.constant(LN2)))

    def _called(self, node: Call) -> Num:
        a = self._functions
        turns = self._half_turns(node.args[-1])
        if node.atom == "spherical_bessel":
            order, x = node.args
            assert isinstance(order, Number)
            return spherical_bessel(a, int(order.value), a.settled(self._numbers[x]), turns=turns)
        if turns is not None and node.atom in OF_HALF_TURNS:
            return OF_HALF_TURNS[node.atom](a, turns)
        inner = _of_softplus(node)
        if inner is not None:
            return self._of_softplus(node, inner)
        if node.atom not in FUNCTIONS:
            raise CannotLower(f"a kernel cannot spell {node.atom}. Add a row to lower/elementary.py.")
        return FUNCTIONS[node.atom](a, *(a.settled(self._numbers[arg]) for arg in node.args))

    def _half_turns(self, argument: Expr) -> Num | None:
        """Return the argument of a circular function in half turns if it is π times a power of two; else None."""
        found = half_turns(argument)
        if found is None:
            return None
        factor, turns = found
        a, number = self._functions, self._functions.settled(self._numbers[turns])
        if factor > 1:  # a number so large is a whole one of turns, and its multiple may be none at all
            whole = a.block.compare("ogt", a.block.abs(number.hi), a.real(Fraction(2) ** (2 * DIGITS[a.kind])))
            number = a.select(whole, Num(a.block.mul(number.hi, a.real(0.0))), number)
        return a.mul(number, a.constant(factor))

    def _of_softplus(self, node: Call, inner: Expr) -> Num:
        a = self._functions
        x = a.settled(self._numbers[inner])
        if node.atom == "tanh":
            return tanh_of_softplus(a, x)
        return sigmoid_of_two_softplus(a, x, negative=isinstance(node.args[0], Neg))


def _reduced(a: Arithmetic, number: Num) -> Num:
    """Return the number with at most half of the exponent range, and a power of two."""
    if number.constant is not None:
        return number
    half = {"float": 64, "double": 512}[a.kind]
    large = a.block.compare("ogt", a.block.abs(number.hi), a.real(Fraction(2) ** (half - 1)))
    down, none = a.real(Fraction(1, 2 ** (half + 1))), a.real(0.0)
    hi, lo = (
        None if part is None else a.block.select(large, a.block.mul(part, down), part)
        for part in (number.hi, number.lo)
    )
    assert hi is not None
    up = a.block.select(large, a.real(float(half + 1)), none)
    return Num(hi, lo, scale=up if number.scale is None else a.block.add(number.scale, up))


def _of_arguments(arithmetic: Arithmetic, leaves: Mapping[Leaf, Num]) -> Lowering | None:
    """Return where the arguments of elementary functions are written, if differently from the rest."""
    if arithmetic.recipe.strategy not in {Strategy.LIGHT, Strategy.FIRM_ARGUMENTS}:
        return None
    paired = Lowering(_carrying(arithmetic), leaves)
    paired._functions = arithmetic
    return paired


def _carrying(arithmetic: Arithmetic) -> Arithmetic:
    """Return the same in paired arithmetic."""
    recipe = arithmetic.recipe
    return Arithmetic(arithmetic.block, Recipe(recipe.accuracy, Strategy.PAIRED, scalef=recipe.scalef))


def _is_simple(node: Call) -> bool:
    """Return whether the call is one or two instructions, and exact or nearly so."""
    return node.atom in {"abs", "sign", "min", "max", "sqrt"}


def half_turns(argument: Expr) -> tuple[Fraction, Expr] | None:
    """Return the power of two and the expression whose product with π the argument is, or None."""
    match argument:
        case Mul(left, right) if is_constant(left) != is_constant(right):
            constant, turns = (left, right) if is_constant(left) else (right, left)
            factor = (exact_constant(constant) / PI).limit_denominator(2**20)
            is_whole = exact_constant(constant) == factor * PI
            return (factor, turns) if is_whole and _is_power_of_two(factor) else None
    return None


def _is_power_of_two(value: Fraction) -> bool:
    return value > 0 and all(part & (part - 1) == 0 for part in (value.numerator, value.denominator))


def _of_softplus(node: Call) -> Expr | None:
    """Return the u of tanh(softplus(u)) and sigmoid(±2·softplus(u)), which need neither logarithm nor second
    exponential.
    """
    argument = node.args[0]
    if node.atom == "sigmoid":
        argument = argument.operand if isinstance(argument, Neg) else argument
        if not (isinstance(argument, Mul) and argument.left == Number(Fraction(2))):
            return None
        argument = argument.right
    elif node.atom != "tanh":
        return None
    return argument.args[0] if isinstance(argument, Call) and argument.atom == "softplus" else None


def exact_constant(root: Expr) -> Fraction:
    """Return the constant expression to sixty digits if it consists of sums, products, powers, exp, log and roots; else
    to double precision.
    """
    with localcontext() as context:
        context.prec = 60
        try:
            values: dict[Node, Decimal | Fraction] = {}
            for node in walk(root):
                values[node] = _constant_part(node, values)
        except _NoRule:
            return Fraction(constant_value(root))
        return Fraction(values[root])


class _NoRule(Exception):
    """Raised where a part of the constant has no rule for sixty digits."""


def _constant_part(node: Node, values: Mapping[Node, Decimal | Fraction]) -> Decimal | Fraction:
    match node:
        case Number(value):
            return value
        case Constant("pi"):
            return PI
        case Neg(operand):
            return -Fraction(values[operand])
        case Add(left, right):
            return Fraction(values[left]) + Fraction(values[right])
        case Sub(left, right):
            return Fraction(values[left]) - Fraction(values[right])
        case Mul(left, right):
            return Fraction(values[left]) * Fraction(values[right])
        case Div(left, right) if Fraction(values[right]) != 0:
            return Fraction(values[left]) / Fraction(values[right])
        case Call("sqrt" | "exp" | "log" as atom, (operand,)):
            return _decimal_function(atom, Fraction(values[operand]))
        case Pow(base, exponent):
            return _constant_power(Fraction(values[base]), Fraction(values[exponent]))
    raise _NoRule


def _constant_power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1 or abs(exponent) > _MOST_POWER or (base == 0 and exponent <= 0):
        raise _NoRule
    power: Fraction = base ** int(exponent)
    return power


def _decimal_function(atom: str, operand: Fraction) -> Decimal:
    value = Decimal(operand.numerator) / Decimal(operand.denominator)
    if atom == "exp" and abs(value) < 700:
        return value.exp()
    if atom == "sqrt" and value >= 0:
        return value.sqrt()
    if atom == "log" and value > 0:
        return value.ln()
    raise _NoRule
