"""Say whether an activation is one of the catalog's, up to what the layers around it absorb."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

from actlab.catalog.index import CATALOG, get
from actlab.errors import BadFormula
from actlab.formula.activation import Activation
from actlab.formula.expr import Expr, Input, ParamRef
from actlab.formula.param import Param
from actlab.formula.substitute import substitute
from actlab.jsonable import plain
from actlab.theory.canonical import (
    SAME,
    Fit,
    Function,
    Scaling,
    Shape,
    fitted,
    largest_difference,
    normal_points,
    proposals,
    shape,
)
from actlab.theory.evaluate import Floats, evaluator, of_x
from actlab.theory.properties import properties
from actlab.theory.record import Properties, Unknown
from actlab.verbs.activation_lookup import activation_named

_TRIED = 12
_CLOSEST = 8
_SHOWN = 5
_MOST_PARAMS = 2


@dataclass(frozen=True)
class Neighbor:
    """An activation of the catalog and its distance from the function.

    Attributes:
        name: the name, with the values of its parameters.
        distance: the root mean square of the difference after the best scaling, for a standard normal input, relative
            to the standard deviation of the function.
    """

    name: str
    distance: float


@dataclass(frozen=True)
class Novelty:
    """What a function is the same as, with the scaling, and its nearest neighbors.

    Attributes:
        formula: the function.
        same_as: the catalog's activation with f(x) = a·g(b·x + c) + d·x + e; None if the function is new.
        parameters: the values of that activation's parameters.
        scaling: a, b, c, d and e; None if the function is new.
        nearest: the closest activations, the closest first.
        apart: what sets it apart from the nearest, one phrase each.
    """

    formula: str
    same_as: str | None
    parameters: dict[str, float]
    scaling: Scaling | None
    nearest: tuple[Neighbor, ...]
    apart: tuple[str, ...]

    @property
    def is_well(self) -> bool:
        """Whether the catalog has it."""
        return self.same_as is not None

    def to_json(self) -> dict[str, Any]:
        """Return the answer as plain values."""
        plainly: dict[str, Any] = plain(self)
        return plainly

    def lines(self) -> list[str]:
        """Return the answer as text."""
        near = [f"  {each.name}: {each.distance:.3g}" for each in self.nearest]
        if self.same_as is None or self.scaling is None:
            head = [f"{self.formula}: new. No activation of the catalog equals it up to weights and biases."]
            head.append("Nearest, by distance under a normal input:")
            return [*head, *near, *(f"  {each}" for each in self.apart)]
        s = self.scaling
        values = "".join(f", {name}={value:.9g}" for name, value in self.parameters.items())
        return [
            f"{self.formula}: the same as {self.same_as}{values}",
            f"  f(x) = {s.a:.9g} * {self.same_as}({s.b:.9g}*x + {s.c:.9g}) + {s.d:.9g}*x + {s.e:.9g}",
        ]


@dataclass(frozen=True)
class _Known:
    """An activation of the catalog as a function of x, and where its second derivative lies."""

    act: Activation
    function: Function
    family: Callable[..., Floats]
    shape: Shape


def novel(formula: str | Activation, *, linear: bool = True, **params: float) -> Novelty:
    """Find the activation of the catalog that a function equals up to the weights and biases around it.

    Args:
        formula: a name, a formula, `file.py:name`, or an activation with one input.
        linear: whether a linear path beside the activation exists, so that d may differ from 0.
        params: values of its parameters.

    Raises:
        BadFormula: it has two inputs, acts along an axis, or is finite almost nowhere.

    Example:
        >>> novel("2*tanh(3*x - 1) + 0.5*x").same_as
        'tanh'
    """
    act = activation_named(formula, **params) if isinstance(formula, str) else formula
    if not isinstance(act, Activation) or len(act.inputs) != 1:
        raise BadFormula(f"{act.name}: a function of one input is required.")
    return nearest_of(_function(of_x(act)), name=act.label, linear=linear, act=act)


def nearest_of(function: Function, *, name: str, linear: bool = True, act: Activation | None = None) -> Novelty:
    """Return the same for a function of arrays.

    Raises:
        BadFormula: it is finite almost nowhere.
    """
    own = shape(function)
    if own is None:
        raise BadFormula(f"{name}: a function that is finite near 0 is required.")
    ranked = _ranked(function, own, linear=linear)
    matches = _matches(function, own, ranked, linear=linear)
    near = tuple(Neighbor(known.act.label, distance) for known, distance in _distances(function, ranked, linear=linear))
    if not matches:
        return Novelty(name, None, {}, None, near, _apart(act, near))
    same, scaling, values = min(matches, key=lambda match: _plainness(*match))
    return Novelty(name, same.act.name, values, scaling, near, ())


def _plainness(known: _Known, scaling: Scaling, values: dict[str, float]) -> tuple[int, int]:
    ones = [scaling.a, scaling.b]
    zeros = [scaling.c, scaling.d, scaling.e]
    changed = sum(abs(each - 1) > SAME for each in ones) + sum(abs(each) > SAME for each in zeros)
    default = {param.name: param.value for param in known.act.params}
    changed += sum(abs(value - default[name]) > SAME for name, value in values.items())
    return changed + (abs(scaling.d) > SAME), len(known.act.params)


def _ranked(function: Function, own: Shape, *, linear: bool) -> list[tuple[_Known, Fit]]:
    """Return the catalog's functions by how well their first proposal fits, the best first."""
    x, y, weights = _points(function, own)
    found = []
    for known in _catalog():
        if known.shape.is_straight != own.is_straight:
            continue
        tries = [
            fit
            for b, c in proposals(own, known.shape)
            if (fit := fitted(x, y, known.function, start=(b, c), weights=weights, linear=linear, iterations=0))
        ]
        if tries:
            found.append((known, min(tries, key=lambda fit: fit.residual)))
    return sorted(found, key=lambda pair: pair[1].residual)


