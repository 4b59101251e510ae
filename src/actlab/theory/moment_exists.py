"""Whether a Gaussian mean exists: how the integrand grows far beyond the range of doubles."""

from __future__ import annotations

import numpy as np

from actlab.formula.expr import Expr
from actlab.theory.evaluate import evaluator
from actlab.theory.quadrature import FARTHEST, NotFinite

_FAR = (FARTHEST, 100.0, 1e3, 1e6)
# Powers up to the tenth stay below this at FARTHEST; what lies above is looked at farther out, with more digits.
_TALL = 1e18


def refuse_beyond(formula: Expr, *, scale: float) -> None:
    """Raise `NotFinite` unless the formula is real everywhere and its square grows more slowly than the density falls.

    Raises:
        NotFinite: it is undefined far out, or grows at least as fast as exp(z²/4), z = x/scale.
    """
    for side in (-1, 1):
        values = evaluator((formula,))(side * scale * np.array(_FAR))[0]
        is_tall = abs(values[0]) > _TALL
        for far, value in zip(_FAR, values.tolist(), strict=True):
            if is_tall or not np.isfinite(value):
                _refuse(formula, side * far, scale=scale, overflows=bool(np.isinf(value)))


def _refuse(formula: Expr, place: float, *, scale: float, overflows: bool) -> None:
    from mpmath import mp  # only few formulas are looked at this closely, and the others answer sooner without

    from actlab.theory.bounded_mpmath import TooLarge
    from actlab.theory.multiprecision import precise

    try:
        value = precise(formula)(place * scale)
    except TooLarge:
        if overflows:
            raise NotFinite(place) from None
        return
    if value is None or (abs(place) > FARTHEST and value and mp.log(abs(value)) > place * place / 4):
        raise NotFinite(place)
