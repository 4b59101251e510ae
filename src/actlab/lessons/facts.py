"""Facts about activations, by the name that a lesson uses for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TypeVar

import torch

from actlab import verbs
from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.lessons.measured import cell, leading_number, seconds
from actlab.theory.evaluate import of_x, slope_of
from actlab.theory.multiprecision import precise
from actlab.theory.properties import properties
from actlab.theory.record import Unknown
from actlab.verbs.activation_lookup import activation_named

Known = TypeVar("Known")


def value(formula: str, x: float, **params: float) -> float:
    """Return the value of an activation at x."""
    return _exactly(_elementwise(formula, **params), x, order=0)


def slope(formula: str, x: float, **params: float) -> float:
    """Return the derivative of an activation at x."""
    return _exactly(_elementwise(formula, **params), x, order=1)


def product(*factors: float) -> float:
    """Return the first number to the power of the second: a factor a layer, over layers."""
    base, layers = factors
    return float(base**layers)


def gain(formula: str, kind: str = "second-moment", **params: float) -> float:
    """Return a gain: second-moment, variance or backward."""
    return verbs.gain(formula, kind=kind, **params).gain


def largest_slope(formula: str, **params: float) -> float:
    """Return the largest absolute derivative."""
    return _known(properties(_elementwise(formula, **params)).lipschitz, formula)


def infimum(formula: str, **params: float) -> float:
    """Return the greatest lower bound of the range."""
    return _known(properties(_elementwise(formula, **params)).range, formula).lower


def supremum(formula: str, **params: float) -> float:
    """Return the least upper bound of the range."""
    return _known(properties(_elementwise(formula, **params)).range, formula).upper


def study(name: str, table: float, row: float | str, column: str) -> float:
    """Return the number at the beginning of a cell of a study's tables, as its page in docs/studies has it."""
    return leading_number(cell(name, int(table), row if isinstance(row, str) else f"{row:g}", column))


def microseconds(name: str, direction: str = "forward", contender: str = "eager") -> float:
    """Return the time that an activation takes for a million float32 values, in microseconds."""
    return 1e6 * seconds(name, direction, contender)


def times(one: str, other: str, direction: str = "forward") -> float:
    """Return how many times as long one activation takes in PyTorch as another."""
    return seconds(one, direction, "eager") / seconds(other, direction, "eager")


@lru_cache(maxsize=64)
def zero_gradient_from(name: str, dtype: str) -> float:
    """Return the smallest positive number of a 16-bit dtype at which PyTorch's own gradient is exactly 0."""
    bits = torch.arange(1, 2**15, dtype=torch.int16)
    places = bits.view(getattr(torch, dtype))
    places = places[places.isfinite()].requires_grad_()
    (slopes,) = torch.autograd.grad(getattr(torch, name)(places).sum(), places)
    return float(places.detach()[slopes == 0][0])


def _elementwise(formula: str, **params: float) -> Activation:
    act = activation_named(formula, **params)
    if not isinstance(act, Activation) or len(act.inputs) != 1:
        raise BadInput(f"{formula}: an activation of one input is required.")
    return act


def _exactly(act: Activation, x: float, *, order: int) -> float:
    formula = of_x(act)
    for _ in range(order):
        formula = slope_of(formula)
    found = precise(formula)(x)
    if found is None:
        raise BadInput(f"{act.label}: a point with a finite value is required; got x = {x:g}.")
    return float(found)


def _known(found: Known | Unknown, formula: str) -> Known:
    if isinstance(found, Unknown):
        raise BadInput(f"{formula}: {found}.")
    return found


FACTS: Mapping[str, Callable[..., float | int | str]] = {
    "gain": gain,
    "infimum": infimum,
    "largest_slope": largest_slope,
    "microseconds": microseconds,
    "product": product,
    "slope": slope,
    "study": study,
    "supremum": supremum,
    "times": times,
    "zero_gradient_from": zero_gradient_from,
    "value": value,
}
