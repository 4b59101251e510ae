"""What an activation does to the size of a Gaussian signal, and of the gradient that comes back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np

from actlab.catalog.index import get
from actlab.errors import BadInput, NoMoment, shortened
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.formula.expr import Expr
from actlab.theory.beyond import refuse_beyond
from actlab.theory.evaluate import Floats, evaluator
from actlab.theory.gated import factors
from actlab.theory.jumps import first_jump
from actlab.theory.pieces import pieces
from actlab.theory.quadrature import Means, NotFinite, NotSettled, gaussian_means
from actlab.theory.single import of_x, slope_of

Kind = Literal["second-moment", "variance", "backward"]


@dataclass(frozen=True)
class Moments:
    """The means of an activation of a normal variable with mean 0 and variance q.

    Attributes:
        formula: the activation.
        q: the variance of what goes in.
        mean: E f.
        second: E f².
        variance: Var f, computed as the mean square distance from E f.
        slope_second: E f'²; None where it does not exist, because f jumps or f' is not square-integrable,
            and for a gated unit, which has two slopes.
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
    """E f, E f², Var f, E f'² and χ₁ for an input that is normal with mean 0 and variance q.

    The two inputs of a gated unit are independent and both so distributed.

    Args:
        formula: an activation, its name, or a formula as text.
        q: the variance of the input.
        params: values for the activation's parameters.

    Raises:
        NoMoment: E f² does not exist or cannot be told to a relative 1e-10, or f is not finite everywhere.
        BadInput: q is not a finite number above 0, or the activation acts along an axis.

    Example:
        >>> round(moments("relu").mean, 8)
        0.39894228
    """
    act = _one_by_one(formula, params)
    q = _admitted(q)
    forward = _forward(act, q)
    told = Moments(act.label, q, forward.mean, forward.mean_square, forward.variance, slope_second=None)
    try:
        return replace(told, slope_second=_backward(act, q).mean_square)
    except NoMoment as error:
        return replace(told, reason=str(error))


def gain(
    formula: str | Activation | AxisActivation, q: float = 1.0, *, kind: str = "second-moment", **params: float
) -> float:
    """The factor on the weights that keeps a signal's size through this activation.

    Args:
        formula: an activation, its name, or a formula as text.
        q: the variance of the input.
        kind: `second-moment` is 1/√E f² (Kaiming, DKS), `variance` is 1/σ(f) (NFNet), `backward` is 1/√E f'².
        params: values for the activation's parameters.

    Raises:
        NoMoment: the moment does not exist, is 0, or cannot be told to a relative 1e-10. A function that jumps has
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
    means = _backward(act, q) if chosen == "backward" else _forward(act, q)
    square = means.variance if chosen == "variance" else means.mean_square
    if square < max(np.finfo(float).tiny, _FLAT * means.mean_square):
        raise NoMoment(f"{act.label}: its {_MOMENT[chosen]} at q={q:g} is 0 in double precision; no gain restores it.")
    return 1 / math.sqrt(square)


_MOMENT: Mapping[Kind, str] = MappingProxyType({"second-moment": "E f²", "variance": "Var f", "backward": "E f'²"})

# A standard deviation below 1e-7 of the root mean square is mostly the rounding of f itself.
_FLAT = 1e-14


def kind_named(kind: str) -> Kind:
    """The kind of gain that the text names; `second_moment` is read as `second-moment`.

    Raises:
        BadInput: there is no such kind.
    """
    for known in _MOMENT:
        if kind.replace("_", "-") == known:
            return known
    raise BadInput(f"there is no gain of kind '{shortened(kind)}'; choose one of {', '.join(_MOMENT)}.")


def _one_by_one(formula: str | Activation | AxisActivation, params: dict[str, float]) -> Activation:
    act = get(formula, **params)
    if isinstance(act, AxisActivation):
        raise BadInput(f"{act.name} acts along an axis; moments and gains are told for functions of one value.")
    return act


def _admitted(q: float) -> float:
    if isinstance(q, bool) or not isinstance(q, int | float) or not (0 < q < math.inf):
        raise BadInput(f"q, the variance of the input, must be a finite number above 0; got {q!r}.")
    return float(q)


def _forward(act: Activation, q: float) -> Means:
    if len(act.inputs) == 1:
        formula = of_x(act)
        return _means(formula, formula, q, owner=f"{act.label}: E f²")
    shares = factors(act)
    if shares is None:
        raise NoMoment(f"{act.label}: its moments are told only if it is a function of value times one of gate.")
    first, second = (_means(share, share, q, owner=f"{act.label}: E f²") for share in shares)
    return first.of_product(second)


def _backward(act: Activation, q: float) -> Means:
    if len(act.inputs) == 2:
        raise NoMoment(f"{act.label}: a gated unit has two slopes, so no one E f'².")
    formula = of_x(act)
    jump = first_jump(formula)
    if jump is not None:
        raise NoMoment(f"{act.label}: E f'² does not exist: {jump}.")
    return _means(slope_of(formula), formula, q, owner=f"{act.label}: E f'²")


def _means(integrand: Expr, cut_like: Expr, q: float, *, owner: str) -> Means:
    """The means of one formula, its panels cut at the kinks of another, or an error in the reader's terms."""
    function = evaluator((integrand,))
    scale = math.sqrt(q)

    def of_z(z: Floats) -> Floats:
        return function(scale * z)[0]

    try:
        means = gaussian_means(of_z, cuts=[piece.lower / scale for piece in (pieces(cut_like) or ())[1:]])
        refuse_beyond(integrand, scale=scale)
    except NotFinite as error:
        raise NoMoment(
            f"{owner} at q={q:g} does not exist or exceeds double precision: "
            f"the integrand is undefined or overflows near x={error.place * scale:.6g}."
        ) from error
    except NotSettled as error:
        raise NoMoment(
            f"{owner} at q={q:g} does not exist, or cannot be told to a relative 1e-10: "
            f"the integral does not settle near x={error.place * scale:.6g}."
        ) from error
    return means
