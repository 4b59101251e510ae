"""Facts about activations, by the name that a lesson uses for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TypeVar

import torch

from actlab import verbs
from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.lessons.measured import cell, head, leading_number, rows, seconds
from actlab.theory.evaluate import of_x, slope_of
from actlab.theory.gains import moments
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
    return _known(_known(properties(_elementwise(formula, **params)).range, formula).lower, formula)


def supremum(formula: str, **params: float) -> float:
    """Return the least upper bound of the range."""
    return _known(_known(properties(_elementwise(formula, **params)).range, formula).upper, formula)


def study(name: str, table: float, row: float | str, column: str) -> float:
    """Return the number at the beginning of a cell of a study's tables, as its page in docs/studies has it."""
    return leading_number(cell(name, int(table), row if isinstance(row, str) else f"{row:g}", column))


def count(name: str) -> int:
    """Return the number of settings in which the study of dead units trained networks."""
    return len(_dead_shares(name))


def over(name: str, percent: float) -> int:
    """Return in how many settings of the study of dead units more than a percentage were dead after training."""
    return sum(share > percent for share in _dead_shares(name))


def _dead_shares(name: str) -> list[float]:
    return [
        leading_number(cell(name, table, rate, column))
        for table in (1, 2, 3)
        for rate in rows(name, table)[1:]  # the first row is before training
        for column in head(name, table)
        if column.endswith("dead, %")
    ]


def microseconds(name: str, direction: str = "forward", contender: str = "eager") -> float:
    """Return the time that an activation takes for a million float32 values, in microseconds."""
    return 1e6 * seconds(name, direction, contender)


def times(one: str, other: str, direction: str = "forward") -> float:
    """Return how many times as long one activation takes in PyTorch as another."""
    return seconds(one, direction, "eager") / seconds(other, direction, "eager")


def mean(formula: str, **params: float) -> float:
    """Return the mean output for a standard normal input."""
    return moments(formula, **params).mean


def variance(formula: str, **params: float) -> float:
    """Return the variance of the output for a standard normal input."""
    return moments(formula, **params).variance


def square(formula: str, **params: float) -> float:
    """Return the mean square of the output for a standard normal input."""
    return moments(formula, **params).second


def slope_square(formula: str, **params: float) -> float:
    """Return the mean square of the derivative for a standard normal input."""
    found = moments(formula, **params)
    if found.slope_second is None:
        raise BadInput(f"{formula}: {found.reason}.")
    return found.slope_second


def condition(formula: str, units: float) -> float:
    """Return the condition number of learning a linear layer on the outputs of independent units.

    It is the largest over the smallest eigenvalue of the mean of outputs times outputs, for standard normal inputs of
    the units: the mean of the outputs makes one eigenvalue grow with their number.
    """
    return (units * mean(formula) ** 2 + variance(formula)) / variance(formula)


def neuron(formula: str, bias: float, *pairs: float) -> float:
    """Return the output of a neuron: its activation of the bias and of each weight times its input."""
    weights, inputs = pairs[::2], pairs[1::2]
    return value(formula, bias + sum(weight * x for weight, x in zip(weights, inputs, strict=True)))


def exclusive_or(one: float, two: float) -> float:
    """Return what the two-layer ReLU network of lesson 1 answers."""
    first, second = neuron("relu", 0, 1, one, 1, two), neuron("relu", -1, 1, one, 1, two)
    return neuron("identity", 0, 1, first, -2, second)


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
        raise BadInput(f"{formula}: {found.reason}.")
    return found


FACTS: Mapping[str, Callable[..., float | int | str]] = {
    "condition": condition,
    "count": count,
    "exclusive_or": exclusive_or,
    "gain": gain,
    "infimum": infimum,
    "largest_slope": largest_slope,
    "mean": mean,
    "microseconds": microseconds,
    "neuron": neuron,
    "over": over,
    "product": product,
    "slope": slope,
    "slope_square": slope_square,
    "square": square,
    "study": study,
    "supremum": supremum,
    "times": times,
    "variance": variance,
    "zero_gradient_from": zero_gradient_from,
    "value": value,
}
