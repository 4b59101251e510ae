"""Piecewise linear activations, mostly with a kink at 0, and powers of them."""

from __future__ import annotations

from actlab.formula.activation import activation
from actlab.formula.atoms import log1p, where
from actlab.formula.param import Param, Uniform


@activation(source="PyTorch", aliases=("linear",), known={-1.5: -1.5, 0: 0, 2: 2})
def identity(x):
    """The input, unchanged."""
    return x


@activation(source="Nair, Hinton 2010", reference="torch.nn.functional.relu")
def relu(x):
    """The input where it is positive, else 0."""
    return where(x <= 0, 0, x)


@activation(source="Krizhevsky 2010; Howard et al. 2017, arXiv:1704.04861", reference="torch.nn.functional.relu6")
def relu6(x):
    """relu, capped at 6."""
    return where(x <= 0, 0, where(x >= 6, 6, x))


@activation(
    source="Maas, Hannun, Ng 2013",
    reference="torch.nn.functional.leaky_relu",
    note="PyTorch's slope is 0.01; Keras' function has 0.2 and its layer 0.3.",
)
def leaky_relu(x, negative_slope=Param(0.01)):
    """relu with a small slope for negative inputs."""
    return where(x <= 0, negative_slope * x, x)


@activation(source="He, Zhang, Ren, Sun 2015, arXiv:1502.01852", reference="torch.nn.functional.prelu")
def prelu(x, weight=Param(0.25, trainable=True)):
    """relu with a learned slope for negative inputs, shared or one for each channel."""
    return where(x <= 0, weight * x, x)


@activation(
    source="Xu, Wang, Chen, Li 2015, arXiv:1505.00853",
    reference="torch.nn.functional.rrelu",
    note="While training, the slope is uniform on [1/8, 1/3] for each element; in evaluation it is their mean.",
)
def rrelu(x, slope=Param(11 / 48, sampler=Uniform(1 / 8, 1 / 3))):
    """relu with a slope for negative inputs that is random while training and fixed in evaluation."""
    return where(x <= 0, slope * x, x)


@activation(
    source="Konda, Memisevic, Krueger 2014, arXiv:1402.3337; PyTorch",
    aliases=("thresholded_relu",),
    reference="torch.nn.functional.threshold",
    note="PyTorch has no defaults; these are thresholded_relu's.",
)
def threshold(x, threshold=Param(1.0), value=Param(0.0)):
    """The input where it is above a threshold, else a constant."""
    return where(x <= threshold, value, x)


@activation(
    source="Kurtz et al. 2020, Inducing and Exploiting Activation Sparsity, eq. 2",
    aliases=("forced_activation_threshold_relu",),
    known={-1: 0, 0.25: 0, 0.5: 0.5, 2: 2},
    note="The paper tunes the threshold for each layer; 0 makes it relu.",
)
def fat_relu(x, threshold=Param(0.5, least=0)):
    """relu with everything below a threshold forced to 0."""
    return where(x < threshold, 0, x)


@activation(
    source="So et al. 2021, Primer, arXiv:2109.08668",
    aliases=("squared_relu", "relu_squared"),
    known={-1.5: 0, 0.5: 0.25, 2: 4},
)
def relu2(x):
    """The square of relu."""
    return where(x <= 0, 0, x * x)


@activation(
    source="Yu et al. 2022, MetaFormer Baselines, arXiv:2210.13452, section 3.3",
    known={-1.5: -0.4472, 0.5: -0.2236, 2: 3.1304},
)
def star_relu(x, scale=Param(0.8944, trainable=True), bias=Param(-0.4472, trainable=True)):
    """The square of relu, scaled and shifted to mean 0 and variance 1 for normal input."""
    # scaled before it is squared, because the square alone overflows and underflows too early
    return where(x <= 0, 0, (scale * x) * x) + bias


@activation(
    source="Liu, Zhang, Guo, Xu 2019, arXiv:1908.03682", known={-1.5: 0, 0.5: 0.4054651081081644, 2: 1.0986122886681098}
)
def nlrelu(x, beta=Param(1.0, above=0)):
    """The logarithm of 1 + beta*relu(x)."""
    return where(x <= 0, 0, log1p(beta * x))
