"""Keras 3: `keras.ops`, which runs on PyTorch, JAX and TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence

from actlab.formula.expr import Expr
from actlab.lower.straight_line import Leaf, Program, Spelling
from actlab.lower.straight_line import program as straight_line

_SPHERICAL_BESSEL = '''
def spherical_bessel(n, x):
    """The spherical Bessel function j_n: a power series near 0, the upward recurrence elsewhere."""
    near = ops.abs(x) < 2 + n
    small, large = ops.where(near, x, 0), ops.where(near, 1, x)
    term = ops.ones_like(small)
    for k in range(1, n + 1):
        term = term * small / (2 * k + 1)
    series = term
    for k in range(1, 24):
        term = -term * small * small / (2 * k * (2 * k + 2 * n + 1))
        series = series + term
    below, here = ops.cos(large) / large, ops.sin(large) / large
    for k in range(n):
        below, here = here, (2 * k + 1) / large * here - below
    return ops.where(near, series, here)
'''

SPELLING = Spelling(
    target="keras",
    imports="from keras import ops",
    number=None,
    atoms={
        "exp": "ops.exp({0})",
        "expm1": "ops.expm1({0})",
        "log": "ops.log({0})",
        "log1p": "ops.log1p({0})",
        "sigmoid": "ops.sigmoid({0})",
        "log_sigmoid": "ops.log_sigmoid({0})",
        "softplus": "ops.softplus({0})",
        "tanh": "ops.tanh({0})",
        "erf": "ops.erf({0})",
        "erfc": "ops.erfc({0})",
        # erfc keeps the tail that 1 + erf loses
        "normal_cdf": "0.5 * ops.erfc(-0.7071067811865476 * {whole})",
        "normal_pdf": "0.3989422804014327 * ops.exp(-0.5 * {whole} ** 2)",
        "sin": "ops.sin({0})",
        "cos": "ops.cos({0})",
        "spherical_bessel": "spherical_bessel({0}, {1})",
        "atan": "ops.arctan({0})",
        "sqrt": "ops.sqrt({0})",
        "abs": "ops.abs({0})",
        "sign": "ops.sign({0})",
        "min": "ops.minimum({0}, {1})",
        "max": "ops.maximum({0}, {1})",
    },
    where="ops.where({0}, {1}, {2})",
    filled="ops.full_like({0}, {1})",
    reductions={},
    preambles={"spherical_bessel": _SPHERICAL_BESSEL},
)


def program(outputs: Sequence[Expr], args: Sequence[Leaf], *, entry: str = "f", summary: str = "") -> Program:
    """Return the formulas as one function of Keras tensors."""
    return straight_line(outputs, args, spelling=SPELLING, entry=entry, summary=summary)
