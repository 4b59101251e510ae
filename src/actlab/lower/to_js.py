"""JavaScript, in double precision: formulas as functions of an ES module.

Parameters are arguments, so that moving a slider needs no new program. Where a formula's own value at an infinite input
is NaN (infinity times 0), the function answers with its limit there. Limits depend on the parameters, so the module
finds them itself when it is called there, from values ever farther out, as the kernels do.

JavaScript has no error function. Below 0.5, erf(x)/x is a polynomial in x²; above, (1 + 2x)·exp(x²)·erfc(x) is one in
(x − 3)/(x + 3). Each interpolates at the Chebyshev nodes of its interval, 9 for x² in [0, 1/4] and 22 for the second
variable in [−5/7, 1], in 60 digits; both are within 1e-16 of the function, and a test computes them again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from textwrap import fill
from types import MappingProxyType
from typing import final

from actlab.errors import CannotLower
from actlab.formula.constant import constant_value
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
    walk,
)
from actlab.lower.straight_line import Leaf

TARGET = "javascript"

_SUM, _PRODUCT, _SIGN, _POWER, _WHOLE = 1, 2, 3, 4, 5

# Nested deeper than this, a part gets its own name, for the reader.
_DEEPEST = 12

ATOMS: Mapping[str, str] = MappingProxyType(
    {
        "exp": "Math.exp({0})",
        "expm1": "Math.expm1({0})",
        "log": "Math.log({0})",
        "log1p": "Math.log1p({0})",
        "sigmoid": "logistic({0})",
        "log_sigmoid": "logSigmoid({0})",
        "softplus": "softPlus({0})",
        "tanh": "Math.tanh({0})",
        "erf": "errorFunction({0})",
        "erfc": "errorFunctionTail({0})",
        "normal_cdf": "normalCdf({0})",
        "normal_pdf": "normalPdf({0})",
        "sin": "Math.sin({0})",
        "cos": "Math.cos({0})",
        "spherical_bessel": "sphericalBessel({0}, {1})",
        "atan": "Math.atan({0})",
        "sqrt": "Math.sqrt({0})",
        "abs": "Math.abs({0})",
        "sign": "Math.sign({0})",
        "min": "Math.min({0}, {1})",
        "max": "Math.max({0}, {1})",
    }
)

REDUCTIONS: Mapping[str, str] = MappingProxyType(
    {
        "total": "total({0})",
        "greatest": "greatest({0})",
        "sparsemax_threshold": "sparsemaxThreshold({0})",
        "entmax15_threshold": "entmax15Threshold({0})",
    }
)

# erf(x)/x in powers of x², and (1 + 2x)·exp(x²)·erfc(x) in powers of (x − 3)/(x + 3), the constants first.
ERF = (
    1.1283791670955126, -0.37612638903183476, 0.11283791670925353, -0.026866170632887928, 0.00522397737302147,
    -0.0008548297753674966, 0.00012053335124353741, -1.4845849259707869e-05, 1.4725865480556744e-06,
)  # fmt: skip
SCALED_ERFC = (
    1.2530080582697296, -0.1356211061245819, -0.04756229435343795, 0.12964515870285032, -0.11927366341598962,
    0.06830802734081015, -0.023770514904168583, 0.0025293918660875543, 0.0018886901962286093, -0.0007798326981198945,
    -0.00010515869114536735, 0.0001251014968923996, 4.944618666686786e-06, -2.0107202455758215e-05,
    -7.173724923699945e-07, 3.4849871092894606e-06, 3.297474720064928e-07, -6.30389676311026e-07,
    -1.0849535429769447e-07, 1.0888046075030496e-07, 1.7954336241076143e-08, -1.3317709095569178e-08,
)  # fmt: skip

_SIGMOID = """
/** 1 / (1 + exp(-x)), its tail kept. */
function logistic(x) {
  if (x >= 0) return 1 / (1 + Math.exp(-x));
  const power = Math.exp(x);
  return power / (1 + power);
}
"""

_LOG_SIGMOID = """
/** The logarithm of the sigmoid, its tail kept. */
function logSigmoid(x) {
  return x >= 0 ? -Math.log1p(Math.exp(-x)) : x - Math.log1p(Math.exp(x));
}
"""

_SOFTPLUS = """
/** log(1 + exp(x)), its tail kept. */
function softPlus(x) {
  return x > 0 ? x + Math.log1p(Math.exp(-x)) : Math.log1p(Math.exp(x));
}
"""

_GAUSSIAN = """
/** exp(-scale * x * x); x * x is exact in two parts, because a rounding of it would be magnified. */
function expMinusSquare(x, scale) {
  if (Math.abs(x) > 40) return 0;
  const high = Math.fround(x);
  return Math.exp(-scale * high * high) * Math.exp(-scale * (x - high) * (x + high));
}
"""

_POLYNOMIAL = """
/** The polynomial with these coefficients, the constant first. */
function polynomial(coefficients, x) {
  let sum = 0;
  for (let k = coefficients.length - 1; k >= 0; k--) sum = sum * x + coefficients[k];
  return sum;
}
"""

_ERF = """
/** The error function. */
function errorFunction(x) {
  if (Math.abs(x) >= 0.5) return x < 0 ? errorFunctionTail(-x) - 1 : 1 - errorFunctionTail(x);
  return x * polynomial(ERF, x * x);
}
"""

_ERFC = """
/** 1 - erf(x), its tail kept. */
function errorFunctionTail(x) {
  if (x < 0.5) return x > -0.5 ? 1 - errorFunction(x) : 2 - errorFunctionTail(-x);
  return x > 28 ? 0 : expMinusSquare(x, 1) * scaledTail(x);
}
"""

_SCALED_ERFC = """
/** exp(x * x) * erfc(x) for x from 0.5 on. */
function scaledTail(x) {
  return polynomial(SCALED_ERFC, (x - 3) / (x + 3)) / (1 + 2 * x);
}
"""

_NORMAL_CDF = """
/** The distribution function of the standard normal, its tail kept. */
function normalCdf(x) {
  if (x > -0.7) return 1 - 0.5 * errorFunctionTail(x * Math.SQRT1_2);
  return x < -40 ? 0 : 0.5 * expMinusSquare(x, 0.5) * scaledTail(-x * Math.SQRT1_2);
}
"""

_NORMAL_PDF = """
/** The density of the standard normal. */
function normalPdf(x) {
  return 0.3989422804014327 * expMinusSquare(x, 0.5);
}
"""

_SPHERICAL_BESSEL = """
/** The spherical Bessel function j_n: a power series near 0, the upward recurrence elsewhere. */
function sphericalBessel(n, x) {
  if (Math.abs(x) === Infinity) return 0;
  if (Math.abs(x) < 2 + n) {
    let term = 1;
    for (let k = 1; k <= n; k++) term *= x / (2 * k + 1);
    let sum = term;
    for (let k = 1; k < 24 + n; k++) {
      term *= (-x * x) / (2 * k * (2 * k + 2 * n + 1));
      sum += term;
    }
    return sum;
  }
  let [below, here] = [Math.cos(x) / x, Math.sin(x) / x];
  for (let k = 0; k < n; k++) [below, here] = [here, ((2 * k + 1) / x) * here - below];
  return here;
}
"""

_LIMIT_FAR = """
/**
 * The limit at an infinite input of a function that computes NaN there (infinity times 0); NaN if there is none.
 *
 * It is read off values ever farther out; what settles before 1000 counts, because further out a difference of large
 * numbers rounds to 0. With two infinite inputs, the limits in either order must agree. A finite input beyond 1e100,
 * whose powers overflow, gets the limit if that is finite.
 */
