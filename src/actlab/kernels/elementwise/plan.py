"""What the kernels of a formula read, compute and write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import copysign, inf
from typing import final

from actlab.formula.atoms import abs, recurrence
from actlab.formula.derivative import derivative
from actlab.formula.expr import Add, Call, Expr, Mul, Neg, Number, Sub, Where, is_constant, walk
from actlab.kernels.elementwise import infinite_inputs
from actlab.kernels.elementwise.limits import ends
from actlab.kernels.elementwise.loop_ir import Access, Plan, text_of
from actlab.kernels.runtime.loop import Memory
from actlab.lower.arithmetic import Arithmetic, Num, Recipe, Span, Strategy
from actlab.lower.straight_line import Leaf
from actlab.lower.to_llvm import Lowering
from actlab.lower.vector import Value

# The atoms that neither fall nor swing.
_SLOW = frozenset({"abs", "sign", "sqrt", "log", "log1p", "atan", "min", "max"})

# From where on a float64 kernel that is rescued looks twice: the size of an input, of a result, and one over that.
_LARGE_INPUT = 2.0**64
_LARGE_VALUE = 2.0**960

Body = Callable[[Arithmetic, Sequence[Num]], Sequence[Num]]


@final
@dataclass(frozen=True)
class Shape:
    """A formula's forward or backward pass, independent of how it is computed.

    Attributes:
        expression: the formula.
        args: its inputs and parameters in order.
        access: how each is read.
        wanted: for the backward pass, which derivatives are asked for; None for the forward pass.
    """

    expression: Expr
    args: tuple[Leaf, ...]
    access: tuple[Access, ...]
    wanted: tuple[bool, ...] | None = None

    @property
    def streamed(self) -> tuple[int, ...]:
        """The arguments whose gradient is written element by element."""
        asked = self.wanted or ()
        return tuple(at for at, want in enumerate(asked) if want and self.access[at] == "stream")

    @property
    def summed(self) -> tuple[int, ...]:
        """The arguments whose gradient is summed over each segment."""
        asked = self.wanted or ()
        return tuple(at for at, want in enumerate(asked) if want and self.access[at] == "scalar")


@lru_cache(maxsize=4096)
def module(shape: Shape, *, memory: Memory, recipe: Recipe, past_caches: bool = False) -> str:
    """Return the kernel's text.

    Raises:
        CannotLower: a kernel cannot spell the formula.
    """
    return text_of(replace(plan(shape, memory=memory, recipe=recipe), past_caches=past_caches))


def plan(shape: Shape, *, memory: Memory, recipe: Recipe) -> Plan:
    """Plan the forward pass of the inputs, or the backward pass of the incoming gradient and the inputs."""
    if shape.wanted is None:
        return Plan(memory, recipe, shape.access, outputs=1, sums=0, body=_forward(shape))
    access: tuple[Access, ...] = ("stream", *shape.access)
    return Plan(memory, recipe, access, outputs=len(shape.streamed), sums=len(shape.summed), body=_backward(shape))


def measured(shape: Shape) -> Plan:
    """Plan the same in float64, followed by the largest operand of each outermost sum: the reference for errors."""
    inner = _forward(shape) if shape.wanted is None else _backward(shape)
    formulas = _formulas(shape)

    def body(arithmetic: Arithmetic, numbers: Sequence[Num]) -> Sequence[Num]:
        given = numbers if shape.wanted is None else numbers[1:]
        low = Lowering(arithmetic, dict(zip(shape.args, given, strict=True)))
        return [*inner(arithmetic, numbers), *(largest_operand(low, formula) for formula in formulas)]

    access = shape.access if shape.wanted is None else ("stream", *shape.access)
    return Plan("double", Recipe("full"), access, outputs=2 * len(formulas), sums=0, body=body)


def largest_operand(low: Lowering, root: Expr) -> Num:
    """Return the magnitude of the larger operand of the formula's outermost sum. Look through products with one factor,
    signs and branches; take the recurrence of a spherical Bessel function; without a sum, the formula itself.
    """
    a = low.arithmetic
    match root:
        case Neg(operand):
            return largest_operand(low, operand)
        case Add(left, right) | Sub(left, right):
            return low.arithmetic.select(
                a.compare("ogt", a.abs(low.number(left)), a.abs(low.number(right))),
                a.abs(low.number(left)),
                a.abs(low.number(right)),
            )
        case Mul(left, right) if isinstance(right, Add | Sub):
            return a.mul(a.abs(low.number(left)), largest_operand(low, right))
        case Mul(left, right) if isinstance(left, Add | Sub):
            return a.mul(a.abs(low.number(right)), largest_operand(low, left))
        case Where(condition, then, otherwise) if not is_constant(condition):
            held = low.condition(condition)
            return a.select(held, largest_operand(low, then), largest_operand(low, otherwise))
        case Call("spherical_bessel", (Number(order), x)) if order > 0:
            beyond = low.condition(abs(x) >= 2 + order)
            return a.select(beyond, largest_operand(low, recurrence(int(order), x)), a.abs(low.number(root)))
    return a.abs(low.number(root))


def _formulas(shape: Shape) -> tuple[Expr, ...]:
    if shape.wanted is None:
        return (shape.expression,)
    return tuple(derivative(shape.expression, shape.args[at]) for at in (*shape.streamed, *shape.summed))


def _forward(shape: Shape) -> Body:
    def body(arithmetic: Arithmetic, numbers: Sequence[Num]) -> Sequence[Num]:
        return _written(shape, arithmetic, numbers, lambda low, formula: low.number(formula), dy=None)

    return body


def _backward(shape: Shape) -> Body:
    def body(arithmetic: Arithmetic, numbers: Sequence[Num]) -> Sequence[Num]:
        dy, *given = numbers
        return _written(shape, arithmetic, given, lambda low, formula: low.product(dy, formula), dy=dy)

    return body


def _written(
    shape: Shape, a: Arithmetic, given: Sequence[Num], write: Callable[[Lowering, Expr], Num], *, dy: Num | None
) -> list[Num]:
    """Compute the formulas, and again in scaled arithmetic where a plain result may overflow or underflow."""
    results = _straight(shape, a, given, write, dy=dy)
    if a.recipe.span is not Span.RESCUED:
        return results
    values = [a.value(each) for each in results]
    inputs = [each.hi for each in (given if dy is None else (dy, *given))]
    scaled = Arithmetic(a.block, replace(a.recipe, strategy=Strategy.PAIRED, span=Span.SCALED))

    def again() -> list[Value]:
        return [scaled.value(each) for each in _straight(shape, scaled, given, write, dy=dy)]

    return [Num(each) for each in a.block.branched(_doubtful(a, inputs, values), again, otherwise=values)]


def _doubtful(a: Arithmetic, inputs: Sequence[Value], values: Sequence[Value]) -> Value:
    """Return where a value is NaN, huge or tiny (except a 0 from an input of 0), or an input is huge."""
    block = a.block
    false, true = block.whole(0, "i1"), block.whole(1, "i1")
    nothing, sure = false, true
    for each in inputs:
        nothing = block.select(block.compare("oeq", each, a.real(0.0)), true, nothing)
        sure = block.select(block.compare("ole", block.abs(each), a.real(_LARGE_INPUT)), sure, false)
    for each in values:
        size = block.abs(each)
        usual = block.binary(
            "and",
            block.compare("oge", size, a.real(1 / _LARGE_VALUE)),
            block.compare("ole", size, a.real(_LARGE_VALUE)),
        )
        zero = block.binary("and", block.compare("oeq", each, a.real(0.0)), nothing)
        sure = block.binary("and", sure, block.binary("or", usual, zero))
    return block.select(sure, false, true)


def _straight(
    shape: Shape, a: Arithmetic, given: Sequence[Num], write: Callable[[Lowering, Expr], Num], *, dy: Num | None
) -> list[Num]:
    """Compute each formula as it is written, and its limit where its only input is infinite."""
    formulas = _formulas(shape)
    low = Lowering(a, dict(zip(shape.args, given, strict=True)), at_ends=_ended)
    results = []
    for formula in formulas:
        sides = infinite_inputs.needed(formula, shape.args)
        if any(sides):
            results.append(_from_far(shape, a, given, write, formula, dy=dy, sides=sides))
        else:
            results.append(_with_ends(a, shape, formula, given[0], write(low, formula), factor=dy))
    return results


def _from_far(
    shape: Shape,
    a: Arithmetic,
    given: Sequence[Num],
    write: Callable[[Lowering, Expr], Num],
    formula: Expr,
    *,
    dy: Num | None,
    sides: infinite_inputs.Sides,
) -> Num:
    """Compute the formula; where the input is infinite on these sides, its limit."""
    x, infinite = infinite_inputs.large(a, given[0], sides)
    far = Lowering(a, dict(zip(shape.args, (x, *given[1:]), strict=True)), at_ends=_ended)
    tended = infinite_inputs.on_its_way(a, far.number(formula))
    held = Num(tended if dy is None else a.block.mul(dy.hi, tended))
    return a.select(infinite, held, write(far, formula))


def _with_ends(a: Arithmetic, shape: Shape, formula: Expr, x: Num, value: Num, *, factor: Num | None) -> Num:
    """Return the value; beyond the formula's ends its limit, times the factor if there is one."""
    if len(shape.args) > 1:
        return value
    return _ended(a, formula, shape.args[0], x, value, factor=factor)


def _ended(a: Arithmetic, formula: Expr, arg: Leaf, x: Num, value: Num, factor: Num | None = None) -> Num:
    """Return the value of a formula of one argument; beyond its ends its limit, times the factor if there is one."""
    left, right = ends(formula, arg)
    for end, order in ((left, "ole"), (right, "oge")):
        if end is not None:
            limit = a.real(end.limit)
            held = Num(limit if factor is None else a.block.mul(factor.hi, limit))
            # a power that is 0 from some place on has only underflowed there
            place = copysign(inf, end.place) if a.recipe.scaled and end.limit == 0 and _is_slow(formula) else end.place
            value = a.select(a.block.compare(order, x.hi, a.real(place)), held, value)
    return value


def _is_slow(formula: Expr) -> bool:
    """Return whether the formula consists of powers, roots and logarithms only, which fall to 0 slowly."""
    return all(node.atom in _SLOW for node in walk(formula) if isinstance(node, Call))
