"""Match a formula to an activation of the catalog by its values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from typing import Any, final

import numpy as np
from scipy.optimize import least_squares

from actlab.catalog.index import CATALOG
from actlab.formula.activation import Activation
from actlab.formula.expr import Expr, Number, ParamRef, expr, input_names, is_constant, walk
from actlab.formula.substitute import substitute
from actlab.lower.to_numpy import program
from actlab.sites.recognize.symbolic import POINTS, X, evaluated, is_straight
from actlab.sites.recognize.torch_ops import bound

_CLOSE = 2e-6
"""Relative to 1. Programs round √(2/π) to five digits at worst; other activations differ by more."""

# A learned number can be any number: two sets of values that match no activation by chance.
_GUESSES = ((0.37, 0.53, 0.71, 0.29, 0.83, 0.61), (0.59, 0.31, 0.43, 0.79, 0.23, 0.67))
_MOST_PARAMETERS = 6


@final
@dataclass(frozen=True)
class Recognised:
    """An activation of the catalog that matches a formula.

    Attributes:
        activation: with its parameters, as far as they are numbers.
        learned: by the name of a parameter, its formula of weights; empty if nothing is learned.
    """

    activation: Activation
    learned: Mapping[str, Expr] = field(default_factory=dict)


def recognised(formula: Expr) -> Recognised | None:
    """Return the activation of the catalog with the formula's values, its parameters fitted; None if none matches.

    Args:
        formula: of `x`, and of references to weights.
    """
    names = list(dict.fromkeys(node.name for node in walk(formula) if isinstance(node, ParamRef)))
    if not names:
        act = _recognised(formula)
        return None if act is None else Recognised(act)
    if len(names) > len(_GUESSES[0]):
        return None
    renamed: dict[Expr, Expr] = {ParamRef(name): ParamRef(f"p{at}") for at, name in enumerate(names)}
    found = _of_weights(substitute(formula, renamed))  # the same for every layer
    if found is None:
        return None
    back = {new: old for old, new in renamed.items()}
    learned = {name: substitute(each, back) for name, each in found.learned.items()}
    return Recognised(found.activation, learned)


@lru_cache(maxsize=2048)
def _of_weights(formula: Expr) -> Recognised | None:
    """Return the activation that the formula is for all values of its weights."""
    guesses = [_guessed(formula, numbers) for numbers in _GUESSES]
    values = [evaluated(guess) for guess in guesses]
    if any(each is None or is_straight(each) for each in values):
        return None
    parts = [node for node in walk(formula) if isinstance(node, Expr) and not input_names(node)]
    tried = [tuple(_number(_guessed(each, numbers)) for each in parts) for numbers in _GUESSES]
    is_fixed = [is_constant(node) for node in parts]
    known = [each for each in values if each is not None]
    for act, function in _with_parameters():
        for chosen in _choices(act, function, tried, known[0]):
            if any(param.trainable and is_fixed[at] for param, at in zip(act.params, chosen, strict=True)):
                continue  # a trainable parameter must be a weight
            numbers = [[each[at] for at in chosen] for each in tried]
            if all(_gives(function, given, value) for given, value in zip(numbers, known, strict=True)):
                return Recognised(act, {param.name: parts[at] for param, at in zip(act.params, chosen, strict=True)})
    return None


def _choices(
    act: Activation, function: Formula, tried: list[tuple[float, ...]], values: np.ndarray[Any, Any]
) -> Iterator[tuple[int, ...]]:
    """Yield which numbers of a formula may be the activation's parameters."""
    if len(act.params) <= 2:
        yield from product(range(len(tried[0])), repeat=len(act.params))
        return
    fitted = _fit(act, function, values)
    near = [] if fitted is None else [_near(number, tried[0]) for number in fitted]
    yield from product(*near) if near else ()


def _near(number: float, numbers: tuple[float, ...]) -> list[int]:
    return [at for at, each in enumerate(numbers) if abs(each - number) < 1e-4]


def _guessed(formula: Expr, numbers: tuple[float, ...]) -> Expr:
    return substitute(formula, {ParamRef(f"p{at}"): expr(number) for at, number in enumerate(numbers)})


def _number(formula: Expr) -> float:
    found = evaluated(formula)
    return float("nan") if found is None else float(found[0])


Formula = Callable[..., Any]


@lru_cache(maxsize=1)
def _with_parameters() -> tuple[tuple[Activation, Formula], ...]:
    """Return the one-input activations with parameters, fewest parameters first."""
    found = [
        act
        for name, act in CATALOG.items()
        if isinstance(act, Activation)
        and act.inputs == ("x",)
        and 0 < len(act.params) <= _MOST_PARAMETERS
        and name not in _MATCHED_ELSEWHERE
    ]
    return tuple((act, _compiled(act)) for act in sorted(found, key=lambda act: len(act.params)))


