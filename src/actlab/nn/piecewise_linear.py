"""Piecewise-linear activations: their few derivatives, and exactly where each ends."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from actlab.formula.activation import Activation
from actlab.formula.expr import Call, Compare, Expr, Node, Sub, is_constant, walk
from actlab.kernels.elementwise.strategies import Mode
from actlab.kernels.fewbit.codes import Border, Staircase
from actlab.kernels.fewbit.quantizer import MOST_BITS
from actlab.kernels.runtime.isolated import apart
from actlab.nn.operator import pointwise_of
from actlab.theory.affine import line_of
from actlab.theory.pieces import pieces

Slope = Callable[[Tensor], Tensor]

# The roundings by which two spellings of one condition may differ: `x > 0.1` and `x + 1 > 1.1`.
_ROUNDINGS = 16

# The integer dtype of the same size: its numbers order like the floats whose bits they are.
_ORDERED = {torch.float32: torch.int32, torch.float64: torch.int64}


@lru_cache(maxsize=256)
def exact_staircase(act: Activation, dtype: torch.dtype, mode: Mode = "accurate") -> Staircase | None:
    """Return the derivative as steps if it takes a few values only, as its operator computes it in this dtype.

    None if it takes many: the formula is not built of straight pieces, or has more than 16 derivatives. Derivatives
    that return, as relu6's 0, share one code.
    """
    cuts = cuts_of(act.derivative())
    return None if cuts is None else apart(lambda: _staircase(act, cuts, dtype, mode))


def _staircase(act: Activation, cuts: tuple[float, ...], dtype: torch.dtype, mode: Mode) -> Staircase | None:
    slope = _slope_of(act, mode)
    borders, runs = _runs(slope, cuts, dtype=dtype)
    (undefined,) = slope(torch.tensor([torch.nan], dtype=dtype)).tolist()
    levels: list[float] = []
    codes = [_code(level, levels) for level in (*runs, undefined)]
    if len(levels) > 1 << MOST_BITS:
        return None
    levels += [levels[-1]] * ((1 << (len(levels) - 1).bit_length()) - len(levels))
    return Staircase(borders, tuple(codes[:-1]), tuple(levels), codes[-1])


def _slope_of(act: Activation, mode: Mode) -> Slope:
    """Return the derivative as the operator itself computes it on this machine."""
    made = pointwise_of(act, mode=mode)

    def slope(x: Tensor) -> Tensor:
        # not through autograd, which runs the composite if the caller's function is being compiled
        if made.lacks is not None:
            found: Tensor = made.slopes(x)[0]
            return found.expand_as(x)
        (pulled,) = made.kernels.pull_back(torch.ones_like(x), (x,), (True,))
        assert pulled is not None  # it was wanted
        return pulled

    return slope


def cuts_of(slope: Expr) -> tuple[float, ...] | None:
    """Return the ordered places where the conditions of a formula change, if it is constant between them and they are
    linear.

    None otherwise.
    """
    found = pieces(slope)
    if found is None or not all(is_constant(piece.formula) for piece in found):
        return None
    cuts = {end for piece in found for end in (piece.lower, piece.upper)}
    for node in walk(slope):  # also where two equal pieces meet: the derivative at their common end may differ
        difference = _decided_by(node)
        for piece in (difference is not None and pieces(difference)) or ():
            line = line_of(piece.formula)
            cuts |= {piece.lower, piece.upper, *([float(line.zero)] if line and line.zero is not None else [])}
    return tuple(sorted(cut for cut in cuts if math.isfinite(cut)))


def _decided_by(node: Node) -> Expr | None:
    """Return the formula on whose sign alone the node depends."""
    match node:
        case Compare(_, left, right) | Call("min" | "max", (left, right)):
            return Sub(left, right)
        case Call("sign" | "abs", (operand,)):
            return operand
    return None


def _code(level: float, levels: list[float]) -> int:
    """Return the level's place among the levels, to which it is added if it is new."""
    for code, known in enumerate(levels):
        if known == level or (known != known and level != level):
            return code
    levels.append(level)
    return len(levels) - 1


def _runs(slope: Slope, cuts: tuple[float, ...], *, dtype: torch.dtype) -> tuple[tuple[Border, ...], list[float]]:
    """Find where runs of equal derivatives meet, and the derivative of each run."""
    samples = _samples(cuts, dtype=dtype)
    slopes = slope(samples)
    changes = (slopes[1:] != slopes[:-1]).nonzero().flatten()
    first = slopes[:1].tolist() + slopes[changes + 1].tolist()
    left, right = _ordinal(samples[changes]), _ordinal(samples[changes + 1])
    while bool((right - left > 1).any()):
        middle = left + (right - left) // 2
        is_left = slope(_number(middle, dtype=dtype)) == slopes[changes]
        left, right = torch.where(is_left, middle, left), torch.where(is_left, right, middle)
    ends = zip(_number(left, dtype=dtype).tolist(), _number(right, dtype=dtype).tolist(), strict=True)
    return tuple(_border(last, start) for last, start in ends), first


def _border(last: float, start: float) -> Border:
    """Put the border between two neighboring numbers at the one that is shorter to write: 0, not the least number above
    it.
    """
    return Border(last, "left") if len(repr(last)) < len(repr(start)) else Border(start, "right")


def _samples(cuts: tuple[float, ...], *, dtype: torch.dtype) -> Tensor:
    """List numbers on both sides of every cut, on it and beside it, so that no run of equal derivatives is missed."""
    epsilon = torch.finfo(dtype).eps
    near = [cut + shift * epsilon * max(abs(cut), 1.0) for cut in cuts for shift in range(-_ROUNDINGS, _ROUNDINGS + 1)]
    between = [(one + other) / 2 for one, other in pairwise(cuts)]
    ends = [math.inf, torch.finfo(dtype).max, 1e6 * max(1.0, *map(abs, cuts), 0.0)]
    wanted = [*cuts, *near, *between, *ends, *(-end for end in ends), 0.0]
    found: Tensor = torch.unique(torch.tensor(wanted, dtype=dtype))
    return found


def _ordinal(numbers: Tensor) -> Tensor:
    """Map floats to integers in the same order, neighbors one apart; both zeros are 0."""
    bits = numbers.view(_ORDERED[numbers.dtype]).to(torch.int64)
    lowest = torch.iinfo(_ORDERED[numbers.dtype]).min
    return torch.where(bits < 0, lowest - bits, bits)


def _number(ordinals: Tensor, *, dtype: torch.dtype) -> Tensor:
    """Invert `_ordinal`."""
    lowest = torch.iinfo(_ORDERED[dtype]).min
    return torch.where(ordinals < 0, lowest - ordinals, ordinals).to(_ORDERED[dtype]).view(dtype)
