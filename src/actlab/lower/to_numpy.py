"""NumPy and SciPy."""

from __future__ import annotations

from collections.abc import Sequence

from actlab.formula.expr import Expr
from actlab.lower.straight_line import Leaf, Program, Spelling
from actlab.lower.straight_line import program as straight_line

_SPHERICAL_BESSEL = '''
def spherical_bessel(n, x):
    """The spherical Bessel function j_n: a power series near 0, the upward recurrence elsewhere."""
    near = np.abs(x) < 2 + n
    small, large = np.where(near, x, 0), np.where(near, 1, x)
    term = np.ones_like(small)
    for k in range(1, n + 1):
        term = term * small / (2 * k + 1)
    series = term
    for k in range(1, 24):
        term = -term * small * small / (2 * k * (2 * k + 2 * n + 1))
        series = series + term
    below, here = np.cos(large) / large, np.sin(large) / large
    for k in range(n):
        below, here = here, (2 * k + 1) / large * here - below
    return np.where(near, series, here)
'''

_SPARSEMAX = '''
def sparsemax_threshold(x, axis):
    """The t for which max(x - t, 0) sums to 1 along the axis (Martins, Astudillo 2016, arXiv:1602.02068)."""
    z = -np.sort(-x, axis=axis)
    shape = [1] * x.ndim
    shape[axis] = -1
    count = np.arange(1, x.shape[axis] + 1, dtype=x.dtype).reshape(shape)
    sums = np.cumsum(z, axis=axis) - 1
    size = np.sum(count * z > sums, axis=axis, keepdims=True)
    return np.take_along_axis(sums, size - 1, axis) / size.astype(x.dtype)
'''

_ENTMAX15 = '''
def entmax15_threshold(x, axis):
    """The t for which max(x - t, 0)**2 sums to 1 along the axis (Peters et al. 2019, arXiv:1905.05702)."""
    z = -np.sort(-x, axis=axis)
    shape = [1] * x.ndim
    shape[axis] = -1
    count = np.arange(1, x.shape[axis] + 1, dtype=x.dtype).reshape(shape)
    mean = np.cumsum(z, axis=axis) / count
    spread = np.cumsum(z * z, axis=axis) / count - mean * mean
    t = mean - np.sqrt(np.maximum(1 / count - spread, 0))
    size = np.sum(t <= z, axis=axis, keepdims=True)
    return np.take_along_axis(t, size - 1, axis)
'''

SPELLING = Spelling(
    target="numpy",
    imports="import numpy as np\nfrom scipy import special",
    number=None,
    atoms={
        "exp": "np.exp({0})",
        "expm1": "np.expm1({0})",
        "log": "np.log({0})",
        "log1p": "np.log1p({0})",
        "sigmoid": "special.expit({0})",
        "log_sigmoid": "special.log_expit({0})",
        "softplus": "-special.log_expit(-{whole})",
        "tanh": "np.tanh({0})",
        "erf": "special.erf({0})",
        "erfc": "special.erfc({0})",
        "normal_cdf": "special.ndtr({0})",
        "normal_pdf": "0.3989422804014327 * np.exp(-0.5 * {whole} ** 2)",
        "sin": "np.sin({0})",
        "cos": "np.cos({0})",
        "spherical_bessel": "spherical_bessel({0}, {1})",
        "atan": "np.arctan({0})",
        "sqrt": "np.sqrt({0})",
        "abs": "np.abs({0})",
        "sign": "np.sign({0})",
        "min": "np.minimum({0}, {1})",
        "max": "np.maximum({0}, {1})",
    },
    where="np.where({0}, {1}, {2})",
    filled="np.full_like({0}, {1})",
    reductions={
        "total": "np.sum({0}, axis=axis, keepdims=True)",
        "greatest": "np.max({0}, axis=axis, keepdims=True)",
        "sparsemax_threshold": "sparsemax_threshold({0}, axis)",
        "entmax15_threshold": "entmax15_threshold({0}, axis)",
    },
    preambles={
        "spherical_bessel": _SPHERICAL_BESSEL,
        "sparsemax_threshold": _SPARSEMAX,
        "entmax15_threshold": _ENTMAX15,
    },
)


def program(outputs: Sequence[Expr], args: Sequence[Leaf], *, entry: str = "f", summary: str = "") -> Program:
    """Return the formulas as one NumPy function of floating-point arrays."""
    return straight_line(outputs, args, spelling=SPELLING, entry=entry, summary=summary)
