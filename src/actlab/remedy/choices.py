"""Which activations of the catalog answer a fault, by their properties; nothing here names one."""

from __future__ import annotations

from functools import cache
from math import nan

from actlab.catalog.index import get
from actlab.catalog.torch_ops import TORCH_OPS, is_pointwise
from actlab.errors import ActlabError
from actlab.formula.activation import Activation
from actlab.theory.gains import moments
from actlab.theory.properties import properties
from actlab.theory.record import Asymptote

_STEADY = 0.9
"""At least this derivative for large inputs: the gradient of an active unit passes almost unchanged."""


@cache
def _plain() -> tuple[tuple[str, float], ...]:
    """Return PyTorch's activations that pass positive inputs on and are 0 at 0, with E f'(z)², the largest first."""
    found: dict[tuple[float, float], str] = {}
    for op in TORCH_OPS:
        act = get(op.activation)
        if not (op.module and is_pointwise(op) and isinstance(act, Activation)):
            continue
        if any(each.trainable for each in act.params) or any(each.sampler for each in act.params):
            continue
        known = properties(act)
        left, right = ends_of(act.name)
        if known.value_at_zero != 0 or _smoothness(act.name) < 0:
            continue
        if not (right >= _STEADY and left <= right / 2):
            continue
        try:
            of = moments(act, 1.0)
        except ActlabError:
            continue
        if of.slope_second is not None and of.second is not None:
            found.setdefault((round(of.second, 9), round(of.slope_second, 9)), act.name)
    return tuple(sorted(((name, key[1]) for key, name in found.items()), key=lambda each: -each[1]))


def leaky() -> tuple[str, ...]:
    """Return those whose derivative is nowhere 0, so that no unit dies.

    Example:
        >>> leaky()
        ('leaky_relu',)
    """
    return tuple(name for name, _ in _plain() if ends_of(name)[0] > 0)


def smooth() -> tuple[str, ...]:
    """Return those with a continuous derivative, best at keeping the gradient first.

    Example:
        >>> smooth()[:2]
        ('elu', 'mish')
    """
    return tuple(name for name, _ in _plain() if _smoothness(name) >= 1 and not _normalizes(name))


def twice_smooth() -> tuple[str, ...]:
    """Return those with a second derivative."""
    return tuple(name for name in smooth() if _smoothness(name) >= 2)


def self_normalizing() -> tuple[str, ...]:
    """Return those that map a standard normal input to mean 0 and variance 1.

    Example:
        >>> self_normalizing()
        ('selu',)
    """
    return tuple(name for name, _ in _plain() if _normalizes(name))


def rectifier() -> str:
    """Return the simplest: piecewise linear, 0 for all negative inputs, the derivative 1 for all positive ones.

    Example:
        >>> rectifier()
        'relu'
    """
    for name, _ in _plain():
        if _smoothness(name) == 0 and ends_of(name) == (0.0, 1.0) and properties(name).range.lower == 0:
            return name
    raise AssertionError("the catalog has a rectifier")


def _normalizes(name: str) -> bool:
    of = moments(get(name), 1.0)
    return of.mean is not None and of.second is not None and abs(of.mean) < 1e-6 and abs(of.second - 1) < 1e-6


def ends_of(name: str) -> tuple[float, float]:
    """Return the derivatives far to the left and to the right; NaN if they do not settle.

    Example:
        >>> ends_of("relu")
        (0.0, 1.0)
    """
    found = properties(name).asymptotes
    left, right = (each.slope if isinstance(each, Asymptote) else nan for each in (found.left, found.right))
    return left, right


def _smoothness(name: str) -> float:
    found = properties(name).smoothness
    return float(found) if isinstance(found, int | float) else -1.0
