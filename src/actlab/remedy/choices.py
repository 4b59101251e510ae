"""Which activations of the catalog answer a fault, by their properties; nothing here names one."""

from __future__ import annotations

from functools import cache

from actlab.catalog.index import get
from actlab.catalog.torch_ops import TORCH_OPS, is_pointwise
from actlab.errors import ActlabError
from actlab.formula.activation import Activation
from actlab.theory.gains import moments
from actlab.theory.properties import properties

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
        ends = known.asymptotes
        if ends.left is None or ends.right is None or known.value_at_zero != 0 or known.smoothness < 0:
            continue
        if ends.right.slope < _STEADY or ends.left.slope > ends.right.slope / 2:
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
    return tuple(name for name, _ in _plain() if (left := properties(name).asymptotes.left) and left.slope > 0)


def smooth() -> tuple[str, ...]:
    """Return those with a continuous derivative, best at keeping the gradient first.

    Example:
        >>> smooth()[:2]
        ('elu', 'mish')
    """
    return tuple(name for name, _ in _plain() if properties(name).smoothness >= 1 and not _normalizes(name))


def twice_smooth() -> tuple[str, ...]:
    """Return those with a second derivative."""
    return tuple(name for name in smooth() if properties(name).smoothness >= 2)


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
        known = properties(name)
        ends = known.asymptotes
        if known.smoothness == 0 and known.range.lower == 0 and ends.right is not None and ends.right.slope == 1:
            return name
    raise AssertionError("the catalog has a rectifier")


def _normalizes(name: str) -> bool:
    of = moments(get(name), 1.0)
    return of.mean is not None and of.second is not None and abs(of.mean) < 1e-6 and abs(of.second - 1) < 1e-6
