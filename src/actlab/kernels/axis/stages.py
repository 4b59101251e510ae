"""A formula with reductions, cut into stages: each one is a pass over a row, or a few.

The tree is cut at its reductions. What lies between two of them is computed anew for each element in every pass that
needs it, which is cheaper than memory; what depends on reductions alone is computed once a row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import final

from actlab.errors import CannotLower
from actlab.formula.atoms import sqrt, where
from actlab.formula.expr import Call, Div, Expr, Input, Mul, Neg, Node, Number, Over, Sub, walk
from actlab.formula.substitute import substitute

PLAIN = ("total", "greatest")

TAU = Input("tau")


@final
@dataclass(frozen=True)
class Search:
    """How a threshold is found: Newton's method from its left, which never overshoots and ends after a few passes.

    Attributes:
        terms: what a pass adds up, by the amount `over` by which an element lies above the threshold, or 0.
        step: by how much the threshold moves, by those sums.
    """

    terms: Callable[[Expr], tuple[Expr, ...]]
    step: Callable[..., Expr]


# The sums are convex and fall as τ rises, so that each step of Newton's from the left of the solution stays there.
# For sparsemax it is the method of Michelot (1986): the sum is straight while no element drops out, so that the step
# after the last one that drops out is exact. For entmax15 it is Newton's on the root of the sum of squares, whose
# curve is straighter than the sum's own.
SEARCHES: Mapping[str, Search] = MappingProxyType(
    {
        "sparsemax_threshold": Search(
            terms=lambda over: (over, where(over <= 0, 0, 1)),
            step=lambda first, count: (first - 1) / count,
        ),
        "entmax15_threshold": Search(
            terms=lambda over: (over, over**2),
            step=lambda first, second: (second - sqrt(second)) / first,
        ),
    }
)


def stages(root: Expr) -> tuple[tuple[Over, ...], ...]:
    """Return the reductions in an order in which they can be computed: those of one stage share their passes.

    A threshold is a stage of its own.

    Raises:
        CannotLower: there is no rule for a reduction.
    """
    heights: dict[Over, int] = {}
    for over in _reductions(root):
        if over.reduction not in (*PLAIN, *SEARCHES):
            raise CannotLower(f"a kernel along an axis cannot spell the reduction '{over.reduction}'.")
        below = [heights[each] for each in _reductions(over.operand, *start_of(over)) if each != over]
        heights[over] = 1 + max(below, default=0)
    found: list[tuple[Over, ...]] = []
    for height in range(1, 1 + max(heights.values(), default=0)):
        level = [over for over, own in heights.items() if own == height]
        together = tuple(over for over in level if over.reduction in PLAIN)
        found += [together] if together else []
        found += [(over,) for over in level if over.reduction not in PLAIN]
    return tuple(found)


def start_of(over: Over) -> tuple[Expr, ...]:
    """Return where the search for a threshold begins, if any: 1 below the largest, which alone then sums to 1."""
    return (largest(over.operand) - 1,) if over.reduction in SEARCHES else ()


def largest(operand: Expr) -> Expr:
    """Return the largest of the operand along the axis; 0 at once if the operand's form implies it."""
    match operand:
        case Sub(left, Over("greatest", right)) if left == right:
            return Number(Fraction(0))
        case Div(left, Number(value)) if value > 0:
            inner = largest(left)
            return inner if inner == Number(Fraction(0)) else Over("greatest", operand)
    return Over("greatest", operand)


def rowwise(root: Expr) -> frozenset[Node]:
    """Return the parts that have one value for a row: only reductions and numbers, at least one reduction."""
    element: set[Node] = set()
    row: set[Node] = set()
    for node in walk(root):
        if isinstance(node, Over):
            row.add(node)
        elif isinstance(node, Input) or not element.isdisjoint(node.children):
            element.add(node)
        elif not row.isdisjoint(node.children):
            row.add(node)
    return frozenset(row)


@final
@dataclass(frozen=True)
class Cut:
    """A formula for each element, with leaves for what has one value for a row.

    Attributes:
        element: the formula.
        rows: what the leaves stand for, in terms of reductions.
    """

    element: Expr
    rows: Mapping[Input, Expr]


def cut(root: Expr, *, reciprocals: bool) -> Cut:
    """Cut the formula where its parts have one value for a row.

    Args:
        root: the formula.
        reciprocals: whether a division by such a part may become a multiplication.
    """
    leaves = {node: Input(f"row {node.digest}") for node in rowwise(root) if isinstance(node, Expr)}
    element = substitute(root, dict(leaves))
    rows: dict[Input, Expr] = {leaf: node for node, leaf in leaves.items()}
    if reciprocals:
        element, rows = _with_reciprocals(element, rows)
    used = set(walk(element))
    return Cut(element, {leaf: node for leaf, node in rows.items() if leaf in used})


def by_reductions(part: Expr) -> tuple[Expr, Mapping[Over, Input]]:
    """Return a part that has one value for a row, its reductions replaced by leaves; and the leaves."""
    leaves = {node: _leaf(node) for node in _outermost(part)}
    exchange: dict[Expr, Expr] = dict(leaves.items())
    return substitute(part, exchange), leaves


def functions_of(element: Expr) -> tuple[Call, ...]:
    """Return the outermost calls of elementary functions in a formula for each element."""
    every = [node for node in walk(element) if isinstance(node, Call)]
    inner = {below for call in every for arg in call.args for below in walk(arg) if isinstance(below, Call)}
    return tuple(call for call in every if call not in inner)


def needs_carried_sums(root: Expr) -> bool:
    """Return whether a reduction enters a function such as the logarithm, which needs more digits near its root."""
    row = rowwise(root)
    return any(isinstance(node, Call) and node in row for node in walk(root))


def is_exact(operand: Expr) -> bool:
    """Return whether the operand is an input up to its sign, so that any arithmetic gives the same."""
    inner = operand.operand if isinstance(operand, Neg) else operand
    return isinstance(inner, Input)


def _leaf(over: Over) -> Input:
    return Input(f"over {over.digest}")


def _outermost(root: Expr) -> set[Over]:
    every = {node for node in walk(root) if isinstance(node, Over)}
    return every - {inner for over in every for inner in walk(over.operand) if isinstance(inner, Over)}


def _reductions(*roots: Expr) -> list[Over]:
    """Return every reduction, inner ones first; the start of a threshold's search counts as inner."""
    found: dict[Over, None] = {}
    for node in walk(*roots):
        if isinstance(node, Over):
            for start in start_of(node):
                found.update((each, None) for each in walk(start) if isinstance(each, Over))
            found[node] = None
    return list(found)


def _with_reciprocals(element: Expr, rows: Mapping[Input, Expr]) -> tuple[Expr, dict[Input, Expr]]:
    """Replace every division by what has one value for a row by a multiplication by its reciprocal."""
    one_over: dict[Expr, Input] = {}
    added: dict[Input, Expr] = {}
    exchange: dict[Expr, Expr] = {}
    for node in walk(element):  # children come before parents, so that what was replaced below is found
        if isinstance(node, Div) and isinstance(node.right, Input) and node.right in rows:
            reciprocal = Div(Number(Fraction(1)), rows[node.right])
            one_over[node.right] = Input(f"row {reciprocal.digest}")
            added[one_over[node.right]] = reciprocal
            exchange[node] = Mul(substitute(node.left, exchange), one_over[node.right])
    return substitute(element, exchange), {**rows, **added}
