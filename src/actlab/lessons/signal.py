"""How a gradient changes from layer to layer of a wide network before training: mean-field theory.

In a wide network pre-activations are normal with mean 0. If the weights of a layer of n inputs have variance σw²/n and
its biases σb², then the variance q of the next pre-activations is σw² E f(z)² + σb² with z ~ N(0, q). On its way back
through the layer the mean square of a gradient changes by χ = σw² E f'(z)².

Source:
    Poole et al. 2016, arXiv:1606.05340; Schoenholz et al. 2017, arXiv:1611.01232; with batch normalization Yang et al.
    2019, arXiv:1902.08129; with residuals Yang, Schoenholz 2017, arXiv:1712.08969.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from actlab.errors import BadInput, NoMoment
from actlab.theory.gains import gain
from actlab.theory.layer_factors import normalized_factors, plain_factors, residual_factors
from actlab.theory.mean_field import mean_field

SETTINGS = ("default", "gain", "batch", "residual")
"""PyTorch's weights for linear layers, weights drawn by the gain, batch normalization, or residual connections."""

DEFAULT_WEIGHTS = 1 / 3
"""σw² of PyTorch's linear layers: their weights are uniform from -1/√n to 1/√n."""

WIDTH = 32
"""The width of the layers of the study of depth; it matters to PyTorch's biases alone, whose variance is 1/(3 n)."""


def shares(
    formula: str, layers: int, *, setting: str = "default", weights: float = DEFAULT_WEIGHTS
) -> tuple[float, ...]:
    """Return the size of the gradient behind every activation over that behind the last one, before training.

    Args:
        formula: the activation.
        layers: the number of hidden layers; the inputs have mean square 1.
        setting: one of `SETTINGS`.
        weights: σw², the variance of a weight times the number of inputs; weights drawn by the gain have their own.

    Returns:
        One root mean square for each layer, the first layer first; the last one is 1.

    Example:
        >>> [round(share, 3) for share in shares("relu", 3)]
        [0.167, 0.408, 1.0]
    """
    factors = [math.sqrt(factor) for factor in _factors(formula, layers, setting, weights)]
    result = [1.0]
    for factor in reversed(factors[1:]):
        result.append(result[-1] * factor)
    return tuple(reversed(result))


def _factors(formula: str, layers: int, setting: str, weights: float) -> Iterator[float]:
    """Yield by layer the factor by which it changes the mean square of the gradient on its way back."""
    if setting not in SETTINGS:
        raise BadInput(f"a setting is one of {', '.join(SETTINGS)}; got '{setting}'.")
    biases = DEFAULT_WEIGHTS / WIDTH
    if setting == "gain":
        weights, biases = gain(formula) ** 2, 0.0
    follow = {"batch": normalized_factors, "residual": residual_factors}.get(setting, plain_factors)
    field = mean_field(formula, sigma_w=math.sqrt(weights), sigma_b=math.sqrt(biases))
    try:
        yield from follow(field, layers)
    except NoMoment as error:
        raise BadInput(f"{formula}: a gradient cannot be followed through it: {error}") from error
