"""The atoms as NumPy functions of float64 or long double arrays, each right to a few roundings at every point.

SciPy has the normal distribution and the error function in float64 only; here they are written so that any of NumPy's
real dtypes will do, because a float64 result needs a wider reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import numpy as np

from actlab.measure.accuracy.ulp import Reals

_ROOT_HALF = Fraction("0.70710678118654752440084436210484903928483593768847")
_INVERSE_ROOT_TAU = Fraction("0.39894228040143267793994605993438186847585863116493")
_TWO_OVER_ROOT_PI = Fraction("1.1283791670955125738961589031215451716881012586580")
_PI = Fraction("3.1415926535897932384626433832795028841971693993751")

# The trapezoidal rule for erfc with this step is off by exp(-(π/h)²) = 4e-24 and needs 20 terms.
_STEP = Fraction(27, 64)
_TERMS = 20


def real(value: Fraction, like: Reals) -> Any:
    """Return a constant with every bit that the arrays' dtype has."""
    high = float(value)
    return like.dtype.type(high) + like.dtype.type(float(value - Fraction(high)))


def sigmoid(x: Reals) -> Reals:
    """Compute 1/(1 + e⁻ˣ)."""
    decay = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + decay), decay / (1 + decay))


def log_sigmoid(x: Reals) -> Reals:
    """Compute the logarithm of the sigmoid."""
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


def gaussian(x: Reals, *, halved: bool) -> Reals:
    """Compute exp(−x²), or exp(−x²/2), with the square in two parts, because its rounding would be multiplied by x²."""
    size = np.minimum(np.abs(x), 200)
    head = np.ldexp(np.rint(np.ldexp(size, 12)), -12)
    scale = x.dtype.type(0.5 if halved else 1)
    bell: Reals = np.exp(-scale * head * head) * np.exp(-scale * (size - head) * (size + head))
    return bell


def erf(x: Reals) -> Reals:
    """Compute the error function by a series of positive terms near 0 and as 1 − erfc elsewhere."""
    size = np.abs(x)
    near = np.minimum(size, 1)
    # erf(x) = 2/√π·exp(−x²)·Σ 2ⁿx²ⁿ⁺¹/(2n+1)!!  (DLMF 7.6.2)
    term = near
    total = near
    for n in range(1, 32):
        term = term * (2 * near * near) / (2 * n + 1)
        total = total + term
    series = real(_TWO_OVER_ROOT_PI, x) * gaussian(near, halved=False) * total
    return np.copysign(np.where(size < 1, series, 1 - _upper(np.maximum(size, 1), halved=False)), x)


def erfc(x: Reals) -> Reals:
    """Compute 1 − erf with its tail."""
    return _complement(x, halved=False)


def normal_cdf(x: Reals) -> Reals:
    """Compute the standard normal distribution function as erfc(−x/√2)/2, without rounding x/√2 where that matters."""
    return _complement(-x, halved=True) / 2


def normal_pdf(x: Reals) -> Reals:
    """Compute the standard normal density."""
    density: Reals = real(_INVERSE_ROOT_TAU, x) * gaussian(x, halved=True)
    return density


def _complement(x: Reals, *, halved: bool) -> Reals:
    """Compute erfc of x, or of x/√2."""
    scaled = x * real(_ROOT_HALF, x) if halved else x
    beyond = scaled >= 0.5
    tail = _upper(np.where(beyond, x, 1), halved=halved)
    # below 1/2 nothing is lost by 1 − erf
    return np.where(np.isnan(x), x, np.where(beyond, tail, 1 - erf(scaled)))


def _upper(x: Reals, *, halved: bool) -> Reals:
    """Compute erfc of x ≥ 0.5, or of x/√2, by the trapezoidal rule with the pole's residue subtracted.

    Source: Chiarella, Reichel 1968, Math. Comp. 22, 137–143; all terms are positive.
    """
    scaled = x * real(_ROOT_HALF, x) if halved else x
    scaled = np.minimum(scaled, 1e4)
    h, pi = real(_STEP, x), real(_PI, x)
    square = scaled * scaled
    total = 1 / square
    for n in range(1, _TERMS + 1):
        step = Fraction(n) * _STEP
        weight = np.exp(-real(step * step, x))
        total = total + 2 * weight / (real(step * step, x) + square)
    rule = h * scaled / pi * total * gaussian(x, halved=halved)
    residue = np.where(scaled < pi / h, 2 / np.expm1(2 * pi * np.minimum(scaled, 20) / h), 0)
    tail: Reals = rule - residue
    return tail


def spherical_bessel(order: int, x: Reals) -> Reals:
    """Compute the spherical Bessel function j of this order: a power series near 0, the upward recurrence elsewhere."""
    near = np.abs(x) < 2 + order
    small, large = np.where(near, x, 0), np.where(near, 1, x)
    term = small**order / x.dtype.type(math.prod(range(1, 2 * order + 2, 2)))
    series = term
    for k in range(1, 30):
        term = -term * small * small / (2 * k * (2 * k + 2 * order + 1))
        series = series + term
    below, here = np.cos(large) / large, np.sin(large) / large
    for k in range(order):
        below, here = here, (2 * k + 1) / large * here - below
    return np.where(near, series, here)


ATOMS: Mapping[str, Callable[[Reals], Reals]] = MappingProxyType(
    {
        "exp": np.exp,
        "expm1": np.expm1,
        "log": np.log,
        "log1p": np.log1p,
        "sigmoid": sigmoid,
        "log_sigmoid": log_sigmoid,
        "softplus": lambda x: -log_sigmoid(-x),
        "tanh": np.tanh,
        "erf": erf,
        "erfc": erfc,
        "normal_cdf": normal_cdf,
        "normal_pdf": normal_pdf,
        "atan": np.arctan,
        "sqrt": np.sqrt,
    }
)
