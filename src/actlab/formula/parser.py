"""The parser of typed formulas: a small grammar; text is never evaluated.

::

    sum     = product (("+" | "-") product)*
    product = sign (("*" | "/") sign)*
    sign    = ("-" | "+") sign | power
    power   = whole (("**" | "^") sign)?
    whole   = number | name | name "(" arguments ")" | "(" sum ")" | "|" sum "|"
    where   = "where" "(" sum ("<" | "<=" | ">" | ">=") sum "," sum "," sum ")"

A function may be written with the module it is known from, as `torch.tanh(x)` or `F.relu(x)`; `e` is Euler's number
unless a parameter has that name. Length, depth and size are bounded, so that hostile text costs no more than a friendly
one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction
from types import MappingProxyType
from typing import NoReturn

from actlab.errors import BadFormula, shortened
from actlab.formula import atoms
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.formula.atoms import ATOMS, SPELLINGS, exp, log, pi, where
from actlab.formula.constant import constant_value
from actlab.formula.expr import Compare, Expr, Input, Node, Number, ParamRef, Pow, walk

LONGEST = 4_000
DEEPEST = 100
LARGEST = 20_000

INPUTS = ("x", "value", "gate")
CONSTANTS: Mapping[str, Expr] = MappingProxyType({"pi": pi, "e": exp(1)})

# Modules whose functions have the meaning that a bare name has here.
MODULES = r"(?:(?:torch\.)?nn\.functional|(?:torch\.)?nn|torch\.special|torch|F|numpy|np|math)\."

_FUNCTIONS: Mapping[str, Callable[..., Expr]] = MappingProxyType({**SPELLINGS, "ln": log})

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>(?P<module>" + MODULES + r")?[A-Za-z_]\w*)"
    r"|(?P<sign>\*\*|<=|>=|==|!=|[-+*/(),<>=^|]))",
    re.ASCII,
)


@dataclass(frozen=True)
class Token:
    """A number, a name without its module, or a sign, and where in the text it stands (from 1)."""

    kind: str
    text: str
    at: int
    module: str = ""


def parse(
    source: str,
    *,
    names: Mapping[str, Activation | AxisActivation] | None = None,
    params: tuple[str, ...] = (),
) -> Expr:
    """Parse a text into an expression.

    Args:
        source: the text, such as `"x*sigmoid(beta*x)"`.
        names: the activations that the text may call.
        params: the names that stand for parameters.

    Raises:
        BadFormula: the text is not a formula, or is too long, too deep or too large.

    Example:
        >>> parse("x*sigmoid(1.702*x)").size
        6
    """
    if len(source) > LONGEST:
        raise BadFormula(f"a formula may have at most {LONGEST} characters; got {len(source)}.")
    reader = _Reader(source, _tokens(source), names or {}, params)
    result = reader.sum(0)
    reader.expect_end()
    _refuse_bad_constants(result)
    return result


def _tokens(source: str) -> list[Token]:
    tokens: list[Token] = []
    at = 0
    while source[at:].strip():
        match = _TOKEN.match(source, at)
        if match is None or match.lastgroup is None:
            stray = source[at:].lstrip()[0]
            hint = " Write a function without its module: tanh(x)." if stray == "." else ""
            raise BadFormula(f"cannot read the formula {_quoted(source)}: {stray!r} means nothing in one.{hint}")
        module, kind = match["module"] or "", match.lastgroup
        tokens.append(Token(kind, match[kind].removeprefix(module), match.start(kind) + 1, module))
        at = match.end()
    return tokens


def _quoted(source: str) -> str:
    return f"'{shortened(source)}'"


def _refuse_bad_constants(root: Expr) -> None:
    """Raise `BadFormula` if a constant part has no finite value, so that no later stage meets one."""
    varying: set[Node] = set()
    for node in walk(root):
        if isinstance(node, Input | ParamRef) or not varying.isdisjoint(node.children):
            varying.add(node)
            for child in node.children:
                if child not in varying and isinstance(child, Expr):
                    constant_value(child)


class _Reader:
    """A cursor over the tokens, with one method for each rule of the grammar."""

    def __init__(
        self,
        source: str,
        tokens: list[Token],
        names: Mapping[str, Activation | AxisActivation],
        params: tuple[str, ...],
    ) -> None:
        self.source, self.tokens, self.names, self.params = source, tokens, names, params
        self.at = 0

    def sum(self, depth: int) -> Expr:
        left = self.product(depth)
        while sign := self.take("+", "-"):
            right = self.product(depth)
            left = self.bounded(left + right if sign == "+" else left - right)
        return left

    def product(self, depth: int) -> Expr:
        left = self.signed(depth)
        while sign := self.take("*", "/"):
            right = self.signed(depth)
            left = self.bounded(left * right if sign == "*" else left / right)
        return left

    def signed(self, depth: int) -> Expr:
        if depth > DEEPEST:
            self.refuse(f"it is nested more than {DEEPEST} deep")
        if sign := self.take("-", "+"):
            operand = self.signed(depth + 1)
            return -operand if sign == "-" else operand
        return self.power(depth)

    def power(self, depth: int) -> Expr:
        base = self.whole(depth)
        if not self.take("**", "^"):
            return base
        exponent = self.signed(depth + 1)
        return exp(exponent) if base is CONSTANTS["e"] else Pow(base, exponent)

    def whole(self, depth: int) -> Expr:
        token = self.next()
        if token.kind == "number":
            return self.number(token)
        if token.kind == "name":
            return self.call(token, depth) if self.take("(") else self.name(token)
        if token.text == "(":
            inner = self.sum(depth + 1)
            self.expect(")")
            return inner
        if token.text == "|":
            inner = self.sum(depth + 1)
            self.expect("|")
            return atoms.abs(inner)
        return self.refuse(f"found '{token.text}' where a number, a name or '(' belongs", token)

    def number(self, token: Token) -> Expr:
        mantissa, _, exponent = token.text.lower().partition("e")
        if len(mantissa) > 400 or len(exponent) > 5 or abs(int(exponent or 0)) > 400:
            self.refuse(f"the number {shortened(token.text, limit=20)} is out of range", token)
        return Number(Fraction(token.text))

    def name(self, token: Token) -> Expr:
        if token.text in self.params and not token.module:
            return ParamRef(token.text)
        if token.text in INPUTS and not token.module:
            return Input(token.text)
        if token.text in CONSTANTS:
            return CONSTANTS[token.text]
        if token.text in _FUNCTIONS or token.text in self.names or token.text == "where":
            self.refuse(f"'{token.text}' is a function and needs an argument: {token.text}(x)", token)
        if token.module:
            self.refuse(f"'{token.module}{shortened(token.text)}' is neither a function nor a constant", token)
        return self.refuse(
            f"'{shortened(token.text)}' is neither the input x, pi, nor a parameter with a value "
            f"(give one at the end: ; {shortened(token.text, limit=20)}=1.0)",
            token,
        )

    def call(self, token: Token, depth: int) -> Expr:
        if token.text == "where":
            return self.where(depth)
        function = self.function(token)
        args, values = self.arguments(depth)
        expected = self.arity(token.text)
        if token.module and token.text == "sinc":
            self.refuse(f"{token.module}sinc(x) is sin(pi*x)/(pi*x), which is written sinc(pi*x)", token)
        if len(args) != expected:
            self.refuse(f"{token.text} takes {expected} argument{'s'[: expected != 1]}, got {len(args)}", token)
        named = self.names.get(token.text)
        if values and isinstance(named, Activation):
            function = named  # an atom has no parameters, but the activation of its name may: softplus(x, beta=2)
        if values and not isinstance(function, Activation):
            self.refuse(f"{token.text} has no parameters", token)
        return self.bounded(function(*args, **values))

    def function(self, token: Token) -> Callable[..., Expr]:
        found = _FUNCTIONS.get(token.text) or self.names.get(token.text)
        if isinstance(found, AxisActivation):
            self.refuse(f"{token.text} acts along an axis and cannot be part of a formula", token)
        if found is None:
            known = [*_FUNCTIONS, *self.names, "where"]
            near = get_close_matches(token.text[:60], known, n=1, cutoff=0.6)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            self.refuse(f"there is no function '{shortened(token.text)}'{hint}", token)
        return found

    def arity(self, name: str) -> int:
        if name in _FUNCTIONS:
            return ATOMS[name].arity if name in ATOMS else 1
        return len(self.names[name].inputs)

    def arguments(self, depth: int) -> tuple[list[Expr], dict[str, Expr]]:
        args: list[Expr] = []
        values: dict[str, Expr] = {}
        while not self.take(")"):
            if args or values:
                self.expect(",")
            if self.at + 1 < len(self.tokens) and self.tokens[self.at + 1].text == "=":
                name = self.next().text
                self.expect("=")
                values[name] = self.sum(depth + 1)
            else:
                args.append(self.sum(depth + 1))
        return args, values

    def where(self, depth: int) -> Expr:
        left = self.sum(depth + 1)
        order = self.take("<", "<=", ">", ">=")
        if not order:
            self.refuse("where needs a comparison first: where(x <= 0, then, otherwise), with <, <=, > or >=")
        condition = Compare(order, left, self.sum(depth + 1))  # type: ignore[arg-type]  # one of the four above
        self.expect(",")
        then = self.sum(depth + 1)
        self.expect(",")
        otherwise = self.sum(depth + 1)
        self.expect(")")
        return self.bounded(where(condition, then, otherwise))

    def bounded(self, built: Expr) -> Expr:
        if built.size > LARGEST:
            self.refuse(f"written out it has more than {LARGEST} parts")
        if built.depth > LARGEST // 20:
            self.refuse("its parts are chained too long")
        return built

    def next(self) -> Token:
        if self.at == len(self.tokens):
            self.refuse("it ends too early" if self.tokens else "it is empty")
        self.at += 1
        return self.tokens[self.at - 1]

    def take(self, *signs: str) -> str:
        if self.at < len(self.tokens) and self.tokens[self.at].text in signs:
            self.at += 1
            return self.tokens[self.at - 1].text
        return ""

    def expect(self, sign: str) -> None:
        token = self.next()
        if token.text != sign:
            self.refuse(f"found '{shortened(token.text)}' where '{sign}' belongs", token)

    def expect_end(self) -> None:
        if self.at < len(self.tokens):
            token = self.tokens[self.at]
            self.refuse(f"found '{shortened(token.text)}' where the formula should end", token)

    def refuse(self, why: str, token: Token | None = None) -> NoReturn:
        place = f" (at character {token.at})" if token else ""
        raise BadFormula(f"cannot read the formula {_quoted(self.source)}: {why}{place}.")
