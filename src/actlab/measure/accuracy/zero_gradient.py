"""Find the size of x from which on a gradient is exactly 0."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from actlab.formula.expr import Expr
from actlab.lower.straight_line import Leaf
from actlab.measure.accuracy.points import Places
from actlab.measure.accuracy.record import ZeroGradient
from actlab.measure.accuracy.reference import reference
from actlab.measure.accuracy.ulp import Format

Ranks = NDArray[np.int64]

_CELLS = 4096
# 2^63 numbers, cut into so many cells six times over, leave one.
_ROUNDS = 6


def zero_gradient(
    gradient: Callable[[Places], Places], slope: Expr, args: tuple[Leaf, ...], *, fmt: Format, held: float = 1.0
) -> ZeroGradient:
    """Find the |x| from which on the gradient by the last argument is exactly 0, on either side.

    Args:
        gradient: the gradient at numbers of the dtype.
        slope: the formula of the derivative.
        args: its arguments; all but the last are held.
        fmt: the dtype.
        held: the value at which they are held.
    """
    left = _first_zero(lambda sizes: gradient(-sizes), fmt)
    right = _first_zero(gradient, fmt)
    early = [
        place is not None and _is_early(side * place, slope, args, fmt=fmt, held=held)
        for side, place in ((-1, left), (1, right))
    ]
    return ZeroGradient(left, right, *early)


def _first_zero(gradient: Callable[[Places], Places], fmt: Format) -> float | None:
    """Search for the least size from which on the gradient is 0, by the rank of the dtype's numbers."""
    ranks = _between(0, _rank(fmt.largest, fmt))
    for _ in range(_ROUNDS):
        (moving,) = np.nonzero(gradient(_ranked(ranks, fmt)) != 0)
        if not len(moving):
            return float(_ranked(ranks[:1], fmt)[0])
        last = int(moving[-1])
        if last == len(ranks) - 1:
            return None
        low, high = int(ranks[last]), int(ranks[last + 1])
        if high - low == 1:
            return float(_ranked(ranks[last + 1 : last + 2], fmt)[0])
        ranks = _between(low, high)
    return float(_ranked(ranks[-1:], fmt)[0])


def _between(low: int, high: int) -> Ranks:
    """Spread ranks evenly, both ends included; only their distances from the lower end go through doubles."""
    steps = (np.linspace(0, 1, _CELLS) * (high - low)).astype(np.int64)
    return np.unique(np.append(np.minimum(steps, high - low), high - low) + low)


def _rank(value: float, fmt: Format) -> int:
    """Count the numbers of the dtype between 0 and the value."""
    if fmt.bits == 64:
        return int(np.float64(value).view(np.int64))
    shift = {"float32": 0, "bfloat16": 16}.get(fmt.name)
    return (
        int(np.float32(value).view(np.int32)) >> shift if shift is not None else int(np.float16(value).view(np.int16))
    )


def _ranked(ranks: Ranks, fmt: Format) -> Places:
    """Return the number of each rank."""
    if fmt.bits == 64:
        return ranks.view(np.float64)
    if fmt.name == "float16":
        return ranks.astype(np.int16).view(np.float16).astype(np.float64)
    shift = 16 if fmt.name == "bfloat16" else 0
    return (ranks << shift).astype(np.int32).view(np.float32).astype(np.float64)


def _is_early(place: float, slope: Expr, args: tuple[Leaf, ...], *, fmt: Format, held: float) -> bool:
    """Say whether the true derivative, there or farther out, is more than one unit away from 0."""
    with np.errstate(over="ignore"):
        sizes = np.abs(place) * np.array([1.0, 1.0001, 1.01, 1.1, 2.0, 1e3])
    out = np.sign(place) * np.minimum(sizes, fmt.largest)
    columns = (*(np.full_like(out, held) for _ in args[:-1]), out)
    truth = reference(slope, args, columns, fmt=fmt)
    return bool((np.abs(truth.values) > fmt.smallest).any())
