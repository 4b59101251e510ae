"""The means of a formula of a normal variable, by quadrature between its kinks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import pairwise

import numpy as np

from actlab.errors import NoMoment
from actlab.formula.activation import Activation
from actlab.formula.expr import Expr
from actlab.theory.evaluate import Floats, evaluator, of_x, slope_of
from actlab.theory.gated import factors
from actlab.theory.jumps import first_jump
from actlab.theory.moment_exists import refuse_beyond
from actlab.theory.pieces import Piece, ZeroFinder, pieces
from actlab.theory.quadrature import Means, NotFinite, NotSettled, Panels, gaussian_means, settled_panels

# Up to here the cuts are searched of a formula that has no end of them, such as max(sin(x), 0).
_FAR = 30.0
_WINDOWS = 24


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
    formula = differentiable(act)
    return _means(slope_of(formula), formula, q, owner=f"{act.label}: E f'²")


def differentiable(act: Activation) -> Expr:
    """Return the formula of x.

    Raises:
        NoMoment: E f'² does not exist, because f jumps or has two inputs.
    """
    if len(act.inputs) == 2:
        raise NoMoment(f"{act.label}: a gated unit has two derivatives, so there is no single E f'².")
    formula = of_x(act)
    jump = first_jump(formula)
    if jump is not None:
        raise NoMoment(f"{act.label}: E f'² does not exist: {jump}.")
    return formula


def _means(integrand: Expr, cut_like: Expr, q: float, *, owner: str) -> Means:
    """Return the means of one formula, with panels that end at the kinks of another."""
    with refusing(owner, q):
        means = gaussian_means(of_z(integrand, q), cuts=cuts_of(cut_like, q))
        refuse_beyond(integrand, scale=math.sqrt(q))
    return means


def panels_of(integrand: Expr, cut_like: Expr, q: float, *, owner: str) -> Panels:
    """Return the panels on which one formula is settled; they end at the kinks of another.

    Raises:
        NoMoment: its mean square does not exist or cannot be computed.
    """
    with refusing(owner, q):
        panels = settled_panels(of_z(integrand, q), cuts=cuts_of(cut_like, q))
        refuse_beyond(integrand, scale=math.sqrt(q))
    return panels


def of_z(formula: Expr, q: float) -> Callable[[Floats], Floats]:
    """Return f(√q z) as a function of z."""
    function = evaluator((formula,))
    scale = math.sqrt(q)
    return lambda z: function(scale * z)[0]


def cuts_of(formula: Expr, q: float) -> list[float]:
    """Return where the formula of √q z changes its form, as values of z."""
    return [place / math.sqrt(q) for place in _places(formula)]


@lru_cache(maxsize=256)
def _places(formula: Expr) -> tuple[float, ...]:
    found = pieces(formula)
    if found is None:
        from actlab.theory.signs import zeros  # few formulas need it, and the others answer sooner without

        found = pieces(formula, zeros=zeros) or pieces(formula, zeros=zeros, lower=-_FAR, upper=_FAR)
        found = found or _in_windows(formula, zeros)
    return tuple(after.lower for before, after in pairwise(found or ()) if before.formula != after.formula)


def _in_windows(formula: Expr, zeros: ZeroFinder) -> tuple[Piece, ...] | None:
    """Return the pieces of a formula that has too many of them to be found at once, such as abs(sin(5*x))."""
    ends = np.linspace(-_FAR, _FAR, _WINDOWS + 1).tolist()
    found = [pieces(formula, zeros=zeros, lower=a, upper=b) for a, b in pairwise(ends)]
    return tuple(piece for part in found if part is not None for piece in part) if None not in found else None


@contextmanager
def refusing(owner: str, q: float) -> Iterator[None]:
    """Raise `NoMoment` if the integral is not finite or does not settle."""
    scale = math.sqrt(q)
    try:
        yield
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
