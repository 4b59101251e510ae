"""The curves of activations: values and derivatives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from actlab.catalog.index import get
from actlab.display.broken_lines import with_gaps
from actlab.display.picture import Kind, Picture, Series
from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.formula.derivative import derivative
from actlab.formula.expr import Expr, Input, Number
from actlab.formula.substitute import substitute
from actlab.lower.to_numpy import program

POINTS = 1001  # odd, so that the middle is among them
_ORDERS: tuple[tuple[str, Kind], ...] = (
    ("", "line"),
    ("derivative of ", "dashed"),
    ("second derivative of ", "dotted"),
)
_LONGEST = 40


def curve_picture(
    formulas: Sequence[str | Activation | AxisActivation],
    *,
    low: float = -5.0,
    high: float = 5.0,
    derivatives: int = 1,
) -> Picture:
    """Return values and derivatives over an interval, broken where they jump; a color for each activation.

    A gated unit is drawn over its gate, with 1 for its value.

    Args:
        formulas: the activations.
        low, high: the ends of the interval.
        derivatives: how many derivatives: 0, 1 or 2.

    Raises:
        UnknownActivation, BadFormula, BadParam: as `actlab.get`.
        BadInput: no activation, one along an axis, or unusable ends or number of derivatives.

    Example:
        >>> [series.label for series in curve_picture(["relu"]).series]
        ['relu', 'derivative of relu']
    """
    if not formulas:
        raise BadInput("plot: name at least one activation.")
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise BadInput(f"plot: low and high must be finite numbers, the lower first; got {low:g} and {high:g}.")
    if derivatives not in range(len(_ORDERS)):
        raise BadInput(f"plot: derivatives must be 0, 1 or 2; got {derivatives!r}.")
    series = tuple(
        each
        for number, formula in enumerate(formulas)
        for each in _of_one(get(formula), np.linspace(low, high, POINTS), derivatives=derivatives, color=number)
    )
    label = "value" if derivatives == 0 else "value, derivatives" if derivatives > 1 else "value, derivative"
    return Picture("", series, x_label="input", y_label=label, limits=_limits(series))


def _of_one(act: Activation | AxisActivation, x: NDArray[np.float64], *, derivatives: int, color: int) -> list[Series]:
    if isinstance(act, AxisActivation):
        raise BadInput(f"plot: {act.name} acts along an axis and has no curve. Choose an element-wise activation.")
    *rest, along = act.inputs
    place = Input(along)
    parts: list[Expr] = [substitute(act.formula, {Input(name): Number(Fraction(1)) for name in rest})]
    for _ in range(derivatives):
        parts.append(derivative(parts[-1], place))
    with np.errstate(all="ignore"):
        found = program(parts, [place]).function(x)
    name = act.label if len(act.label) <= _LONGEST else f"{act.label[: _LONGEST - 1]}…"
    drawn = []
    for (before, kind), y in zip(_ORDERS, found, strict=False):  # type: ignore[call-overload]  # one array for each part
        xs, ys = with_gaps(x, np.broadcast_to(np.asarray(y, dtype=np.float64), x.shape))
        drawn.append(Series(f"{before}{name}", ys, xs, kind=kind, color=color))
    return drawn


def _limits(series: Sequence[Series]) -> tuple[float, float]:
    """Return limits that hide the tenth of the points that would make the rest a flat line; else all points fit."""
    every = np.concatenate([np.asarray(each.y, dtype=np.float64) for each in series])
    every = every[np.isfinite(every)]
    if not every.size:
        return -1.0, 1.0
    low, high = float(every.min()), float(every.max())
    inner_low, inner_high = (float(each) for each in np.quantile(every, [0.05, 0.95]))
    if high - low > 4 * (inner_high - inner_low) > 0:
        low, high = inner_low, inner_high
    margin = 0.06 * (high - low) or 1.0
    return low - margin, high + margin