function limitFar(inputs, f, swings) {
  const infinite = inputs.filter((x) => Math.abs(x) === Infinity).length;
  const ends = [...inputs.keys()].filter((k) => Math.abs(inputs[k]) > (infinite ? Number.MAX_VALUE : 1e100));
  if (ends.length === 0 || inputs.some(Number.isNaN)) return NaN;
  const found = ends.map((end) => {
    const at = (place) => f(...inputs.map((x, k) => (k === end ? Math.sign(x) * place : x)));
    const settle = (places) => settled(places.map((place) => [place, at(place)]), swings);
    if (infinite > 1) return settle([5, 10, 15, 20, 25]);
    const limit = settle([1e1, 1e2, 1e4, 1e8, 1e16, 1e32, 1e64, 1e100]);
    const nearer = swings ? NaN : settle([5, 10, 20, 40, 80, 160, 320, 640]);
    return Number.isNaN(limit) || (Number.isFinite(limit) && Number.isFinite(nearer)) ? nearer : limit;
  });
  const usable = infinite ? found : found.filter(Number.isFinite);
  return usable.length > 0 && usable.every((each) => each === usable[0]) ? usable[0] : NaN;
}
"""

_SETTLED = """
/** What pairs of place and value tend to: a value that no longer moves, 0 or infinity; NaN if that is not clear. */
function settled(pairs, swings) {
  const values = pairs.map(([, value]) => value);
  const [third, second, last] = values.slice(-3);
  if ([third, second, last].some(Number.isNaN)) return NaN;
  if (third === second && second === last && !(swings && Math.abs(last) === Infinity)) return last;
  const near = 3e-13 * Math.abs(last);
  if (Math.abs(last - second) <= near && Math.abs(second - third) <= near) return last;
  const sizes = values.slice(-5).map(Math.abs);
  const all = (holds) => sizes.slice(1).every((size, k) => holds(size, sizes[k]));
  if (all((after, before) => after < before) && sizes.at(-1) < 1e-8) return 0;
  if (sizes.slice(-3).every((size) => size < 1e-24)) return 0;
  if (swings) {
    const ratios = pairs.slice(-3).map(([place, value]) => value / place);
    const along = last !== 0 && Math.max(...ratios) - Math.min(...ratios) <= 1e-9 * Math.abs(ratios[2]);
    return along ? Math.sign(last) * Infinity : NaN;
  }
  const grows = all((after, before) => after > before) && sizes.at(-1) > 2 * sizes[0];
  return grows ? Math.sign(last) * Infinity : NaN;
}
"""

_LIMITS_FAR = """
/** The values of a function of several outputs, each NaN at an infinite input replaced by its limit. */
function limitsFar(values, inputs, f, swings) {
  return values.map((y, k) => (Number.isNaN(y) ? limitFar(inputs, (...at) => f(...at)[k], swings) : y));
}
"""

_TOTAL = """
/** The sum of the values. */
function total(values) {
  return values.reduce((sum, value) => sum + value, 0);
}
"""

_GREATEST = """
/** The largest value. */
function greatest(values) {
  return values.reduce((most, value) => Math.max(most, value), -Infinity);
}
"""

_SPARSEMAX = """
/** The t for which max(x - t, 0) sums to 1 (Martins, Astudillo 2016, arXiv:1602.02068). */
function sparsemaxThreshold(values) {
  let [sum, threshold] = [-1, NaN];
  [...values].sort((a, b) => b - a).forEach((value, k) => {
    sum += value;
    if ((k + 1) * value > sum) threshold = sum / (k + 1);
  });
  return threshold;
}
"""

_ENTMAX15 = """
/** The t for which max(x - t, 0) ** 2 sums to 1 (Peters et al. 2019, arXiv:1905.05702). */
function entmax15Threshold(values) {
  let [sum, squares, threshold] = [0, 0, NaN];
  [...values].sort((a, b) => b - a).forEach((value, k) => {
    const count = k + 1;
    sum += value;
    squares += value * value;
    const mean = sum / count;
    const t = mean - Math.sqrt(Math.max(1 / count - (squares / count - mean * mean), 0));
    if (t <= value) threshold = t;
  });
  return threshold;
}
"""


def _number(value: float) -> str:
    """Return a double as the shortest text that JavaScript reads back as the same number."""
    return repr(value).removesuffix(".0")


def _with_table(text: str, name: str, coefficients: Sequence[float]) -> str:
    """Return the text of a helper, behind the coefficients that it uses."""
    rows = fill(", ".join(map(_number, coefficients)), width=96, initial_indent="  ", subsequent_indent="  ")
    return f"const {name} = [\n{rows},\n];\n{text}"


HELPERS: Mapping[str, str] = MappingProxyType(
    {
        "normalCdf": _NORMAL_CDF,
        "normalPdf": _NORMAL_PDF,
        "errorFunctionTail": _ERFC,
        "errorFunction": _with_table(_ERF, "ERF", ERF),
        "scaledTail": _with_table(_SCALED_ERFC, "SCALED_ERFC", SCALED_ERFC),
        "expMinusSquare": _GAUSSIAN,
        "polynomial": _POLYNOMIAL,
        "logistic": _SIGMOID,
        "logSigmoid": _LOG_SIGMOID,
        "softPlus": _SOFTPLUS,
        "sphericalBessel": _SPHERICAL_BESSEL,
        "total": _TOTAL,
        "greatest": _GREATEST,
        "sparsemaxThreshold": _SPARSEMAX,
        "entmax15Threshold": _ENTMAX15,
        "limitsFar": _LIMITS_FAR,
        "limitFar": _LIMIT_FAR,
        "settled": _SETTLED,
    }
)
"""The functions that a module defines where they are used, each before those that it calls."""

_RESERVED = frozenset(
    {
        "arguments", "async", "await", "break", "case", "catch", "class", "const", "continue", "debugger", "default",
        "delete", "do", "else", "enum", "eval", "export", "extends", "false", "finally", "for", "function", "if",
        "implements", "import", "in", "instanceof", "interface", "let", "new", "null", "package", "private",
        "protected", "public", "return", "static", "super", "switch", "this", "throw", "true", "try", "typeof",
        "undefined", "var", "void", "while", "with", "yield", "Infinity", "Math", "NaN", "Number", "ERF",
        "SCALED_ERFC", "i", *HELPERS,
    }
)  # fmt: skip


@final
@dataclass(frozen=True)
class Function:
    """A function of the module.

    Attributes:
        name: what it is exported as.
        outputs: its formulas; it returns a number for one, an array for several.
        args: its arguments in order, the inputs first. Every input and parameter of the formulas is among them.
        summary: the comment above it.
        defaults: the value of each parameter where a call leaves it out.
    """

    name: str
    outputs: tuple[Expr, ...]
    args: tuple[Leaf, ...]
    summary: str = ""
    defaults: Mapping[Leaf, float] = field(default_factory=dict)


def module(functions: Sequence[Function]) -> str:
    """Return the functions as the text of one ES module, which needs nothing else.

    A formula along an axis becomes a function of an array, or of several of the same length.

    Raises:
        CannotLower: a formula has a part that JavaScript cannot spell, or a name that is not an identifier.
    """
    taken = _RESERVED | {function.name for function in functions}
    for function in functions:
        _refuse_odd_name(function.name)
        if function.name in _RESERVED:
            raise CannotLower(f"the name '{function.name}' has a meaning in JavaScript; choose another name.")
    texts = [_written_function(function, taken) for function in functions]
    return "\n\n".join([*texts, *_helpers(texts)]) + "\n"


def function_name(name: str) -> str:
    """Return the name, or one like it that means nothing else in a module."""
    return safe_names([name], frozenset())[0]


def safe_names(names: Sequence[str], taken: frozenset[str]) -> list[str]:
    """Return a name in JavaScript for each name, all different and none of them reserved or taken.

    Raises:
        CannotLower: a name is not an identifier.
    """
    safe: list[str] = []
    for name in names:
        _refuse_odd_name(name)
        others = {*names} - {name}
        while name in _RESERVED | taken or name in others or name in safe or re.fullmatch(r"[st]\d+", name):
            name += "_"
        safe.append(name)
    return safe


def _refuse_odd_name(name: str) -> None:
    if not name.isidentifier():
        raise CannotLower(f"the name {name[:40]!r} must be an identifier to stand in a program.")


def _helpers(texts: Sequence[str]) -> Iterator[str]:
    """Yield the helpers that the texts call, and those that these call."""
    used: set[str] = set()
    waiting = list(texts)
    while waiting:
        called = {name for name in re.findall(r"(?<![\w.])(\w+)\(", waiting.pop()) if name in HELPERS} - used
        used |= called
        waiting += [HELPERS[name] for name in called]
    yield from (text.strip() for name, text in HELPERS.items() if name in used)


def _written_function(function: Function, taken: frozenset[str]) -> str:
    names = safe_names([leaf.name for leaf in function.args], taken)
    heads = [
        f"{name} = {_number(function.defaults[leaf])}" if leaf in function.defaults else name
        for leaf, name in zip(function.args, names, strict=True)
    ]
    known: dict[Node, str] = dict(zip(function.args, names, strict=True))
    along_axis = any(isinstance(node, Over) for node in walk(*function.outputs))
    lines = _along_axis(function, known) if along_axis else _pointwise(function, known)
    comment = [f"/** {function.summary.replace('*/', '* /')} */"] if function.summary else []
    body = [f"  {line}" for line in lines]
    return "\n".join([*comment, f"export function {function.name}({', '.join(heads)}) {{", *body, "}"])


def _pointwise(function: Function, known: Mapping[Node, str]) -> list[str]:
    block = _Block(function.outputs, known)
    results = [block.at(output, 0) for output in function.outputs]
    several = len(results) > 1
    answer = f"[{', '.join(results)}]" if several else results[0]
    if not _may_lose_limits(function.outputs):
        return [*block.lines, f"return {answer};"]
    inputs = [known[leaf] for leaf in function.args if isinstance(leaf, Input)]
    if _may_mislead(function.outputs):
        infinite = " || ".join(f"Math.abs({name}) === Infinity" for name in inputs)
        answer = f"{infinite} ? {'[NaN' + ', NaN' * (len(results) - 1) + ']' if several else 'NaN'} : {answer}"
    heads, every = ", ".join(inputs), ", ".join(known.values())
    again = function.name if heads == every else f"({heads}) => {function.name}({every})"
    swings = ", true" if any(isinstance(node, Call) and node.atom in _SWINGING for node in block.nodes) else ""
    name = block.next_name()
    is_nan, limit = (
        (f"{name}.some(Number.isNaN)", f"limitsFar({name}, ") if several else (f"Number.isNaN({name})", "limitFar(")
    )
    return [
        *block.lines,
        f"const {name} = {answer};",
        f"return {is_nan} ? {limit}[{heads}], {again}{swings}) : {name};",
    ]


def _along_axis(function: Function, known: Mapping[Node, str]) -> list[str]:
    """Return the lines of a function of arrays: each reduction by name, then the outputs element by element."""
    if len(function.outputs) > 1:
        raise CannotLower(f"{function.name} acts along an axis: its program must have one output.")
    first, *others = known.values()
    inside: dict[Node, str] = {
        leaf: f"{name}[i]" if name in others and isinstance(leaf, Input) else name for leaf, name in known.items()
    }
    arrow = f"({first}, i)" if len(others) else f"({first})"
    lines: list[str] = []

    def mapped(formula: Expr) -> str:
        block = _Block((formula,), inside)
        result = block.at(formula, 0)
        inner = f"{{ {' '.join(block.lines)} return {result}; }}" if block.lines else result
        return f"{first}.map({arrow} => {inner})"

    for node in walk(*function.outputs):
        if isinstance(node, Over):
            if node.reduction not in REDUCTIONS:
                raise _cannot_spell(node.reduction)
            name = f"s{len(lines) + 1}"
            lines.append(f"const {name} = {REDUCTIONS[node.reduction].format(mapped(node.operand))};")
            inside[node] = name
    return [*lines, f"return {mapped(function.outputs[0])};"]


_SWINGING = frozenset({"sin", "cos", "spherical_bessel"})
_UNDEFINED_SOMEWHERE = frozenset({"sin", "cos", "log", "log1p", "sqrt"})


def _may_lose_limits(outputs: Sequence[Expr]) -> bool:
    """Return whether a formula may compute NaN at an infinite input, as infinity times 0, or misjudge a condition."""
    varying = _varying(outputs)
    return _may_mislead(outputs) or any(_may_be_nan(node, varying) for node in walk(*outputs))


def _may_be_nan(node: Node, varying: set[Node]) -> bool:
    """Return whether an operation may compute NaN from numbers and infinities."""
    if node not in varying:
        return False
    if isinstance(node, Add | Sub | Mul | Div):
        fixed = [child for child in (node.left, node.right) if child not in varying]
        return not fixed or constant_value(fixed[0]) == 0
    return isinstance(node, Pow) or (isinstance(node, Call) and node.atom in _UNDEFINED_SOMEWHERE)


def _may_mislead(outputs: Sequence[Expr]) -> bool:
    """Return whether a formula may take the wrong branch at an infinite input.

    There, `x >= 2 * x` compares infinity with itself, and `x * normal_cdf(x) < 1` compares NaN.
    """
    varying, moving, doubtful = _varying(outputs), set[Node](), set[Node]()
    for node in walk(*outputs):
        if isinstance(node, Input) or not moving.isdisjoint(node.children):
            moving.add(node)
        if _may_be_nan(node, varying) or not doubtful.isdisjoint(node.children):
            doubtful.add(node)
        if isinstance(node, Compare) or (isinstance(node, Call) and node.atom in ("min", "max")):
            sides = [child for child in node.children if child in moving]
            if len(sides) > 1 or not doubtful.isdisjoint(sides):
                return True
    return False


def _varying(outputs: Sequence[Expr]) -> set[Node]:
    """Return the nodes that depend on an input or a parameter."""
    varying: set[Node] = set()
    for node in walk(*outputs):
        if isinstance(node, Leaf) or not varying.isdisjoint(node.children):
            varying.add(node)
    return varying


def _cannot_spell(name: str) -> CannotLower:
    return CannotLower(
        f"the formula uses {name}, which target '{TARGET}' cannot spell. "
        "Add a row to lower/to_js.py, or choose another target."
    )


class _Block:
    """Writes the lines that compute some formulas, children before parents; every shared part once.

    Args:
        outputs: the formulas.
        known: the text of each argument, and of each part that was computed before.
    """

    def __init__(self, outputs: Sequence[Expr], known: Mapping[Node, str]) -> None:
        self.known = known
        self.varying = _varying(outputs)
        self.nodes = list(_needed(outputs, known))
        self.uses = Counter(child for node in self.nodes if node not in known for child in node.children)
        self.uses.update(outputs)
        # a base that is written twice or thrice as a product
        self.uses.update(node.base for node in self.nodes if isinstance(node, Pow) and _factors(node.exponent))
        self.done: dict[Node, tuple[str, int, int]] = {}
        self.lines: list[str] = []
        for node in self.nodes:
            if node in self.varying:
                self.done[node] = self.named(node, *self.written(node))

    def next_name(self) -> str:
        return f"t{len(self.lines) + 1}"

    def named(self, node: Node, spelled: str, binding: int) -> tuple[str, int, int]:
        nested = 1 + max((self.done[child][2] for child in node.children if child in self.done), default=0)
        simple = isinstance(node, Leaf | Compare) or node in self.known or re.fullmatch(r"-\w+", spelled)
        if simple or (self.uses[node] < 2 and nested <= _DEEPEST):
            return spelled, binding, nested
        name = self.next_name()
        self.lines.append(f"const {name} = {spelled};")
        return name, _WHOLE, 0

    def written(self, node: Node) -> tuple[str, int]:
        if node in self.known:
            return self.known[node], _WHOLE
        match node:
            case Input(name) | ParamRef(name):
                raise CannotLower(f"the formula mentions '{name}', which is not an argument of the program.")
            case Neg(operand):
                return f"-{self.at(operand, _POWER)}", _SIGN  # `--x` would be a decrement
            case Add(left, right):
                return f"{self.at(left, _SUM)} + {self.at(right, _PRODUCT)}", _SUM
            case Sub(left, right):
                return f"{self.at(left, _SUM)} - {self.at(right, _PRODUCT)}", _SUM
            case Mul(left, right):
                return f"{self.at(left, _PRODUCT)} * {self.at(right, _SIGN)}", _PRODUCT
            case Div(left, right):
                return f"{self.at(left, _PRODUCT)} / {self.at(right, _SIGN)}", _PRODUCT
            case Pow(base, exponent):
                if factors := _factors(exponent):
                    return " * ".join([self.at(base, _WHOLE)] * factors), _PRODUCT
                return f"Math.pow({self.at(base, 0)}, {self.at(exponent, 0)})", _WHOLE
            case Compare(order, left, right):
                return f"{self.at(left, _SUM)} {order} {self.at(right, _SUM)}", 0
            case Where():
                return self.where(node)
            case Call(atom, args):
                if atom not in ATOMS:
                    raise _cannot_spell(atom)
                return ATOMS[atom].format(*(self.at(arg, 0) for arg in args)), _WHOLE
        raise AssertionError(f"no spelling for {type(node).__name__}")

    def where(self, node: Where) -> tuple[str, int]:
        condition = node.condition
        if condition not in self.varying:
            holds = constant_value(Where(condition, Number(Fraction(1)), Number(Fraction(0))))
            return self.at(node.then if holds else node.otherwise, _WHOLE), _WHOLE
        return f"{self.done[condition][0]} ? {self.at(node.then, _SUM)} : {self.at(node.otherwise, 0)}", 0

    def at(self, node: Expr, least: int) -> str:
        """Return the node's text, in brackets where it binds more loosely than its place demands."""
        if node in self.varying:
            spelled, binding, _ = self.done[node]
        else:
            spelled = _number(constant_value(node))
            binding = _SIGN if spelled.startswith("-") else _WHOLE
        return spelled if binding >= least else f"({spelled})"


def _factors(exponent: Expr) -> int:
    """Return the number of factors of a power that is written as a product; 0 if it is not."""
    return int(exponent.value) if isinstance(exponent, Number) and exponent.value in (2, 3) else 0


def _needed(outputs: Sequence[Expr], known: Mapping[Node, str]) -> Iterator[Node]:
    """Yield the nodes to write, children before parents: nothing below a part that is known."""
    wanted: set[Node] = set()
    waiting: list[Node] = list(outputs)
    while waiting:
        node = waiting.pop()
        if node not in wanted:
            wanted.add(node)
            waiting += () if node in known else node.children
    yield from (node for node in walk(*outputs) if node in wanted)
