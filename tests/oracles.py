"""Answers that do not come from our formulas, and the points at which they are asked."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from mpmath import mp, mpf
from torch import Tensor

from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.formula.constant import constant_value
from actlab.formula.expr import Call, Compare, Expr, Input, is_constant, walk
from actlab.kernels.elementwise.native_reference import native_of
from actlab.lower import to_mpmath

DIGITS = 50


def reference(act: Activation | AxisActivation) -> Callable[..., Tensor]:
    """The independent implementation that the activation names, as a function of the activation's own inputs."""
    bound = native_of(act)
    assert bound is not None
    return bound if len(act.inputs) == 1 else lambda value, gate: bound(torch.stack([value, gate])[None], dim=1)[0, 0]


def exact(outputs: Sequence[Expr], args: Sequence[Input]) -> Callable[..., tuple[mpf, ...]]:
    """A function that gives all the formulas' values to 50 digits."""
    function = to_mpmath.program([*outputs, outputs[0]], args).function

    def values(*at: float) -> tuple[mpf, ...]:
        with mp.workdps(DIGITS):
            return function(*map(mpf, at))[:-1]

    return values


def points_for(act: Activation, *, largest: float = math.inf) -> list[float]:
    """Points that a formula may stumble over: where its conditions change, beside them, 0, tiny, huge, infinite, NaN.

    Args:
        act: the activation; of a gated one, the points hold for either input.
        largest: leave out what lies further from 0, NaN included unless it is infinite.
    """
    points = {0.0, 5e-324, 1e-30, 1e-8, 0.1, 0.5, 1.0, 1.7, 3.3, 6.5, 9.0, 15.0, 30.0, 40.0, 600.0, 1e5, 1e30, 1e300}
    for edge in edges(act):
        points |= {abs(edge), abs(np.nextafter(edge, -math.inf)), abs(np.nextafter(edge, math.inf))}
    signed = sorted(points | {-point for point in points} | {math.inf, -math.inf})
    kept = [float(point) for point in signed if abs(point) <= largest]
    return [*kept, -0.0, *([math.nan] if largest == math.inf else [])]


def edges(act: Activation) -> set[float]:
    """The constants that the formula's conditions compare with: its kinks lie there or at their negatives."""
    return {
        constant_value(side)
        for node in walk(act.formula)
        for side in _compared(node)
        if is_constant(side) and abs(constant_value(side)) < 1e6
    }


def _compared(node: object) -> tuple[Expr, ...]:
    if isinstance(node, Compare):
        return (node.left, node.right)
    return node.args if isinstance(node, Call) and node.atom in ("min", "max") else ()
