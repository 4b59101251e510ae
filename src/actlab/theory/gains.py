"""The gain of an activation: how it scales a Gaussian signal and the gradient behind it."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Literal

from actlab.catalog.index import get
from actlab.errors import BadInput, NoMoment, shortened
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation

DATA = "moments.json"

Kind = Literal["second-moment", "variance", "backward"]


@dataclass(frozen=True)
class Moments:
    """The moments of an activation of a normal variable with mean 0 and variance q.

    Attributes:
        formula: the activation.
        q: the variance of the input.
        mean: E f.
        second: E f².
        variance: Var f, computed as the mean square distance from E f.
        slope_second: E f'²; None if it does not exist, because f jumps or f' is not square-integrable,
            and for a gated unit, which has two derivatives.
        reason: why `slope_second` is None.
    """

    formula: str
    q: float
    mean: float
    second: float
    variance: float
    slope_second: float | None
    reason: str = ""

    @property
    def chi(self) -> float | None:
        """χ₁ = σw² E f'² for weights of variance σw² = 1: the factor by which a gradient's square grows in a layer."""
        return self.slope_second

    def to_json(self) -> dict[str, object]:
        return {
            "formula": self.formula,
            "q": self.q,
            "mean": self.mean,
            "second": self.second,
            "variance": self.variance,
            "slope_second": self.slope_second,
            "chi": self.chi,
        }


def moments(formula: str | Activation | AxisActivation, q: float = 1.0, **params: float) -> Moments:
    """Return E f, E f², Var f, E f'² and χ₁ for a normal input with mean 0 and variance q.

    The two inputs of a gated unit are independent and both so distributed.

    Args:
        formula: an activation, its name, or a formula as text.
        q: the variance of the input.
        params: values for the activation's parameters.

    Raises:
        NoMoment: E f² does not exist or cannot be computed to a relative 1e-10, or f is not finite everywhere.
        BadInput: q is not a finite number above 0, or the activation acts along an axis.

    Example:
        >>> round(moments("relu").mean, 8)
        0.39894228
    """
    act = _one_by_one(formula, params)
    q = _admitted(q)
    return _stored(act, q) or computed(act, q)


def computed(act: Activation, q: float) -> Moments:
    """Compute the moments.

    Raises:
        NoMoment: E f² does not exist or cannot be computed.
    """
    from actlab.theory.gaussian import backward, forward  # SciPy takes half a second; the catalog's are stored

    ahead = forward(act, q)
    result = Moments(act.label, q, ahead.mean, ahead.mean_square, ahead.variance, slope_second=None)
    try:
        return replace(result, slope_second=backward(act, q).mean_square)
    except NoMoment as error:
        return replace(result, reason=str(error))


def gain(
    formula: str | Activation | AxisActivation, q: float = 1.0, *, kind: str = "second-moment", **params: float
) -> float:
    """Return the factor on the weights that preserves the size of a signal through this activation.

    Args:
        formula: an activation, its name, or a formula as text.
        q: the variance of the input.
        kind: `second-moment` is 1/√E f² (Kaiming, DKS), `variance` is 1/σ(f) (NFNet), `backward` is 1/√E f'².
        params: values for the activation's parameters.

    Raises:
        NoMoment: the moment does not exist, is 0, or cannot be computed to a relative 1e-10. A function that jumps has
            no backward gain: the square of its derivative has no mean.
        BadInput: q is not a finite number above 0, the kind is none of the three, or the activation acts along
            an axis.

    Example:
        >>> round(gain("gelu"), 8)
        1.53353044
    """
    act = _one_by_one(formula, params)
    q = _admitted(q)
    chosen = kind_named(kind)
    square, mean_square = _squares(act, q, chosen)
    if square < max(sys.float_info.min, _FLAT * mean_square):
        raise NoMoment(f"{act.label}: its {_MOMENT[chosen]} at q={q:g} is 0 in double precision; no gain restores it.")
    return 1 / math.sqrt(square)


_MOMENT: Mapping[Kind, str] = MappingProxyType({"second-moment": "E f²", "variance": "Var f", "backward": "E f'²"})

# A standard deviation below 1e-7 of the root mean square is mostly the rounding of f itself.
_FLAT = 1e-14


def _squares(act: Activation, q: float, kind: Kind) -> tuple[float, float]:
    """Return the moment that this kind of gain is computed from, and the mean square beside it."""
    known = _stored(act, q)
    if known is None:
        from actlab.theory.gaussian import backward, forward

        means = backward(act, q) if kind == "backward" else forward(act, q)
        return (means.variance if kind == "variance" else means.mean_square), means.mean_square
    if kind == "backward":
        if known.slope_second is None:
            raise NoMoment(known.reason)
        return known.slope_second, known.slope_second
    return (known.variance if kind == "variance" else known.second), known.second


def kind_named(kind: str) -> Kind:
    """Return the kind of gain that the text names; `second_moment` is read as `second-moment`.

    Raises:
        BadInput: there is no such kind.
    """
    for known in _MOMENT:
        if kind.replace("_", "-") == known:
            return known
    raise BadInput(f"kind must be one of {', '.join(_MOMENT)}; got '{shortened(kind)}'.")


def _one_by_one(formula: str | Activation | AxisActivation, params: dict[str, float]) -> Activation:
    act = get(formula, **params)
    if isinstance(act, AxisActivation):
        raise BadInput(f"{act.name} acts along an axis; moments and gains need an element-wise activation.")
    return act


def _admitted(q: float) -> float:
    if isinstance(q, bool) or not isinstance(q, int | float) or not (0 < q < math.inf):
        raise BadInput(f"q, the variance of the input, must be finite and above 0; got {q!r}.")
    return float(q)


def _stored(act: Activation, q: float) -> Moments | None:
    """Return the stored moments of an activation at q = 1, if there are any."""
    found = stored().get(act.key) if q == 1 else None
    return None if found is None else Moments(formula=act.label, q=q, **found)


@cache
def stored() -> Mapping[str, Mapping[str, Any]]:
    """Return the catalog's moments at q = 1, by the activation's key."""
    file = resources.files("actlab.theory") / DATA
    found: Mapping[str, Mapping[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    return found
