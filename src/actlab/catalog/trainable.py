"""Activations with a learned shape."""

from __future__ import annotations

from actlab.catalog.polynomial import polynomial
from actlab.catalog.self_gated import cauchy_gated
from actlab.formula.activation import activation
from actlab.formula.atoms import abs, erf, erfc, normal_cdf, sigmoid, sign, sqrt, tanh, where
from actlab.formula.param import Param


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
    near = polynomial(x, (a5, a4, a3, a2, a1, a0)) / (1 + abs(x * polynomial(x, (b4, b3, b2, b1))))
    # beyond 1 divided through by x**4, so that no power overflows
    r = 1 / x
    far = x * (polynomial(r, (a0, a1, a2, a3, a4, a5)) / (r**4 + abs(polynomial(r, (b1, b2, b3, b4)))))
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


_EXPANDED = "Huang 2024, Expanded Gating Ranges Improve Activation Functions, arXiv:2405.20768"
_EXPANDED_NOTE = "The gate ranges from -alpha to 1 + alpha; alpha starts at 0."


@activation(
    source=_EXPANDED,
    known={-1.5: -0.1002108019032871, 0.5: 0.34573123063700656, 2: 1.9544997361036416},
    note=_EXPANDED_NOTE,
)
def xgelu(x, alpha=Param(0.0, trainable=True)):
    """gelu whose gate learns how far it goes beyond 0 and 1."""
    return x * (normal_cdf(x) * (1 + 2 * alpha) - alpha)


@activation(
    source=_EXPANDED,
    known={-1.5: -0.2736382857095345, 0.5: 0.3112296656009273, 2: 1.7615941559557649},
    note=_EXPANDED_NOTE,
)
def xsilu(x, alpha=Param(0.0, trainable=True)):
    """silu whose gate learns how far it goes beyond 0 and 1."""
    return x * (sigmoid(x) * (1 + 2 * alpha) - alpha)


@activation(
    source=_EXPANDED,
    known={-1.5: -0.28075056271649823, 0.5: 0.32379180882521663, 2: 1.7048327646991335},
    note=_EXPANDED_NOTE,
)
def xatlu(x, alpha=Param(0.0, trainable=True)):
    """iglu, an arc tangent as the gate, which learns how far it goes beyond 0 and 1."""
    gated = cauchy_gated(x, 1)
    # not twice the gated input at once, which would overflow before x is taken off
    return gated + alpha * (gated + (gated - x))


@activation(
    source="Ma, Zhang, Liu, Sun 2020, Activate or Not, arXiv:2009.04759",
    known={-1.5: -0.6507206397739181, 0.5: 0.34724997498277616, 2: 1.7263617142904655},
    note="The defaults are those of ACON-B; p1 = 1 and p2 = 0 give swish.",
)
def acon_c(x, p1=Param(1.0, trainable=True), p2=Param(0.25, trainable=True), beta=Param(1.0, trainable=True)):
    """A smooth maximum of p1*x and p2*x, with learned slopes and sharpness."""
    return x * ((p1 - p2) * sigmoid(beta * ((p1 - p2) * x)) + p2)


@activation(
    source="Biswas, Kumar, Banerjee, Pandey 2021, arXiv:2111.04682",
    aliases=("smooth_maximum_unit",),
    known={-1.5: -0.01500011276956596, 0.5: 0.4801745301066235, 2: 1.9999999999974725},
    note="Also published with alpha = 0.25 and mu = 1e6, which is leaky_relu to six digits; alpha = 0 and "
    "mu = 1/sqrt(2) give gelu.",
)
def smu(x, alpha=Param(0.01, least=0, below=1), mu=Param(2.5, trainable=True, above=0)):
    """A smooth maximum of x and alpha*x, by the error function."""
    # (1 + erf)/2 as erfc, which keeps its tail
    return x * (alpha + (1 - alpha) * erfc(-mu * ((1 - alpha) * x)) / 2)


@activation(
    source="Stollenwerk 2025, arXiv:2503.21708",
    aliases=("dyisru",),
    known={-1.5: -0.8320502943378437, 0.5: 0.4472135954999579, 2: 0.8944271909999159},
    note="scale is the square root of the number of channels in the paper.",
)
def dynamic_isru(x, beta=Param(1.0, trainable=True, above=0), scale=Param(1.0, trainable=True)):
    """scale*x/sqrt(beta + x**2): a learned inverse square root that replaces a normalization layer."""
    # beyond 1 divided through by |x|, so that x**2 cannot overflow
    return scale * where(abs(x) <= 1, x / sqrt(beta + x * x), sign(x) / sqrt(1 + beta * (1 / x) ** 2))


@activation(
    source="Li, Xia, Zhang 2024, Cauchy activation function and XNet, arXiv:2409.19221",
    aliases=("cauchy_activation",),
    known={-1.5: -0.15384615384615385, 0.5: 1.2, 2: 0.6},
)
def cauchy(
    x, lambda1=Param(1.0, trainable=True), lambda2=Param(1.0, trainable=True), d=Param(1.0, trainable=True, above=0)
):
    """(lambda1*x + lambda2)/(x**2 + d**2): a bump and a wave that decay, both learned."""
    near = (lambda1 * x + lambda2) / (x * x + d * d)
    # beyond 1 divided through by x**2, which would overflow
    r = 1 / x
    return where(abs(x) <= 1, near, r * (lambda1 + lambda2 * r) / (1 + (d * r) ** 2))
