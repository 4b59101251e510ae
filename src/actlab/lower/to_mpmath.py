"""mpmath: the reference, with as many digits as the context asks for (50 in the tests)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from actlab.formula.expr import Expr
from actlab.lower.straight_line import Leaf, Program, Spelling
from actlab.lower.straight_line import program as straight_line

_SPHERICAL_BESSEL = '''
def spherical_bessel(n, x):
    """The spherical Bessel function j_n."""
    if x == 0:
        return mp.mpf(n == 0)
    size = abs(x)
    parity = -1 if x < 0 and n % 2 else 1
    return parity * mp.sqrt(mp.pi / (2 * size)) * mp.besselj(n + mp.mpf(1) / 2, size)
'''

_SIGMOID = '''
def sigmoid(x):
    """1/(1 + exp(-x)), its tail kept."""
    return 1 / (1 + mp.exp(-x)) if x >= 0 else mp.exp(x) / (1 + mp.exp(x))
'''

_LOG_SIGMOID = '''
def log_sigmoid(x):
    """log(1/(1 + exp(-x))), its tail kept."""
    return -mp.log1p(mp.exp(-x)) if x >= 0 else x - mp.log1p(mp.exp(x))
'''


def _exact(value: Fraction) -> str:
    return (
        f"mp.mpf({value.numerator})" if value.denominator == 1 else f"mp.mpf({value.numerator}) / {value.denominator}"
    )


SPELLING = Spelling(
    target="mpmath",
    imports="from functools import cache\n\nfrom mpmath import mp",
    number=_exact,
    pi="mp.pi",
    # a part is worked out when it is first used, so that a branch not taken cannot fail
    named="{0} = cache(lambda: {1})",
    use="{0}()",
    atoms={
        "exp": "mp.exp({0})",
        "expm1": "mp.expm1({0})",
        "log": "mp.log({0})",
        "log1p": "mp.log1p({0})",
        "sigmoid": "sigmoid({0})",
        "log_sigmoid": "log_sigmoid({0})",
        "softplus": "-log_sigmoid(-{whole})",
        "tanh": "mp.tanh({0})",
        "erf": "mp.erf({0})",
        "erfc": "mp.erfc({0})",
        "normal_cdf": "mp.erfc(-{whole} / mp.sqrt(2)) / 2",
        "normal_pdf": "mp.npdf({0})",
        "sin": "mp.sin({0})",
        "cos": "mp.cos({0})",
        "spherical_bessel": "spherical_bessel({0}, {1})",
        "atan": "mp.atan({0})",
        "sqrt": "mp.sqrt({0})",
        "abs": "abs({0})",
        "sign": "mp.sign({0})",
        "min": "min({0}, {1})",
        "max": "max({0}, {1})",
    },
    where="({1} if {0} else {2})",
    filled="",
    reductions={},
    preambles={"spherical_bessel": _SPHERICAL_BESSEL, "log_sigmoid": _LOG_SIGMOID, "sigmoid": _SIGMOID},
)


def program(outputs: Sequence[Expr], args: Sequence[Leaf], *, entry: str = "f", summary: str = "") -> Program:
    """Return the formulas as one function of mpmath numbers."""
    return straight_line(outputs, args, spelling=SPELLING, entry=entry, summary=summary)