# A leaky relu with a learned slope is a prelu; rrelu draws its slope; a learned scale after silu is not part of it.
_MATCHED_ELSEWHERE = frozenset({"leaky_relu", "rrelu", "e_swish"})


def _compiled(act: Activation) -> Formula:
    return program((act.expression,), (X, *(ParamRef(param.name) for param in act.params))).function


def _gives(function: Formula, given: list[float], known: np.ndarray[Any, Any]) -> bool:
    """Return whether the activation with these parameters has the values."""
    if not np.isfinite(given).all():
        return False
    with np.errstate(all="ignore"):
        made = np.broadcast_to(np.asarray(function(POINTS, *given), dtype=float), POINTS.shape)
    return _is_close(np.where(np.isfinite(made), made, 0.0), known)


@lru_cache(maxsize=2048)
def _recognised(formula: Expr) -> Activation | None:
    values = evaluated(formula)
    if values is None or is_straight(values):
        return None
    table = _table()
    for name, known in table.items():
        if _is_close(values, known):
            act = CATALOG[name]
            assert isinstance(act, Activation)
            return act
    return _with_constants(formula, values) or next(
        (found for name in _FITTED if (found := _fitted(name, values)) is not None), None
    )


def _with_constants(formula: Expr, values: np.ndarray[Any, Any]) -> Activation | None:
    """Return an activation whose only parameter is a number of the formula."""
    numbers = dict.fromkeys(float(node.value) for node in walk(formula) if isinstance(node, Number))
    for name in _FITTED:
        act = CATALOG[name]
        for number in numbers if len(act.params) == 1 else ():
            found = bound(name, {act.params[0].name: number}) if _is_usual(name, number) else None
            made = evaluated(found.formula) if isinstance(found, Activation) else None
            if made is not None and _is_close(values, made):
                return found if isinstance(found, Activation) else None
    return None


def _is_usual(name: str, number: float) -> bool:
    low, high = _USUAL.get(name, (-np.inf, np.inf))
    return bool(low < number < high)


def _is_close(values: np.ndarray[Any, Any], known: np.ndarray[Any, Any]) -> bool:
    # also far from 0, where clipped variants differ
    return bool(np.allclose(values, known, rtol=_CLOSE, atol=_CLOSE))


# Activations with a parameter that programs commonly set.
_FITTED = (
    "swish",
    "leaky_relu",
    "elu",
    "celu",
    "softplus",
    "scaled_tanh",
    "sine",
    "snake",
    "squareplus",
    "threshold",
    "xielu",
)
# Outside these bounds the fit found another function, such as |x| for leaky_relu or max(x, 0) for swish.
_USUAL = {"leaky_relu": (0.0, 1.0), "swish": (0.0, 20.0)}


@lru_cache(maxsize=1)
def _table() -> Mapping[str, np.ndarray[Any, Any]]:
    found = {}
    for name, act in CATALOG.items():
        if isinstance(act, Activation) and act.inputs == ("x",) and name not in {"identity", "prelu", "rrelu", "swish"}:
            values = evaluated(act.formula)
            if values is not None:
                found[name] = values
    return found


def _fitted(name: str, values: np.ndarray[Any, Any]) -> Activation | None:
    act = CATALOG[name]
    assert isinstance(act, Activation)
    fit = _fit(act, _compiled(act), values) if act.params else None
    if fit is None or not _is_usual(name, fit[0]):
        return None
    found = bound(name, {param.name: _tidy(value) for param, value in zip(act.params, fit, strict=True)})
    return found if isinstance(found, Activation) else None


def _fit(act: Activation, function: Formula, values: np.ndarray[Any, Any]) -> list[float] | None:
    """Return the parameters with which the activation has the values; None if there are none."""

    def off(given: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        with np.errstate(all="ignore"):
            result = np.broadcast_to(np.asarray(function(POINTS[:97], *given), dtype=float), (97,))
        difference: np.ndarray[Any, Any] = np.nan_to_num(result - values[:97], nan=1e6, posinf=1e6, neginf=-1e6)
        return difference

    start = np.array([param.value for param in act.params])
    with np.errstate(all="ignore"):
        fit = least_squares(off, start, xtol=1e-12, ftol=1e-14, gtol=1e-14, max_nfev=60)
    if np.abs(fit.fun).max() > _CLOSE * max(1.0, np.abs(values[:97]).max()):
        return None
    with np.errstate(all="ignore"):
        far = np.broadcast_to(np.asarray(function(POINTS[97:], *fit.x), dtype=float), (len(POINTS) - 97,))
    # clipped variants differ only here; parameters are known to fewer digits than values
    same = np.allclose(np.where(np.isfinite(far), far, 0.0), values[97:], rtol=1e-4, atol=1e-4)
    return [float(each) for each in fit.x] if same else None


def _tidy(value: float) -> float:
    """Return the value to the digits that a fit can determine."""
    return float(f"{value:.6g}")
