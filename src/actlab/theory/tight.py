"""Tighter bounds than interval arithmetic alone, from bounds of the slope."""

from __future__ import annotations

import numpy as np

from actlab.formula.expr import Expr
from actlab.theory.evaluate import Floats
from actlab.theory.interval import bounds


def tight_bounds(formula: Expr, slope: Expr | None, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Bounds of a continuous formula over each box.

    Where the slope has one sign the ends bound the inside; elsewhere the formula stays within the lines that leave
    an end with the least and the greatest slope.
    """
    direct = bounds(formula, low, high)
    least, most = direct.lower, direct.upper
    if slope is None:
        return least, most
    steep = bounds(slope, low, high)
    start, end = bounds(formula, low, low), bounds(formula, high, high)
    smooth = direct.sure & steep.sure
    up, down = smooth & (steep.lower >= 0), smooth & (steep.upper <= 0)
    least = np.maximum(least, np.where(up, start.lower, np.where(down, end.lower, -np.inf)))
    most = np.minimum(most, np.where(up, end.upper, np.where(down, start.upper, np.inf)))
    with np.errstate(all="ignore"):
        for known, run in ((start, high - low), (end, low - high)):
            reach = np.stack([steep.lower * run, steep.upper * run, np.zeros_like(run)])
            slack = 1e-14 * np.abs(reach).max(axis=0)
            linear = smooth & np.isfinite(slack)
            least = np.where(linear, np.fmax(least, known.lower + reach.min(axis=0) - slack), least)
            most = np.where(linear, np.fmin(most, known.upper + reach.max(axis=0) + slack), most)
    return least, most
