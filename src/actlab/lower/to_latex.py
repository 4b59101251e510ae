"""LaTeX: the formula as a paper prints it."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType

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
from actlab.formula.text import number_text

_SUM, _PRODUCT, _SIGN, _POWER, _WHOLE = 1, 2, 3, 4, 5

_ATOMS: Mapping[str, str] = MappingProxyType(
    {
        "exp": r"e^{{{0}}}",
        "expm1": r"\left(e^{{{0}}} - 1\right)",
        "log": r"\log\left({0}\right)",
        "log1p": r"\log\left(1 + {0}\right)",
        "sigmoid": r"\sigma\left({0}\right)",
        "log_sigmoid": r"\log\sigma\left({0}\right)",
        "softplus": r"\operatorname{{softplus}}\left({0}\right)",
        "tanh": r"\tanh\left({0}\right)",
        "erf": r"\operatorname{{erf}}\left({0}\right)",
        "erfc": r"\operatorname{{erfc}}\left({0}\right)",
        "normal_cdf": r"\Phi\left({0}\right)",
        "normal_pdf": r"\varphi\left({0}\right)",
        "sin": r"\sin\left({0}\right)",
        "cos": r"\cos\left({0}\right)",
        "spherical_bessel": r"j_{{{0}}}\left({1}\right)",
        "atan": r"\arctan\left({0}\right)",
        "sqrt": r"\sqrt{{{0}}}",
        "abs": r"\left|{0}\right|",
        "sign": r"\operatorname{{sgn}}\left({0}\right)",
        "min": r"\min\left({0}, {1}\right)",
        "max": r"\max\left({0}, {1}\right)",
    }
)

_REDUCTIONS: Mapping[str, str] = MappingProxyType(
    {
        "total": r"\sum_j {0}",
        "greatest": r"\max_j {0}",
        "sparsemax_threshold": r"\tau\left({0}\right)",
        "entmax15_threshold": r"\tau_{{1.5}}\left({0}\right)",
    }
)

_ORDERS: Mapping[str, str] = MappingProxyType({"<": "<", "<=": r"\le", ">": ">", ">=": r"\ge"})

_GREEK = frozenset(
    {"alpha", "beta", "gamma", "delta", "epsilon", "eta", "theta", "kappa", "lambda", "mu", "nu", "omega"}
)


def latex(root: Expr) -> str:
    """Return the formula in LaTeX's mathematics mode."""
    done: dict[Node, tuple[str, int]] = {}
    for node in walk(root):
        done[node] = _written(node, done)
    return done[root][0]


def _written(node: Node, done: Mapping[Node, tuple[str, int]]) -> tuple[str, int]:
    def at(child: Expr, least: int) -> str:
        spelled, binding = done[child]
        return spelled if binding >= least else rf"\left({spelled}\right)"

    match node:
        case Number(value):
            return _number(value)
        case Constant():
            return r"\pi", _WHOLE
        case Input(name) | ParamRef(name):
            return _name(name), _WHOLE
        case Neg(operand):
            return f"-{at(operand, _SIGN)}", _SIGN
        case Add(left, right):
            return f"{at(left, _SUM)} + {at(right, _PRODUCT)}", _SUM
        case Sub(left, right):
            return f"{at(left, _SUM)} - {at(right, _PRODUCT)}", _SUM
        case Mul(left, right):
            # two numbers side by side would read as one
            sign = r" \cdot " if at(right, _POWER)[:1].isdigit() else r" \, "
            return f"{at(left, _PRODUCT)}{sign}{at(right, _POWER)}", _PRODUCT
        case Div(left, right):
            return rf"\frac{{{done[left][0]}}}{{{done[right][0]}}}", _WHOLE
        case Pow(base, exponent):
            return f"{at(base, _WHOLE)}^{{{done[exponent][0]}}}", _POWER
        case Call("spherical_bessel", (Number(order), x)) if order == 0:
            return rf"\operatorname{{sinc}}\left({done[x][0]}\right)", _WHOLE
        case Call(atom, args):
            return _ATOMS[atom].format(*(done[arg][0] for arg in args)), _POWER if atom == "exp" else _WHOLE
        case Compare(order, left, right):
            return f"{done[left][0]} {_ORDERS[order]} {done[right][0]}", 0
        case Where():
            return _cases(node, done), _WHOLE
        case Over(reduction, operand):
            return _REDUCTIONS[reduction].format(at(operand, _PRODUCT)), _PRODUCT
    raise AssertionError(f"no LaTeX for {type(node).__name__}")


def _cases(node: Where, done: Mapping[Node, tuple[str, int]]) -> str:
    """Return one `cases` block for a whole chain of `where`."""
    rows = []
    rest: Expr = node
    while isinstance(rest, Where):
        rows.append(rf"{done[rest.then][0]} & \text{{if }} {done[rest.condition][0]}")
        rest = rest.otherwise
    rows.append(rf"{done[rest][0]} & \text{{otherwise}}")
    lines = r" \\ ".join(rows)
    return rf"\begin{{cases}} {lines} \end{{cases}}"


def _number(value: Fraction) -> tuple[str, int]:
    spelled = number_text(value)
    if "/" in spelled:
        over, under = spelled.split("/")
        return rf"\frac{{{over}}}{{{under}}}", _WHOLE
    if "e" in spelled:
        digits, power = spelled.split("e")
        return rf"{digits} \cdot 10^{{{power}}}", _PRODUCT
    return spelled, _SIGN if value < 0 else _WHOLE


def _name(name: str) -> str:
    if name in _GREEK:
        return f"\\{name}"
    escaped = name.replace("_", r"\_")
    return name if len(name) == 1 else rf"\mathrm{{{escaped}}}"
