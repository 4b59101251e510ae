"""Formulas at any real number, to fifty digits, in bounded time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

from mpmath import mp

from actlab.formula.expr import Call, Expr, Input, Node, Number, Pow, walk
from actlab.formula.substitute import substitute
from actlab.lower import straight_line, to_mpmath
from actlab.theory.bounded_mpmath import TooLarge, Undefined

PRECISION = 200  # bits

_EXPONENTIAL = (
    "exp", "expm1", "sigmoid", "log_sigmoid", "softplus", "tanh", "erf", "erfc", "normal_cdf", "normal_pdf",
    "sin", "cos",
)  # fmt: skip

# mpmath without complex results and without arguments that would take unbounded time.
SPELLING = replace(
    to_mpmath.SPELLING,
    imports=to_mpmath.SPELLING.imports + "\nfrom actlab.theory.bounded_mpmath import log, log1p, power, sqrt, tame",
    atoms={
        **to_mpmath.SPELLING.atoms,
        **{name: to_mpmath.SPELLING.atoms[name].replace("{0}", "tame({0})") for name in _EXPONENTIAL},
        "spherical_bessel": "spherical_bessel({0}, tame({1}))",
        "log": "log({0})",
        "log1p": "log1p({0})",
        "sqrt": "sqrt({0})",
        "power": "power({0}, {1})",
    },
)


@lru_cache(maxsize=256)
def precise(formula: Expr, *, bits: int = PRECISION) -> Callable[[Any], Any]:
    """Return the formula of x as a function of an mpmath number, computed with so many bits.

    The function returns an mpmath number, or None if the formula has no finite real value, and raises `TooLarge` if
    it cannot be computed in bounded time.
    """
    function = straight_line.program([with_real_powers(formula)], [Input("x")], spelling=SPELLING).function

    def evaluate(x: Any) -> Any:
        with mp.workprec(bits):
            try:
                value = mp.mpmathify(function(mp.mpf(x)))
            except (Undefined, ZeroDivisionError):
                return None
            except (OverflowError, MemoryError) as error:
                raise TooLarge from error
        return value if mp.isfinite(value) else None

    return evaluate


def with_real_powers(formula: Expr) -> Expr:
    """Write powers whose exponent is not a fixed whole number so that they stay real and bounded."""
    powers = [node for node in walk(formula) if isinstance(node, Pow) and not _is_whole(node.exponent)]
    if not powers:
        return formula
    node = powers[0]  # innermost first, so that a power inside a power is exchanged too
    return with_real_powers(substitute(formula, {node: Call("power", (node.base, node.exponent))}))


def _is_whole(exponent: Node) -> bool:
    return isinstance(exponent, Number) and exponent.value.denominator == 1 and abs(exponent.value) < 1 << 20
