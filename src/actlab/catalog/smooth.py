"""Smooth approximations of relu and of the identity."""

from __future__ import annotations

from actlab.catalog.hypotenuse import hypotenuse
from actlab.formula.activation import activation
from actlab.formula.atoms import exp, log1p, softplus, sqrt, where
from actlab.formula.param import Param


@activation(
    source="Dugas et al. 2001; PyTorch",
    reference="torch.nn.functional.softplus(threshold=700)",
    note="PyTorch returns x beyond beta*x = 20, which is 2e-9 off there; this does not.",
)
def softplus_(x, beta=Param(1.0, above=0)):
    """The integral of the sigmoid: a smooth relu."""
    return softplus(beta * x) / beta


@activation(source="Barron 2021, arXiv:2112.11687", known={-1.5: 0.5, 0.5: 1.2807764064044151, 2: 2.414213562373095})
def squareplus(x, b=Param(4.0, above=0)):
    """(x + sqrt(x**2 + b))/2: a smooth relu without exponentials."""
    root = hypotenuse(x, b)
    # the textbook form cancels where x is negative; halves first, so that no sum overflows
    return where(x < 0, (b / 4) / (root / 2 - x / 2), x / 2 + root / 2)


@activation(source="JAX, jax.nn.sparse_plus", known={-2: 0, -0.5: 0.0625, 0.25: 0.390625, 3: 3})
def sparse_plus(x):
    """relu with its corner rounded by a parabola between -1 and 1."""
    return where(x <= -1, 0, where(x >= 1, x, (x + 1) ** 2 / 4))


@activation(source="Transformers", known={-1.5: 0.4487909067514096, 0.5: 0.9869533850086876, 2: 1.4583991261115636})
def sqrt_softplus(x):
    """The square root of softplus."""
    # below -40 softplus is exp(x) to every digit of a double; its root lasts twice as far
    return where(x < -40, exp(x / 2), sqrt(softplus(x)))


@activation(
    source="Wikipedia, Activation function",
    known={-1.5: -1.0986121811340026, 0.5: 0.5590169943749475, 2: 2.618033988749895},
)
def bent_identity(x):
    """(sqrt(x**2 + 1) - 1)/2 + x: its derivative goes from 1/2 to 3/2."""
    # sqrt(x**2 + 1) - 1 would cancel near 0
    return x + x * (x / (1 + hypotenuse(x, 1))) / 2


@activation(
    source="Broomhead, Lowe 1988", known={-1.5: 0.10539922456186433, 0.5: 0.7788007830714049, 2: 0.01831563888873418}
)
def gaussian(x):
    """exp(-x**2): a bump at 0."""
    return exp(-(x * x))


@activation(
    source="Hafner, Pasukonis, Ba, Lillicrap 2023, DreamerV3, arXiv:2301.04104, eq. 9",
    known={-1.5: -0.9162907318741551, 0.5: 0.4054651081081644, 2: 1.0986122886681098},
)
def symlog(x):
    """sign(x)*log(1 + |x|): the identity near 0, a logarithm far out."""
    return where(x < 0, -log1p(-x), log1p(x))
