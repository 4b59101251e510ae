"""The atoms of exponential kind for mpmath numbers, without the bits that no dtype could hold.

mpmath gives e^(−2^2000) to the last digit and takes a tenth of a second for it. Here what lies so far out is 0, or the
value that is neared: a product with it is then 0 too, a quotient by it undefined, and neither is ever a wrong number.
"""

from __future__ import annotations

from typing import Any

from mpmath import mp

from actlab.theory.bounded_mpmath import TooLarge

Real = Any  # mpmath carries no types

# e to the power of −2^40 is 10^(−4.8·10¹¹), and so is the tail of a normal distribution at 2^20.
_FAR = 2**40
_FAR_ROOT = 2**20


def exp(x: Real) -> Real:
    if x > _FAR:
        raise TooLarge
    return mp.exp(x) if x > -_FAR else mp.mpf(0)


def expm1(x: Real) -> Real:
    if x > _FAR:
        raise TooLarge
    return mp.expm1(x) if x > -_FAR else mp.mpf(-1)


def sigmoid(x: Real) -> Real:
    decay = exp(-abs(x))
    return (1 if x >= 0 else decay) / (1 + decay)


def log_sigmoid(x: Real) -> Real:
    return min(x, mp.mpf(0)) - mp.log1p(exp(-abs(x)))


def tanh(x: Real) -> Real:
    return mp.tanh(x) if abs(x) < _FAR else mp.sign(x)


def erf(x: Real) -> Real:
    return mp.erf(x) if abs(x) < _FAR_ROOT else mp.sign(x)


def erfc(x: Real) -> Real:
    return mp.erfc(x) if abs(x) < _FAR_ROOT else 1 - mp.sign(x)


def normal_cdf(x: Real) -> Real:
    return erfc(-x / mp.sqrt(2)) / 2


def normal_pdf(x: Real) -> Real:
    return mp.npdf(x) if abs(x) < _FAR_ROOT else mp.mpf(0)
