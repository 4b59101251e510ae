"""The means of a formula of a normal variable, by quadrature between its kinks."""

from __future__ import annotations

import math

from actlab.errors import NoMoment
from actlab.formula.activation import Activation
from actlab.formula.expr import Expr
from actlab.theory.evaluate import Floats, evaluator, of_x, slope_of
from actlab.theory.gated import factors
from actlab.theory.jumps import first_jump
from actlab.theory.moment_exists import refuse_beyond
from actlab.theory.pieces import pieces
from actlab.theory.quadrature import Means, NotFinite, NotSettled, gaussian_means


def forward(act: Activation, q: float) -> Means:
    """Return the means of the activation.

    Raises:
        NoMoment: they do not exist or cannot be computed.
    """
    if len(act.inputs) == 1:
        formula = of_x(act)
        return _means(formula, formula, q, owner=f"{act.label}: E f²")
    shares = factors(act)
    if shares is None:
        raise NoMoment(f"{act.label}: its moments are known only if it is a function of value times one of gate.")
    first, second = (_means(share, share, q, owner=f"{act.label}: E f²") for share in shares)
    return first.of_product(second)


def backward(act: Activation, q: float) -> Means:
    """Return the means of the activation's derivative.

    Raises:
        NoMoment: they do not exist, as for a function that jumps or a gated unit, or cannot be computed.
    """
    if len(act.inputs) == 2:
        raise NoMoment(f"{act.label}: a gated unit has two derivatives, so there is no single E f'².")
    formula = of_x(act)
    jump = first_jump(formula)
    if jump is not None:
        raise NoMoment(f"{act.label}: E f'² does not exist: {jump}.")
    return _means(slope_of(formula), formula, q, owner=f"{act.label}: E f'²")


def _means(integrand: Expr, cut_like: Expr, q: float, *, owner: str) -> Means:
    """Return the means of one formula, with panels that end at the kinks of another."""
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
            f"{owner} at q={q:g} does not exist, or cannot be computed to a relative 1e-10: "
            f"the integral does not settle near x={error.place * scale:.6g}."
        ) from error
    return means
