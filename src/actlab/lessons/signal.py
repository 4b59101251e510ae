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
from functools import cache

from actlab.errors import BadInput
from actlab.theory.gains import gain, moments

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
    mean, variance = 0.0, 1.0  # of what a layer receives
    for _ in range(layers):
        q = 1.0 if setting == "batch" else weights * (mean**2 + variance) + biases
        behind, spread, slope = _moments(formula, q)
        if setting == "batch":
            yield slope / spread
        elif setting == "residual":
            yield 1 + weights * slope
            mean, variance = mean + behind, variance + spread
        else:
            yield weights * slope
            mean, variance = behind, spread


@cache
def _moments(formula: str, q: float) -> tuple[float, float, float]:
    """Return E f, Var f and E f'²."""
    found = moments(formula, q)
    if found.slope_second is None:
        raise BadInput(f"{formula}: a gradient cannot be followed through it: {found.reason}")
    return found.mean, found.variance, found.slope_second
