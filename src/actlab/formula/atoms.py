"""The atoms: the functions that formulas are built of, each with its derivative in atoms again.

An atom and its derivative stay finite wherever the mathematics does, and keep their tails: the derivative of `tanh` is
`4·sigmoid(2x)·sigmoid(−2x)`, which does not round to 0 early as `1 − tanh²` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

from actlab.formula.expr import Call, Compare, Constant, Expr, Number, Operand, Where, expr

pi = Constant("pi")


@dataclass(frozen=True)
class Atom:
    """A function that formulas are built of.

    Attributes:
        name: how a formula spells it.
        arity: how many arguments it takes.
        slopes: the partial derivative by each argument, as a function of all arguments.
        summary: what it computes.
    """

    name: str
    arity: int
    slopes: tuple[Callable[..., Expr], ...]
    summary: str


def exp(x: Operand) -> Expr:
    return Call("exp", (expr(x),))


def expm1(x: Operand) -> Expr:
    return Call("expm1", (expr(x),))


def log(x: Operand) -> Expr:
    return Call("log", (expr(x),))


def log1p(x: Operand) -> Expr:
    return Call("log1p", (expr(x),))


def sigmoid(x: Operand) -> Expr:
    return Call("sigmoid", (expr(x),))


def log_sigmoid(x: Operand) -> Expr:
    return Call("log_sigmoid", (expr(x),))


def softplus(x: Operand) -> Expr:
    return Call("softplus", (expr(x),))


def tanh(x: Operand) -> Expr:
    return Call("tanh", (expr(x),))


def erf(x: Operand) -> Expr:
    return Call("erf", (expr(x),))


def erfc(x: Operand) -> Expr:
    return Call("erfc", (expr(x),))


def normal_cdf(x: Operand) -> Expr:
    return Call("normal_cdf", (expr(x),))


def normal_pdf(x: Operand) -> Expr:
    return Call("normal_pdf", (expr(x),))


def sin(x: Operand) -> Expr:
    return Call("sin", (expr(x),))


def cos(x: Operand) -> Expr:
    return Call("cos", (expr(x),))


def sinc(x: Operand) -> Expr:
    """Return sin(x)/x, and 1 at 0: the spherical Bessel function of order 0."""
    return spherical_bessel(0, x)


def spherical_bessel(order: int, x: Operand) -> Expr:
    """Return the spherical Bessel function jₙ of this order, which `sinc` and its derivatives consist of."""
    return Call("spherical_bessel", (Number(Fraction(order)), expr(x)))


def recurrence(order: int, x: Operand) -> Expr:
    """Return a spherical Bessel function of order 1 or more by its recurrence (DLMF 10.51.1)."""
    before = spherical_bessel(order - 2, x) if order > 1 else cos(x) / x
    return (2 * order - 1) / expr(x) * spherical_bessel(order - 1, x) - before


def atan(x: Operand) -> Expr:
    return Call("atan", (expr(x),))


def sqrt(x: Operand) -> Expr:
    return Call("sqrt", (expr(x),))


def abs(x: Operand) -> Expr:
    return Call("abs", (expr(x),))


def sign(x: Operand) -> Expr:
    """Return −1, 0 or 1, and NaN at NaN."""
    return Call("sign", (expr(x),))


def min(x: Operand, y: Operand) -> Expr:
    return Call("min", (expr(x), expr(y)))


def max(x: Operand, y: Operand) -> Expr:
    return Call("max", (expr(x), expr(y)))


def where(condition: Compare, then: Operand, otherwise: Operand) -> Expr:
    """Return `then` where the condition holds, else `otherwise`, also at NaN."""
    return Where(condition, expr(then), expr(otherwise))


def _spherical_bessel_slope(order: Expr, x: Expr) -> Expr:
    assert isinstance(order, Number)
    n = int(order.value)
    if n == 0:
        return -spherical_bessel(1, x)
    # DLMF 10.51.2: (2n+1) j_n' = n j_(n-1) - (n+1) j_(n+1)
    return (n * spherical_bessel(n - 1, x) - (n + 1) * spherical_bessel(n + 1, x)) / (2 * n + 1)


def _zero(*_: Expr) -> Expr:
    return expr(0)


ATOMS: Mapping[str, Atom] = MappingProxyType(
    {
        atom.name: atom
        for atom in (
            Atom("exp", 1, (exp,), "eˣ"),
            Atom("expm1", 1, (exp,), "eˣ − 1, exact near 0"),
            Atom("log", 1, (lambda x: 1 / x,), "natural logarithm"),
            Atom("log1p", 1, (lambda x: 1 / (1 + x),), "log(1 + x), exact near 0"),
            Atom("sigmoid", 1, (lambda x: sigmoid(x) * sigmoid(-x),), "1/(1 + e⁻ˣ)"),
            Atom("log_sigmoid", 1, (lambda x: sigmoid(-x),), "log of the sigmoid"),
            Atom("softplus", 1, (sigmoid,), "log(1 + eˣ)"),
            Atom("tanh", 1, (lambda x: 4 * (sigmoid(2 * x) * sigmoid(-(2 * x))),), "hyperbolic tangent"),
            Atom("erf", 1, (lambda x: 2 / sqrt(pi) * exp(-(x * x)),), "error function"),
            Atom("erfc", 1, (lambda x: -(2 / sqrt(pi)) * exp(-(x * x)),), "1 − erf, exact in its tail"),
            Atom("normal_cdf", 1, (normal_pdf,), "distribution function of the standard normal"),
            Atom("normal_pdf", 1, (lambda x: -(x * normal_pdf(x)),), "density of the standard normal"),
            Atom("sin", 1, (cos,), "sine"),
            Atom("cos", 1, (lambda x: -sin(x),), "cosine"),
            Atom(
                "spherical_bessel",
                2,
                (_zero, _spherical_bessel_slope),
                "spherical Bessel function jₙ; j₀ = sinc",
            ),
            Atom("atan", 1, (lambda x: 1 / (1 + x * x),), "arc tangent"),
            Atom("sqrt", 1, (lambda x: 1 / (2 * sqrt(x)),), "square root"),
            Atom("abs", 1, (sign,), "absolute value; its slope at 0 is 0, as PyTorch's"),
            Atom("sign", 1, (_zero,), "−1, 0 or 1"),
            Atom(
                "min",
                2,
                (lambda x, y: where(x <= y, 1, 0), lambda x, y: where(x <= y, 0, 1)),
                "the smaller; at a tie the slope is the first argument's",
            ),
            Atom(
                "max",
                2,
                (lambda x, y: where(x >= y, 1, 0), lambda x, y: where(x >= y, 0, 1)),
                "the larger; at a tie the slope is the first argument's",
            ),
        )
    }
)

# What a formula's text may call, beside `where` and other activations.
SPELLINGS: Mapping[str, Callable[..., Expr]] = MappingProxyType(
    {
        "exp": exp, "expm1": expm1, "log": log, "log1p": log1p, "sigmoid": sigmoid, "log_sigmoid": log_sigmoid,
        "softplus": softplus, "tanh": tanh, "erf": erf, "erfc": erfc, "normal_cdf": normal_cdf,
        "normal_pdf": normal_pdf, "sin": sin, "cos": cos, "sinc": sinc, "atan": atan, "sqrt": sqrt, "abs": abs,
        "sign": sign, "min": min, "max": max,
    }
)  # fmt: skip
