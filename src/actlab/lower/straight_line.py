"""Formulas as a function of straight-line Python: every shared part computed once, in one target's spelling."""

from __future__ import annotations

import keyword
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

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
    Over,
    ParamRef,
    Pow,
    Sub,
    Where,
    walk,
)

_SUM, _PRODUCT, _SIGN, _POWER, _WHOLE = 1, 2, 3, 4, 5

# Nested deeper than this, a part gets its own name: for the reader, and for Python's own limit on brackets.
_DEEPEST = 12

_IS_CALL = re.compile(r"[\w.]+\(.*\)")

Leaf = Input | ParamRef


@dataclass(frozen=True)
class Spelling:
    """How one target writes things.

    Attributes:
        target: the target's name, for errors.
        imports: the lines a program begins with.
        number: a number as text; None if constant expressions are computed beforehand, as doubles.
        atoms: a template for each atom, with `{0}`, `{1}` for its arguments, and `{whole}` for the first of them
            in brackets of its own where an operator stands before or behind it.
        where: a template with `{0}` the condition, `{1}` and `{2}` the branches.
        filled: a template that gives the constant `{1}` the shape and dtype of `{0}`.
        reductions: a template for each reduction along `axis`.
        preambles: the text of a function that a template calls, by the function's name.
        pi: the number pi, where constants are not worked out beforehand.
        named: a template for the line that gives the part `{1}` the name `{0}`.
        use: a template for using the part named `{0}`.
    """

    target: str
    imports: str
    number: Callable[[Fraction], str] | None
    atoms: Mapping[str, str]
    where: str
    filled: str
    reductions: Mapping[str, str]
    preambles: Mapping[str, str]
    pi: str = ""
    named: str = "{0} = {1}"
    use: str = "{0}"


@dataclass(frozen=True)
class Program:
    """A function as source text.

    Attributes:
        target: whose spelling it is in.
        entry: the function's name.
        args: the names of its arguments, in order.
        source: a whole module: imports, helper functions, the function.
    """

    target: str
    entry: str
    args: tuple[str, ...]
    source: str

    @property
    def function(self) -> Callable[..., object]:
        """The function itself, created once for each source text."""
        return _loaded(self.source, self.entry)


@lru_cache(maxsize=4096)
def _loaded(source: str, entry: str) -> Callable[..., object]:
    # The text was written by this package from a parsed tree; no user's text is ever run.
    # No __name__: torch.compile would try to import a module of that name.
    space: dict[str, object] = {}
    exec(compile(source, f"<actlab {entry}>", "exec"), space)
    function = space[entry]
    assert callable(function)
    return function


def program(
    outputs: Sequence[Expr],
    args: Sequence[Leaf],
    *,
    spelling: Spelling,
    entry: str = "f",
    summary: str = "",
) -> Program:
    """Return one function that computes all outputs together, as a tuple if there are several.

    Args:
        outputs: the formulas.
        args: its arguments in order; every input and parameter of the formulas must be among them.
        spelling: the target's table.
        entry: the function's name.
        summary: its docstring, if any.

    Raises:
        CannotLower: the target cannot spell an atom.
    """
    writer = _Writer(spelling, args, outputs)
    lines = writer.body(outputs)
    along = ", axis" if writer.along_axis else ""
    doc = [f"    {_QUOTES}{_quotable(summary)}{_QUOTES}"] if summary else []
    function = [f"def {entry}({', '.join(writer.names.values())}{along}):", *doc, *lines]
    used = [text for name, text in spelling.preambles.items() if name in writer.called]
    source = "\n\n\n".join([spelling.imports.strip(), *(text.strip() for text in used), "\n".join(function)])
    return Program(spelling.target, entry, (*writer.names.values(),), source + "\n")


def safe_name(name: str) -> str:
    """Return the name, or one like it that no generated line uses otherwise."""
    reserved = keyword.iskeyword(name) or name in {"np", "torch", "mp", "special", "math", "axis", "f"}
    return f"{name}_" if reserved or (name[0] == "t" and name[1:].isdigit()) else name


# Around a docstring; written out, they would look like one to the kernels' version.
_QUOTES = '"' * 3


def _quotable(summary: str) -> str:
    return summary.replace("\\", "\\\\").replace(_QUOTES, "'''")


