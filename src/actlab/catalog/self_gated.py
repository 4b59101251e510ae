"""Activations of the form x*gate(x): the input decides how much of itself passes."""

from __future__ import annotations

from actlab.formula.activation import activation
from actlab.formula.atoms import erf, exp, log1p, log_sigmoid, normal_cdf, pi, sigmoid, softplus, sqrt, tanh, where
from actlab.formula.param import Param


@activation(
    source="Hendrycks, Gimpel 2016, arXiv:1606.08415",
    aliases=("gelu_python",),
    reference="torch.nn.functional.gelu",
    note="The exact form, PyTorch's default. In JAX the name means gelu_tanh: write jax:gelu.",
)
def gelu(x):
    """The input times its own standard normal distribution function."""
    return x * normal_cdf(x)


@activation(
    source="Hendrycks, Gimpel 2016, arXiv:1606.08415",
    aliases=("gelu_new", "gelu_fast", "gelu_accurate", "gelu_pytorch_tanh", "gelu_python_tanh"),
    reference="torch.nn.functional.gelu(approximate='tanh')",
)
def gelu_tanh(x):
    """gelu with the normal distribution approximated by a tanh; at most 5e-4 off."""
    # (1 + tanh(u))/2 is sigmoid(2u), which keeps its tail
    return x * sigmoid(2 * sqrt(2 / pi) * (x + 0.044715 * x**3))


@activation(
    source="Hendrycks, Gimpel 2016, arXiv:1606.08415",
    known={-1.5: -0.10833780155292343, 0.5: 0.35038843660638014, 2: 1.9356586231442081},
)
def quick_gelu(x):
    """gelu with the normal distribution approximated by a sigmoid; at most 0.021 off."""
    return x * sigmoid(1.702 * x)


@activation(
    source="Wu, Judd, Zhang, Isaev, Micikevicius 2020, arXiv:2004.09602; Transformers",
    aliases=("gelu_10",),
    known={-1.5: -0.1002108019032871, 2: 1.9544997361036416, 11: 10},
)
def clipped_gelu(x, min_val=Param(-10.0), max_val=Param(10.0)):
    """gelu, clipped to two bounds for quantization."""
    inner = gelu(x)
    # at the bounds the derivative is the inner one, as in PyTorch's clamp
    return where(inner < min_val, min_val, where(inner > max_val, max_val, inner))


@activation(
    source="Elfwing, Uchibe, Doya 2017, arXiv:1702.03118; Hendrycks, Gimpel 2016, arXiv:1606.08415",
    reference="torch.nn.functional.silu",
    note="swish with beta fixed at 1. Keras, JAX, timm and Transformers call this one swish too.",
)
def silu(x):
    """The input times its own sigmoid."""
    return x * sigmoid(x)


@activation(
    source="Ramachandran, Zoph, Le 2017, arXiv:1710.05941, eq. 1",
    reference="torch.nn.functional.silu",
    note="beta is learned, as in the paper; silu has none.",
)
def swish(x, beta=Param(1.0, trainable=True)):
    """The input times the sigmoid of beta*x."""
    return x * sigmoid(beta * x)


@activation(
    source="Howard et al. 2019, MobileNetV3, arXiv:1905.02244",
    aliases=("hard_silu",),
    reference="torch.nn.functional.hardswish",
)
def hard_swish(x):
    """silu with a straight line instead of the sigmoid."""
    return where(x <= -3, 0, where(x >= 3, x, x * (x + 3) / 6))


@activation(source="Misra 2019, arXiv:1908.08681", reference="torch.nn.functional.mish")
def mish(x):
    """The input times the tanh of its softplus."""
    return x * tanh(softplus(x))


@activation(source="timm, after Misra 2019, arXiv:1908.08681", known={-3: 0, -1: -0.5, 0.5: 0.5})
def hard_mish(x):
    """mish with a straight line as the gate."""
    return where(x <= -2, 0, where(x >= 0, x, x * (x + 2) / 2))


@activation(
    source="Fernandez, Mali 2024, arXiv:2412.20269; Liu, Di 2020, arXiv:2003.09855",
    aliases=("tanh_exp",),
    known={-1.5: -0.32924917377017077, 0.5: 0.4643409705752151, 2: 1.9999984724084583},
)
def telu(x):
    """The input times the tanh of its exponential."""
    # from 6 on the gate is 1 to 350 digits, while exp(x) would overflow in the derivative
    return where(x >= 6, x, x * tanh(exp(x)))


@activation(
    source="Zhu, Zeng, Liu, Dai, Peng 2021, Neurocomputing 458, 490-499",
    known={-1.5: -0.25135178612784453, 0.5: 0.2419715518834635, 2: 1.2633913292730818},
)
def logish(x):
    """The input times the logarithm of 1 + its sigmoid."""
    return x * log1p(sigmoid(x))


@activation(
    source="Wang, Ren, Wang 2022, Electronics 11, 540",
    known={-1.5: -0.2490253444568243, 0.5: 0.2246979736863778, 2: 1.118437415046536},
)
def smish(x):
    """The input times the tanh of the logarithm of 1 + its sigmoid."""
    return x * tanh(log1p(sigmoid(x)))


@activation(
    source="Naveen 2022, Phish, TechRxiv 17283824",
    known={-1.5: 0.14981504714317975, 0.5: 0.16629217954075387, 2: 1.921335799390593},
)
def phish(x):
    """The input times the tanh of its gelu."""
    return x * tanh(gelu(x))


@activation(
    source="Nag, Bhattacharyya 2021, arXiv:2108.09598",
    known={-1.5: -0.3363515085255326, 0.5: 0.41582931148205904, 2: 1.9947393332677912},
)
def serf(x):
    """The input times the error function of its softplus."""
    return x * erf(softplus(x))


@activation(
    source="Roy, Manna, Dubey, Chaudhuri 2019, arXiv:1901.05894",
    known={-1.5: 1.3577223804672998, 0.5: 0.23105857863000487, 2: 1.9280551601516338},
)
def lisht(x):
    """The input times its own tanh: even and nonnegative."""
    return x * tanh(x)


@activation(
    source="Alcaide 2018, arXiv:1801.07145",
    known={-1.5: -0.4104574285643018, 0.5: 0.4668444984013909, 2: 2.6423912339336475},
)
def e_swish(x, beta=Param(1.5, least=1, most=2)):
    """silu times a constant between 1 and 2."""
    return beta * (x * sigmoid(x))


@activation(
    source="Patwardhan, Ingalhalikar, Walambe 2018, arXiv:1805.08878",
    known={-1.5: -0.015492241647296325, 0.5: 0.3125347200437529, 2: 1.9462847302013928},
)
def aria2(x, alpha=Param(1.5, above=0), beta=Param(2.0, above=0)):
    """The input times a power of the sigmoid of beta*x: Richards' curve as the gate."""
    # the power by its logarithm, whose derivative does not divide by a sigmoid that is 0
    return x * exp(alpha * log_sigmoid(beta * x))