def _points(function: Function, own: Shape, count: int = 240) -> tuple[Floats, Floats, Floats]:
    width = own.width or 2.0
    x = np.sort(
        np.concatenate(
            [
                own.center + width * np.linspace(-5, 5, count) * 1.0009,
                np.linspace(-24, 24, count // 3),
            ]
        )
    )
    with np.errstate(all="ignore"):
        y = function(x)
    usable = np.isfinite(y) & (np.abs(y) < 1e100)
    x, y = x[usable], y[usable]
    return x, y, 1 / (np.clip(np.quantile(np.abs(y), 0.25), 0.01, 1) + np.abs(y))


def _matches(
    function: Function, own: Shape, ranked: list[tuple[_Known, Fit]], *, linear: bool
) -> list[tuple[_Known, Scaling, dict[str, float]]]:
    """Return the activations that reproduce the function: with their default parameters if any does, else fitted."""
    x, y, weights = _points(function, own)
    found = []
    for known, fit in ranked[:_TRIED]:
        if own.jump is not None and known.shape.jump is None:
            continue
        pinned = None if own.jump is None or known.shape.jump is None else (own.jump, known.shape.jump)
        start = (fit.scaling.b, fit.scaling.c)
        close = fitted(x, y, known.function, start=start, weights=weights, linear=linear, pinned=pinned)
        if close is not None and close.residual < SAME and _reproduces(function, known.function, close.scaling):
            found.append((known, close.scaling, {param.name: param.value for param in known.act.params}))
    if found:
        return found
    for known, fit in ranked[:_TRIED]:
        free = _free(known.act)
        if free and len(free) <= _MOST_PARAMS:
            begin = (fit.scaling.b, fit.scaling.c, *(param.value for param in free))
            close = fitted(x, y, known.family, start=begin, weights=weights, linear=linear)
            if close is None or close.residual > SAME:
                continue
            values = {param.name: value for param, value in zip(free, close.params, strict=True)}
            if not all(param.admits(values[param.name]) for param in free):
                continue
            family = partial(_with, known.family, close.params)
            if _reproduces(function, family, close.scaling):
                found.append((known, close.scaling, values))
    return found


def _with(family: Callable[..., Floats], values: tuple[float, ...], x: Floats) -> Floats:
    return family(x, *values)


def _free(act: Activation) -> list[Param]:
    return [param for param in act.params if param.sampler is None]


def _reproduces(function: Function, other: Function, scaling: Scaling) -> bool:
    return largest_difference(function, lambda z: scaling.applied(other, z))[0] <= SAME


def _distances(function: Function, ranked: list[tuple[_Known, Fit]], *, linear: bool) -> list[tuple[_Known, float]]:
    x, weights = normal_points()
    with np.errstate(all="ignore"):
        y = function(x)
    usable = np.isfinite(y)
    x, y, weights = x[usable], y[usable], weights[usable]
    mean = np.average(y, weights=weights**2)
    spread = float(np.sqrt(np.average((y - mean) ** 2, weights=weights**2))) or 1.0
    found = []
    for known, fit in ranked[:_CLOSEST]:
        start = (fit.scaling.b, fit.scaling.c)
        close = fitted(x, y, known.function, start=start, weights=weights, linear=linear, iterations=6)
        if close is not None:
            found.append((known, close.residual * float(np.sqrt(len(x))) / spread))
    return sorted(found, key=lambda pair: pair[1])[:_SHOWN]


def _apart(act: Activation | None, near: tuple[Neighbor, ...]) -> tuple[str, ...]:
    """Return which properties of the function its nearest neighbor does not share."""
    if act is None or not near:
        return ()
    own, other = properties(act), properties(get(near[0].name))
    sides = [
        (phrase, value(own), value(other))
        for phrase, value in _PROPERTIES.items()
        if value(own) is not None and value(other) is not None
    ]
    return tuple(f"{phrase}: {here}; {near[0].name}: {there}" for phrase, here, there in sides if here != there)


def _finite(bound: float | Unknown) -> bool | None:
    return None if isinstance(bound, Unknown) else math.isfinite(bound)


def _known_value(found: Any) -> Any:
    return None if isinstance(found, Unknown) else found


_PROPERTIES: Mapping[str, Callable[[Properties], Any]] = {
    "monotone": lambda found: _known_value(found.monotone),
    "convex": lambda found: _known_value(found.convex),
    "odd": lambda found: _known_value(found.odd),
    "even": lambda found: _known_value(found.even),
    "bounded below": lambda found: _finite(found.range.lower),
    "bounded above": lambda found: _finite(found.range.upper),
    "continuous derivatives": lambda found: _known_value(found.smoothness),
    "Lipschitz constant": lambda found: None if isinstance(found.lipschitz, Unknown) else f"{found.lipschitz:.4g}",
}


def _function(formula: Expr) -> Function:
    evaluate = evaluator((formula,))
    return lambda x: evaluate(x)[0]


@cache
def _catalog() -> tuple[_Known, ...]:
    """Return every activation of one input, with its shape."""
    found = []
    for act in CATALOG.values():
        if not isinstance(act, Activation) or len(act.inputs) != 1:
            continue
        function = _function(of_x(act))
        own = shape(function)
        if own is not None:
            found.append(_Known(act, function, _family(act), own))
    return tuple(found)


def _family(act: Activation) -> Callable[..., Floats]:
    """Return the activation as a function of x and of its parameters that are not random."""
    free = [param.name for param in act.params if param.sampler is None]
    exchange: dict[Expr, Expr] = {ParamRef(name): Input(f"param_{name}") for name in free}
    exchange[Input(act.inputs[0])] = Input("x")
    formula = substitute(act.with_references(*free), exchange)
    evaluate = evaluator((formula,), ("x", *(f"param_{name}" for name in free)))
    return lambda x, *values: evaluate(x, *(np.full_like(x, value) for value in values))[0]
