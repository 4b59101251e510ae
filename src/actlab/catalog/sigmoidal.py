"""S-shaped activations, and piecewise linear approximations of them."""

from __future__ import annotations

from actlab.formula.activation import activation
from actlab.formula.atoms import abs, atan, erf, log_sigmoid, normal_cdf, sigmoid, sign, sqrt, tanh, where
from actlab.formula.expr import number
from actlab.formula.param import Param


@activation(source="PyTorch", aliases=("logistic", "expit"), reference="torch.sigmoid")
def sigmoid_(x):
    """The logistic function, from 0 to 1."""
    return sigmoid(x)


@activation(
    source="Courbariaux, Bengio, David 2015, arXiv:1511.00363; slopes as in PyTorch",
    reference="torch.nn.functional.hardsigmoid",
    note="Keras 2 and Theano had x/5 + 1/2 between -2.5 and 2.5; PyTorch, JAX and Keras 3 have x/6 + 1/2.",
)
def hard_sigmoid(x):
    """A straight line from 0 at -3 to 1 at 3."""
    return where(x <= -3, 0, where(x >= 3, 1, (x + 3) / 6))


@activation(source="JAX, jax.nn.sparse_sigmoid", known={-2: 0, -0.5: 0.25, 0.25: 0.625, 3: 1})
def sparse_sigmoid(x):
    """A straight line from 0 at -1 to 1 at 1: the derivative of sparse_plus."""
    return where(x <= -1, 0, where(x >= 1, 1, (x + 1) / 2))


@activation(source="PyTorch", reference="torch.nn.functional.logsigmoid")
def log_sigmoid_(x):
    """The logarithm of the sigmoid, exact in its tail."""
    return log_sigmoid(x)


@activation(
    source="PyTorch",
    reference="torch.tanh",
    note="Its derivative is 1 - tanh(x)**2, here in a form that does not cancel.",
)
def tanh_(x):
    """The hyperbolic tangent, from -1 to 1."""
    return tanh(x)


@activation(source="Collobert 2004; PyTorch", reference="torch.nn.functional.hardtanh")
def hard_tanh(x, min_val=Param(-1.0), max_val=Param(1.0)):
    """The input, clipped to two bounds."""
    return where(x <= min_val, min_val, where(x >= max_val, max_val, x))


@activation(
    source="LeCun, Bottou, Orr, Mueller 1998, Efficient BackProp, section 4.4",
    aliases=("lecun_tanh",),
    known={-1.5: -1.306819412204497, 0.5: 0.5516837063305313, 2: 1.4929388053842507},
)
def scaled_tanh(x):
    """A hyperbolic tangent stretched so that it passes close to (1, 1) and (-1, -1)."""
    return number("1.7159") * tanh(2 * x / 3)


@activation(
    source="Xu, Huang, Li 2016, arXiv:1602.05980",
    aliases=("penalized_tanh",),
    known={-1.5: -0.2262870634112166, 0.5: 0.46211715726000974, 2: 0.9640275800758169},
)
def penalised_tanh(x, slope=Param(0.25, least=0)):
    """A hyperbolic tangent whose negative side is flattened."""
    return where(x <= 0, slope * tanh(x), tanh(x))


@activation(source="NumPy, PyTorch", aliases=("atan",), reference="torch.atan")
def arctan(x):
    """The arc tangent, from -pi/2 to pi/2."""
    return atan(x)


@activation(
    source="Turian, Bergstra, Bengio 2009",
    reference="torch.nn.functional.softsign",
)
def softsign(x):
    """x/(1 + |x|): like tanh with slow tails."""
    return where(x < 0, x / (1 - x), x / (1 + x))


@activation(
    source="Carlile, Delamarter, Kinney, Marti, Whitney 2017, arXiv:1710.09967, eq. 4",
    aliases=("inverse_square_root_unit",),
    known={-1.5: -0.8320502943378437, 0.5: 0.4472135954999579, 2: 0.8944271909999159},
)
def isru(x, alpha=Param(1.0, above=0)):
    """x/sqrt(1 + alpha*x**2): from -1/sqrt(alpha) to 1/sqrt(alpha)."""
    # beyond 1 divided through by |x|, so that x**2 cannot overflow
    return where(abs(x) <= 1, x / sqrt(1 + alpha * (x * x)), sign(x) / sqrt(alpha + (1 / x) ** 2))


@activation(source="PyTorch", reference="torch.erf")
def erf_(x):
    """The error function, from -1 to 1."""
    return erf(x)


@activation(
    source="Ma et al. 2022, Mega, arXiv:2209.10655, eq. 13; Transformers",
    known={-1: 7.173726125432858e-10, 0.5: 0.23142114841057393, 1: 0.8504296492845703},
)
def laplace(x, mu=Param(0.707107), sigma=Param(0.282095, above=0)):
    """The distribution function of a normal variable: a bounded approximation of relu2 for attention."""
    return normal_cdf((x - mu) / sigma)
