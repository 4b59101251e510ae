"""Results for zeros, infinities and NaN."""

from __future__ import annotations

import numpy as np

from actlab.formula.expr import Expr
from actlab.lower.straight_line import Leaf
from actlab.measure.accuracy.error_bounds import evaluated
from actlab.measure.accuracy.points import tensor
from actlab.measure.accuracy.record import Special
from actlab.measure.accuracy.reference import reference
from actlab.measure.accuracy.ulp import Format
from actlab.measure.accuracy.worst_case import as_doubles, errors
from actlab.measure.implementations import Implementation

_INPUTS = (("-inf", -np.inf), ("-0", -0.0), ("0", 0.0), ("inf", np.inf), ("nan", np.nan))

# A result within so many units of the limit counts as the limit.
_NEARLY = 4.0


def special(subject: Implementation, formula: Expr, slope: Expr, arg: Leaf, *, fmt: Format) -> tuple[Special, ...]:
    """Compare an implementation of one input with the mathematics at special inputs."""
    places = np.array([place for _, place in _INPUTS])
    x = tensor(places, fmt)
    values, slopes = as_doubles(subject.forward(x)), as_doubles(subject.backward(x)[0])
    truth = [reference(each, (arg,), (places,), fmt=fmt) for each in (formula, slope)]
    right = ~(errors(values, truth[0], fmt).ulps > _NEARLY)
    # a formula with a branch may give a number for NaN
    right[-1] = np.isnan(values[-1]) or not _passes_nan_on(formula, arg)
    rows = zip(_INPUTS, values, slopes, *(each.values for each in truth), right, strict=True)
    return tuple(
        Special(name, float(y), float(dy), _limit(value, fmt), _limit(steepness, fmt), bool(is_right))
        for (name, _), y, dy, value, steepness, is_right in rows
    )


def _passes_nan_on(formula: Expr, arg: Leaf) -> bool:
    return bool(np.isnan(evaluated([formula], {arg: np.array([np.nan])})[formula].value[0]))


def _limit(value: float, fmt: Format) -> float | None:
    """Return the limit that a reference's value stands for."""
    if np.isnan(value):
        return None
    return float(np.copysign(np.inf, value)) if abs(value) > fmt.largest else float(value)
