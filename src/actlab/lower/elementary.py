"""The elementary functions in vector code: branch-free, for every recipe in `arithmetic`.

Their errors, in units in the last place, are held by tests/unit/lower/test_elementary.py against 50 digits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from types import MappingProxyType

from actlab.lower.arithmetic import Arithmetic, Num
from actlab.lower.circular import atan, cos, cos_of_half_turns, sin, sin_of_half_turns
from actlab.lower.error_functions import erf, erfc, normal_cdf, normal_pdf
from actlab.lower.exponential import exp, expm1, log, log1p, log_sigmoid, sigmoid, softplus, tanh
from actlab.lower.numerals import HALF_ROOT, INVERSE_ROOT_TWO_PI, kept_exact


def sign(a: Arithmetic, x: Num) -> Num:
    zero = a.real(0.0)
    value = a.value(x)
    unit = a.block.copysign(a.real(1.0), value)
    return Num(a.block.select(a.block.compare("one", value, zero), unit, value))


def minimum(a: Arithmetic, x: Num, y: Num) -> Num:
    return _extreme(a, x, y, order="ole")


def maximum(a: Arithmetic, x: Num, y: Num) -> Num:
    return _extreme(a, x, y, order="oge")


def _extreme(a: Arithmetic, x: Num, y: Num, *, order: str) -> Num:
    """Return the one that comes first in the order, at a tie the first; NaN if either is NaN."""
    first, second = a.value(x), a.value(y)
    chosen = a.select(a.block.compare(order, first, second), x, y)
    return a.select(a.block.compare("uno", first, first), x, chosen)


FUNCTIONS: Mapping[str, Callable[..., Num]] = MappingProxyType(
    {
        "exp": exp, "expm1": expm1, "log": log, "log1p": log1p, "sigmoid": sigmoid, "log_sigmoid": log_sigmoid,
        "softplus": softplus, "tanh": tanh, "erf": erf, "erfc": erfc, "normal_cdf": normal_cdf,
        "normal_pdf": normal_pdf, "sin": sin, "cos": cos, "atan": atan, "sqrt": Arithmetic.sqrt, "abs": Arithmetic.abs,
        "sign": sign, "min": minimum, "max": maximum,
    }
)  # fmt: skip

# The circular functions of an angle in half turns, which need no multiple of π taken away.
OF_HALF_TURNS: Mapping[str, Callable[[Arithmetic, Num], Num]] = MappingProxyType(
    {"sin": sin_of_half_turns, "cos": cos_of_half_turns}
)

# The functions that are 0 at 0, and how steep they are there.
SLOPES_AT_ZERO: Mapping[str, Fraction] = MappingProxyType(
    {
        **dict.fromkeys(("tanh", "sin", "atan", "expm1", "log1p"), Fraction(1)),
        "erf": kept_exact(4 * HALF_ROOT * INVERSE_ROOT_TWO_PI),
    }
)
