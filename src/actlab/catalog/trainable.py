"""Activations with a learned shape."""

from __future__ import annotations

from collections.abc import Sequence

from actlab.formula.activation import activation
from actlab.formula.atoms import abs, erf, tanh, where
from actlab.formula.expr import Expr
from actlab.formula.param import Param


def _polynomial(x: Expr, coefficients: Sequence[Expr]) -> Expr:
    """Return the polynomial with these coefficients, highest power first, by Horner's rule."""
    result = coefficients[0]
    for coefficient in coefficients[1:]:
        result = result * x + coefficient
    return result


@activation(
    source="Molina, Schramowski, Kersting 2019, Pade Activation Units, arXiv:1907.06732, eq. 2 and table 6",
    aliases=("pade", "pau"),
    known={-2: -0.04002706145822269, 0.5: 0.5007255693716205, 3: 2.99648779346868},
    note="It starts as an approximation of leaky_relu with slope 0.01, fitted on [-3, 3].",
)
def rational(
    x,
    a0=Param(0.02979246, trainable=True),
    a1=Param(0.61837738, trainable=True),
    a2=Param(2.32335207, trainable=True),
    a3=Param(3.05202660, trainable=True),
    a4=Param(1.48548002, trainable=True),
    a5=Param(0.25103717, trainable=True),
    b1=Param(1.14201226, trainable=True),
    b2=Param(4.39322834, trainable=True),
    b3=Param(0.87154450, trainable=True),
    b4=Param(0.34720652, trainable=True),
):
    """A quotient of polynomials of degree 5 and 4 without poles, all ten coefficients learned."""
    near = _polynomial(x, (a5, a4, a3, a2, a1, a0)) / (1 + abs(x * _polynomial(x, (b4, b3, b2, b1))))
    # beyond 1 divided through by x**4, so that no power overflows
    r = 1 / x
    far = x * (_polynomial(r, (a0, a1, a2, a3, a4, a5)) / (r**4 + abs(_polynomial(r, (b1, b2, b3, b4)))))
    return where(abs(x) <= 1, near, far)


@activation(
    source="Zhuo et al. 2024, PolyCom, arXiv:2411.03884, eq. 5",
    aliases=("polynomial_relu",),
    known={-1.5: 0, 0.5: 0.2916666666666667, 2: 4.666666666666667},
)
def polyrelu(
    x,
    a0=Param(0.0, trainable=True),
    a1=Param(1 / 3, trainable=True),
    a2=Param(1 / 3, trainable=True),
    a3=Param(1 / 3, trainable=True),
):
    """A cubic polynomial of relu, its coefficients learned."""
    return where(x <= 0, a0, a0 + x * (a1 + x * (a2 + x * a3)))


@activation(
    source="Zhu, Chen, He, LeCun, Liu 2025, arXiv:2503.10622, eq. 4",
    aliases=("dyt",),
    known={-1.5: -0.6351489523872873, 0.5: 0.24491866240370913, 2: 0.7615941559557649},
)
def dynamic_tanh(
    x,
    alpha=Param(0.5, trainable=True),
    weight=Param(1.0, trainable=True),
    bias=Param(0.0, trainable=True),
):
    """A learned tanh that replaces a normalization layer."""
    return weight * tanh(alpha * x) + bias


@activation(
    source="Chen, Lu, Zhu, Sun, Liu 2025, Stronger Normalization-Free Transformers, arXiv:2512.10938",
    aliases=("derf",),
    known={-1.5: -0.7111556336535151, 0.5: 0.27632639016823696, 2: 0.8427007929497149},
)
def dynamic_erf(
    x,
    alpha=Param(0.5, trainable=True),
    shift=Param(0.0, trainable=True),
    weight=Param(1.0, trainable=True),
    bias=Param(0.0, trainable=True),
):
    """A learned error function that replaces a normalization layer."""
    return weight * erf(alpha * x + shift) + bias
