"""What a formula tends to at −∞ and +∞, where its program would multiply infinity by zero."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from actlab.formula.expr import Call, Expr, walk
from actlab.lower.straight_line import Leaf
from actlab.lower.to_numpy import program

# The places where the formula is watched on its way out, and how near the last two values must lie to each other.
_PLACES = tuple(10.0**power for power in (1, 2, 4, 8, 16, 32, 64, 100))
_SETTLED = 1e-9
_OSCILLATING = frozenset({"sin", "cos", "spherical_bessel"})


@lru_cache(maxsize=4096)
def ends(root: Expr, arg: Leaf) -> tuple[float | None, float | None]:
    """The limits at −∞ and +∞; None where the program finds them itself, and where they are not seen to exist.

    Seen, at eight places out to 10^100, as a value that no longer moves, as a size that keeps shrinking to nothing,
    or as one that keeps growing. What oscillates has none.
    """
    if any(isinstance(node, Call) and node.atom in _OSCILLATING for node in walk(root)):
        return None, None
    function = program((root,), (arg,)).function
    return _missed(function, sign=-1.0), _missed(function, sign=1.0)


def _missed(function: Callable[..., object], *, sign: float) -> float | None:
    """The limit on one side, where the formula itself gives NaN there."""
    places = sign * np.array([*_PLACES, np.inf])
    with np.errstate(all="ignore"):
        values = np.broadcast_to(np.asarray(function(places), dtype=np.float64), places.shape)
    return _limit(values[:-1]) if np.isnan(values[-1]) else None


def _limit(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float | None:
    last, sizes = float(values[-1]), np.abs(values)
    if np.isnan(values[-3:]).any():
        return None
    if np.isinf(values[-3:]).all():
        return last if len(set(np.sign(values[-3:]))) == 1 else None
    if abs(values[-1] - values[-2]) <= _SETTLED * abs(last) and abs(values[-2] - values[-3]) <= _SETTLED * abs(last):
        return last
    steps = np.diff(sizes[-5:])
    if (steps < 0).all() and sizes[-1] < 1e-12:
        return 0.0 * float(np.sign(last))
    return float(np.sign(last)) * float("inf") if (steps > 0).all() and sizes[-1] > 2 * sizes[-5] else None
