"""The expression tree: fifteen kinds of small, frozen, hashable nodes.

Building a node rewrites nothing: what the author wrote is what is evaluated, at infinity and NaN too
(`x - x` stays `x - x`). Nodes may be shared; every walk over a tree visits each node once, so that
its work grows with the number of distinct nodes and not with the length of the written-out text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from typing import Literal, final

from actlab.errors import BadFormula

Order = Literal["<", "<=", ">", ">="]


class Node:
    """The ancestor of expressions and conditions: a frozen value that knows its digest, size and depth.

    Attributes:
        children: the nodes directly below this one, left to right.
        size: how many nodes the written-out tree has, shared nodes counted each time they appear.
        depth: how many nodes lie on the longest way down.
        digest: a short name of the tree's content, the same in every process and on every machine.
    """

    children: tuple[Node, ...]
    size: int
    depth: int
    digest: str

    def __post_init__(self) -> None:
        # computed once from the children's own, so that no walk ever recurses
        parts = self.__dict__.copy()
        flat = [item for part in parts.values() for item in (part if isinstance(part, tuple) else (part,))]
        children = tuple(item for item in flat if isinstance(item, Node))
        content = "\x1f".join([type(self).__name__, *(_spelled(item) for item in flat)])
        self.__dict__.update(
            children=children,
            size=1 + sum(child.size for child in children),
            depth=1 + max((child.depth for child in children), default=0),
            digest=sha256(content.encode()).hexdigest()[:24],
        )

    def __hash__(self) -> int:
        return int(self.digest[:15], 16)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Node) and self.digest == other.digest)


class Expr(Node):
    """A formula or a part of one; Python's operators build larger ones from it."""

    def __add__(self, other: Operand) -> Expr:
        return Add(self, expr(other))

    def __radd__(self, other: Operand) -> Expr:
        return Add(expr(other), self)

    def __sub__(self, other: Operand) -> Expr:
        return Sub(self, expr(other))

    def __rsub__(self, other: Operand) -> Expr:
        return Sub(expr(other), self)

    def __mul__(self, other: Operand) -> Expr:
        return Mul(self, expr(other))

    def __rmul__(self, other: Operand) -> Expr:
        return Mul(expr(other), self)

    def __truediv__(self, other: Operand) -> Expr:
        return Div(self, expr(other))

    def __rtruediv__(self, other: Operand) -> Expr:
        return Div(expr(other), self)

    def __pow__(self, other: Operand) -> Expr:
        return Pow(self, expr(other))

    def __rpow__(self, other: Operand) -> Expr:
        return Pow(expr(other), self)

    def __neg__(self) -> Expr:
        return Neg(self)

    def __pos__(self) -> Expr:
        return self

    def __lt__(self, other: Operand) -> Compare:
        return Compare("<", self, expr(other))

    def __le__(self, other: Operand) -> Compare:
        return Compare("<=", self, expr(other))

    def __gt__(self, other: Operand) -> Compare:
        return Compare(">", self, expr(other))

    def __ge__(self, other: Operand) -> Compare:
        return Compare(">=", self, expr(other))


Operand = Expr | int | float | Fraction


@final
@dataclass(frozen=True, eq=False)
class Number(Expr):
    """A rational number, exact: the decimal `1.702` is 851/500."""

    value: Fraction


@final
@dataclass(frozen=True, eq=False)
class Constant(Expr):
    """A named irrational number; `pi` is the only one."""

    name: str


@final
@dataclass(frozen=True, eq=False)
class Input(Expr):
    """An input of the activation, by name."""

    name: str


@final
@dataclass(frozen=True, eq=False)
class ParamRef(Expr):
    """A parameter, by name; the activation holds its value and bounds."""

    name: str


@final
@dataclass(frozen=True, eq=False)
class Neg(Expr):
    operand: Expr


@final
@dataclass(frozen=True, eq=False)
class Add(Expr):
    left: Expr
    right: Expr


@final
@dataclass(frozen=True, eq=False)
class Sub(Expr):
    left: Expr
    right: Expr


@final
@dataclass(frozen=True, eq=False)
class Mul(Expr):
    left: Expr
    right: Expr


@final
@dataclass(frozen=True, eq=False)
class Div(Expr):
    left: Expr
    right: Expr


@final
@dataclass(frozen=True, eq=False)
class Pow(Expr):
    base: Expr
    exponent: Expr


@final
@dataclass(frozen=True, eq=False)
class Call(Expr):
    """An atom applied to its arguments."""

    atom: str
    args: tuple[Expr, ...]


@final
@dataclass(frozen=True, eq=False)
class Compare(Node):
    """A condition; it stands only inside `where`. False when either side is NaN."""

    order: Order
    left: Expr
    right: Expr

    def __bool__(self) -> bool:
        raise BadFormula("a formula cannot branch with if, and, or, max(): write where(condition, then, otherwise).")


@final
@dataclass(frozen=True, eq=False)
class Where(Expr):
    """`then` where the condition holds, `otherwise` elsewhere: at NaN always `otherwise`."""

    condition: Compare
    then: Expr
    otherwise: Expr


@final
@dataclass(frozen=True, eq=False)
class Over(Expr):
    """A reduction of the operand along the axis that an axis activation acts on, kept as an axis of length 1."""

    reduction: str
    operand: Expr


def expr(value: Operand) -> Expr:
    """Return the value as a node: numbers exactly as written, a float as its shortest decimal.

    Raises:
        BadFormula: the value is neither a finite number nor an expression.
    """
    if isinstance(value, Expr):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | Fraction):
        raise BadFormula(f"a formula is made of numbers and expressions; got {type(value).__name__} {value!r}.")
    if isinstance(value, float):
        return Number(exactly(value))
    return Number(Fraction(value))


def exactly(value: float) -> Fraction:
    """Return the shortest decimal that reads back as this float, exactly: 0.1 is 1/10.

    Raises:
        BadFormula: the value is infinite or NaN.
    """
    if value != value or value in (float("inf"), float("-inf")):
        raise BadFormula(f"a formula is made of finite numbers; got {value}.")
    return Fraction(repr(float(value)))


def number(digits: str) -> Number:
    """Return a constant with every digit of its source, more than a float could hold."""
    return Number(Fraction(digits))


def walk(*roots: Node) -> Iterator[Node]:
    """Yield every distinct node below the roots once, children before parents."""
    seen: set[Node] = set()
    stack: list[tuple[Node, bool]] = [(root, False) for root in reversed(roots)]
    while stack:
        node, expanded = stack.pop()
        if node in seen:
            continue
        if expanded:
            seen.add(node)
            yield node
            continue
        stack.append((node, True))
        stack.extend((child, False) for child in reversed(node.children))


def input_names(root: Node) -> frozenset[str]:
    """Return the names of the inputs in the tree."""
    return frozenset(node.name for node in walk(root) if isinstance(node, Input))


def param_names(root: Node) -> frozenset[str]:
    """Return the names of the parameters in the tree."""
    return frozenset(node.name for node in walk(root) if isinstance(node, ParamRef))


def is_constant(root: Node) -> bool:
    """Return whether the tree has neither inputs nor parameters."""
    return not any(isinstance(node, Input | ParamRef) for node in walk(root))


def _spelled(part: object) -> str:
    return part.digest if isinstance(part, Node) else str(part)