class _Writer:
    """Writes the lines of one function, children before parents."""

    def __init__(self, spelling: Spelling, args: Sequence[Leaf], outputs: Sequence[Expr]) -> None:
        self.spelling = spelling
        self.names: dict[Leaf, str] = {leaf: safe_name(leaf.name) for leaf in args}
        self.nodes = list(walk(*outputs))
        self.varying = self._varying()
        self.uses: Counter[Node] = Counter(child for node in self.nodes for child in node.children)
        self.uses.update(outputs)
        self.along_axis = any(isinstance(node, Over) for node in self.nodes)
        self.called: set[str] = set()
        self.done: dict[Node, tuple[str, int, int]] = {}
        self.lines: list[str] = []

    def body(self, outputs: Sequence[Expr]) -> list[str]:
        for node in self.nodes:
            if node in self.varying or isinstance(node, Compare):
                self.done[node] = self.named(node, *self.written(node))
        results = [self.tensor(output) for output in outputs]
        return [*self.lines, f"    return {', '.join(results)}"]

    def named(self, node: Node, spelled: str, binding: int) -> tuple[str, int, int]:
        nested = 1 + max((self.done[child][2] for child in node.children if child in self.done), default=0)
        if isinstance(node, Leaf | Number | Constant | Compare) or (self.uses[node] < 2 and nested <= _DEEPEST):
            return spelled, binding, nested
        name = f"t{len(self.lines) + 1}"
        self.lines.append("    " + self.spelling.named.format(name, spelled))
        return self.spelling.use.format(name), _WHOLE, 0

    def written(self, node: Node) -> tuple[str, int]:
        match node:
            case Input() | ParamRef():
                if node not in self.names:
                    raise CannotLower(f"the formula mentions '{node.name}', which is not an argument of the program.")
                return self.names[node], _WHOLE
            case Number(value):
                return self.number(value), _PRODUCT
            case Constant():
                return self.spelling.pi, _WHOLE
            case Neg(operand):
                return f"-{self.at(operand, _SIGN)}", _SIGN
            case Add(left, right):
                return f"{self.at(left, _SUM)} + {self.at(right, _PRODUCT)}", _SUM
            case Sub(left, right):
                return f"{self.at(left, _SUM)} - {self.at(right, _PRODUCT)}", _SUM
            case Mul(left, right):
                return f"{self.at(left, _PRODUCT)} * {self.at(right, _SIGN)}", _PRODUCT
            case Div(left, right):
                return f"{self.at(left, _PRODUCT)} / {self.at(right, _SIGN)}", _PRODUCT
            case Pow(base, exponent):
                return f"{self.at(base, _WHOLE)} ** {self.exponent(exponent)}", _POWER
            case Compare(order, left, right):
                return f"{self.at(left, _SUM)} {order} {self.at(right, _SUM)}", 0
            case Where():
                return self.where(node), _WHOLE
            case Call():
                return self.call(node)
            case Over(reduction, operand):
                template = self.template(self.spelling.reductions, reduction)
                return template.format(self.at(operand, 0)), _WHOLE
        raise AssertionError(f"no spelling for {type(node).__name__}")

    def where(self, node: Where) -> str:
        condition = node.condition
        if condition.left not in self.varying and condition.right not in self.varying:
            holds = constant_value(Where(condition, Number(Fraction(1)), Number(Fraction(0))))
            return self.at(node.then if holds else node.otherwise, 0)
        both_constant = node.then not in self.varying and node.otherwise not in self.varying
        otherwise = self.tensor(node.otherwise) if both_constant else self.at(node.otherwise, 0)
        return self.spelling.where.format(self.done[condition][0], self.at(node.then, 0), otherwise)

    def call(self, node: Call) -> tuple[str, int]:
        template = self.template(self.spelling.atoms, node.atom)
        binding = _WHOLE if _IS_CALL.fullmatch(template) else _PRODUCT
        if node.atom == "spherical_bessel":
            order, x = node.args
            assert isinstance(order, Number)
            return template.format(order.value, self.at(x, 0)), binding
        whole = self.at(node.args[0], _WHOLE)
        return template.format(*(self.tensor(arg) for arg in node.args), whole=whole), binding

    def template(self, table: Mapping[str, str], name: str) -> str:
        if name not in table:
            target = self.spelling.target
            raise CannotLower(
                f"the formula uses {name}, which target '{target}' cannot spell. "
                f"Add a row to lower/to_{target}.py, or choose another target."
            )
        self.called.update(function for function in self.spelling.preambles if function in table[name])
        return table[name]

    def exponent(self, node: Expr) -> str:
        if isinstance(node, Number) and node.value.denominator == 1 and abs(node.value) < 1_000_000:
            return str(node.value) if node.value >= 0 else f"({node.value})"
        return self.at(node, _WHOLE)

    def at(self, node: Expr, least: int) -> str:
        """Return the node's text, in brackets where it binds more loosely than its place demands."""
        if node not in self.varying:
            spelled = repr(constant_value(node))
            binding = _SIGN if spelled.startswith("-") else _WHOLE
        else:
            spelled, binding, _ = self.done[node]
        return spelled if binding >= least else f"({spelled})"

    def tensor(self, node: Expr) -> str:
        """Return the node's text, a constant expanded to the shape of the first argument."""
        if node in self.varying or not self.spelling.filled:
            return self.at(node, 0)
        like = next(iter(self.names.values()))
        return self.spelling.filled.format(like, repr(constant_value(node)))

    def number(self, value: Fraction) -> str:
        assert self.spelling.number is not None
        return self.spelling.number(value)

    def _varying(self) -> set[Node]:
        if self.spelling.number is not None:
            return set(self.nodes)
        varying: set[Node] = set()
        for node in self.nodes:
            if isinstance(node, Leaf) or not varying.isdisjoint(node.children):
                varying.add(node)
        return varying
