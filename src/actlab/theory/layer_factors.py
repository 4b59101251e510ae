"""The factor χ by which each layer of a wide network changes the mean square of the gradient, on three kinds of way."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.theory.gains import Moments, moments
from actlab.theory.mean_field import MeanField


def plain_factors(field: MeanField, layers: int) -> Iterator[float]:
    """Yield χ₁ of each layer of a plain network whose inputs have mean square 1.

    Raises:
        NoMoment: E f² or E f'² does not exist.

    Example:
        >>> from actlab.theory.mean_field import mean_field
        >>> [round(factor, 6) for factor in plain_factors(mean_field("relu", sigma_w=1.0), 2)]
        [0.5, 0.5]
    """
    q = field.sigma_b**2 + field.sigma_w**2
    for _ in range(layers):
        yield field.chi(q)
        q = field.variance(q)


def normalized_factors(field: MeanField, layers: int) -> Iterator[float]:
    """Yield the factor of each layer with batch normalization before the activation: E f'²/Var f at a variance of 1.

    Raises:
        NoMoment: E f² or E f'² does not exist.

    Source:
        Yang et al. 2019, arXiv:1902.08129.
    """
    chi = MeanField(field.activation, 1.0, 0.0).chi(1.0)
    for _ in range(layers):
        yield chi / _of(field, 1.0).variance


def residual_factors(field: MeanField, layers: int) -> Iterator[float]:
    """Yield 1 + χ₁ of each layer of a network in which every layer adds its output to what it reads.

    Raises:
        NoMoment: E f² or E f'² does not exist.

    Source:
        Yang, Schoenholz 2017, arXiv:1712.08969.
    """
    mean, variance = 0.0, 1.0  # of what a layer reads
    for _ in range(layers):
        q = field.sigma_b**2 + field.sigma_w**2 * (mean**2 + variance)
        yield 1 + field.chi(q)
        behind = _of(field, q)
        mean, variance = mean + behind.mean, variance + behind.variance


def _of(field: MeanField, q: float) -> Moments:
    return moments(field.activation, q)
