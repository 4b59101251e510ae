"""Activations whose negative side is an exponential or resembles one."""

from __future__ import annotations

from actlab.formula.activation import activation
from actlab.formula.atoms import exp, expm1, log1p, sigmoid, sqrt, where
from actlab.formula.expr import number
from actlab.formula.param import Param


@activation(
    source="Clevert, Unterthiner, Hochreiter 2015, arXiv:1511.07289",
    reference="torch.nn.functional.elu",
    note="Its negative side is exponential, alpha*(exp(x) - 1), not logarithmic.",
)
def elu(x, alpha=Param(1.0, above=0)):
    """The input where positive, else an exponential that tends to -alpha."""
    return where(x <= 0, alpha * expm1(x), x)


@activation(source="Barron 2017, arXiv:1704.07483", reference="torch.nn.functional.celu")
def celu(x, alpha=Param(1.0, above=0)):
    """elu with derivative 1 at 0 for every alpha."""
    return where(x <= 0, alpha * expm1(x / alpha), x)


@activation(
    source="Klambauer, Unterthiner, Mayr, Hochreiter 2017, arXiv:1706.02515",
    reference="torch.nn.functional.selu",
)
def selu(x):
    """elu, scaled so that mean 0 and variance 1 are a fixed point of deep networks."""
    alpha = number("1.6732632423543772848170429916717")
    scale = number("1.0507009873554804934193349852946")
    return scale * where(x <= 0, alpha * expm1(x), x)


@activation(
    source="Carlile, Delamarter, Kinney, Marti, Whitney 2017, arXiv:1710.09967, eq. 1",
    aliases=("inverse_square_root_linear_unit",),
    known={-1.5: -0.8320502943378437, 0.5: 0.5, 2: 2},
)
def isrlu(x, alpha=Param(1.0, above=0)):
    """The input where positive, else x/sqrt(1 + alpha*x**2)."""
    # below -1 divided through by |x|, so that x**2 cannot overflow
    negative = where(x <= -1, -1 / sqrt(alpha + (1 / x) ** 2), x / sqrt(1 + alpha * (x * x)))
    return where(x < 0, negative, x)


@activation(
    source="Basirat, Roth 2018, arXiv:1808.00783",
    known={-1.5: -0.14172088746428285, 0.5: 0.3112296656009273, 2: 1.7615941559557649},
)
def elish(x):
    """silu where positive, else elu times the sigmoid."""
    return where(x < 0, expm1(x) * sigmoid(x), x * sigmoid(x))


@activation(source="Basirat, Roth 2018, arXiv:1808.00783", known={-2: 0, -0.5: -0.09836733507184164, 0.5: 0.375, 2: 2})
def hard_elish(x):
    """elish with a straight line instead of the sigmoid."""
    half = (x + 1) / 2
    return where(x <= -1, 0, where(x < 0, expm1(x) * half, where(x >= 1, x, x * half)))


@activation(source="Keras", aliases=("exp",), reference="torch.exp")
def exponential(x):
    """e to the power of the input."""
    return exp(x)


@activation(
    source="Godfrey, Gashler 2016, arXiv:1602.01321, eq. 3",
    known={-1.5: -0.5552668945179706, 0.5: 1.068050833375483, 2: 3.9365636569180906},
    note="Negative alpha makes it a logarithm, defined only where 1 - alpha*(x + alpha) is positive.",
)
def soft_exponential(x, alpha=Param(0.5, trainable=True)):
    """A family from the logarithm through the identity (alpha = 0) to the exponential."""
    # at alpha = 0 the two first terms of the series, so that alpha learns there too
    return where(
        alpha < 0,
        -(log1p(-(alpha * (x + alpha))) / alpha),
        where(alpha > 0, expm1(alpha * x) / alpha + alpha, x + alpha * (1 + x * x / 2)),
    )


@activation(
    source="Huang, Schlag 2024, arXiv:2411.13010, eq. 7; Transformers",
    known={-1.5: -0.17149587188125615, 0.5: 0.45, 2: 4.2},
    note="alpha_p and alpha_n are the coefficients themselves; Transformers stores them through a softplus.",
)
def xielu(
    x,
    alpha_p=Param(0.8, trainable=True, above=0),
    alpha_n=Param(0.8, trainable=True, above=0),
    beta=Param(0.5),
):
    """A parabola where positive, else the integral of elu; trainable on both sides."""
    # one term in x on either side, so that -infinity does not meet infinity
    return where(x <= 0, alpha_n * expm1(x) + (beta - alpha_n) * x, (alpha_p * x) * x + beta * x)
