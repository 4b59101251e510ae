"""The plane of weight and bias scales: where a deep network forgets its inputs, and where it tears them apart."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
from numpy.typing import NDArray

from actlab.errors import NoMoment
from actlab.formula.activation import Activation
from actlab.theory.evaluate import Floats
from actlab.theory.mean_field import EdgePoint, FixedPoint, MeanField, second_moment, slope_second_moment
from actlab.theory.propagation import passed

# Variances at which the moments are computed, and the layers that a signal passes.
_LEAST, _MOST, _STEPS = 1e-4, 1e4, 97
_LAYERS = 400
_SETTLED = 1e-9
# Points of the curves V(q) and C(c).
_CURVE = 41
# Points of the edge between two variances of the table.
_FINER = 8
_FIRST = 1.0
"""The variance with which a signal starts."""


@final
@dataclass(frozen=True)
class Plane:
    """What becomes of a signal for each pair of scales.

    Attributes:
        sigma_w, sigma_b: the scales in the middle of the rows and of the columns.
        q: the variance after many layers; 0 where it vanishes, infinite where it explodes or leaves 1e-4 to 1e4.
        chi: χ₁ there; NaN if it does not exist.
        regions: by row and column "ordered" (χ₁ below 1), "chaotic" (above 1), or "lost": the variance vanishes or
            explodes, or χ₁ does not exist.
        edge: the edge of chaos, by increasing variance.
    """

    sigma_w: Floats
    sigma_b: Floats
    q: Floats
    chi: Floats
    regions: NDArray[np.str_]
    edge: tuple[EdgePoint, ...]


@final
@dataclass(frozen=True)
class Here:
    """One pair of scales.

    Attributes:
        sigma_w, sigma_b: the scales.
        variance: the variance that a signal from 1 reaches, with V'(q); None if it vanishes or explodes.
        chi: χ₁ at that variance.
        correlation: the correlation that two inputs reach, with the derivative of C there; None if it is unknown.
        qs, variances: the curve V(q).
        correlations, next_correlations: the curve C(c) at that variance, or at 1 without one.
    """

    sigma_w: float
    sigma_b: float
    variance: FixedPoint | None
    chi: float
    correlation: FixedPoint | None
    qs: Floats
    variances: Floats
    correlations: Floats
    next_correlations: Floats


@final
@dataclass(frozen=True)
class Table:
    """E f², its derivative by q, and E f'² (NaN where it does not exist) at increasing variances."""

    q: Floats
    square: Floats
    square_slope: Floats
    slope_square: Floats

    def squares_at(self, q: Floats) -> Floats:
        """Return E f² at other variances; beyond the ends in proportion to the variance."""
        return np.asarray(self._shares(self._place(q)) * q)

    def slopes_at(self, q: Floats) -> Floats:
        """Return E f'² at other variances; beyond the ends that at the end."""
        return np.asarray(self._slopes(self._place(q)))

    def refined(self, times: int) -> Table:
        """Return the table at so many variances between each two."""
        last = len(self.q) - 1
        q = np.exp(np.interp(np.arange(times * last + 1) / times, np.arange(last + 1), np.log(self.q)))
        by_variance = self._spline(self.square_slope)(self._place(q))
        return Table(q, self.squares_at(q), np.asarray(by_variance), self.slopes_at(q))

    def _place(self, q: Floats) -> Floats:
        return np.log(np.clip(q, self.q[0], self.q[-1]))

    @cached_property
    def _shares(self) -> Callable[[Floats], Floats]:
        return self._spline(self.square / self.q)

    @cached_property
    def _slopes(self) -> Callable[[Floats], Floats]:
        return self._spline(self.slope_square)

    def _spline(self, values: Floats) -> Callable[[Floats], Floats]:
        """Return the cubic spline of values by the logarithm of the variance; NaN if some do not exist."""
        from scipy.interpolate import CubicSpline  # half a second that only the page pays

        if not np.isfinite(values).all():
            return lambda place: np.full(np.shape(place), math.nan)
        found: Callable[[Floats], Floats] = CubicSpline(np.log(self.q), values)
        return found


def table_of(act: Activation) -> Table:
    """Return the moments of an activation, as far as they exist.

    Raises:
        NoMoment: they do not exist at a variance of 1e-4.
    """
    rows: list[tuple[float, float, float, float]] = []
    for q in map(float, np.geomspace(_LEAST, _MOST, _STEPS)):
        try:
            square, slope = second_moment(act, q)
        except NoMoment:
            if not rows:
                raise
            break
        rows.append((q, square, slope, _slope_square(act, q)))
    return Table(*np.array(rows).T)


def plane_of(table: Table, *, most_w: float, most_b: float, rows: int = 37, columns: int = 31) -> Plane:
    """Return the plane up to these scales.

    Args:
        table: the moments of the activation.
        most_w, most_b: the largest scales.
        rows, columns: the resolution.
    """
    sigma_w = (np.arange(rows) + 0.5) * most_w / rows
    sigma_b = (np.arange(columns) + 0.5) * most_b / columns
    weight, bias = np.meshgrid(sigma_w**2, sigma_b**2, indexing="ij")
    reached = _reached(table, weight, bias)
    chi = weight * table.slopes_at(np.clip(reached, table.q[0], table.q[-1]))
    is_lost = (reached == 0) | np.isinf(reached) | np.isnan(chi)
    regions = np.where(is_lost, "lost", np.where(chi < 1, "ordered", "chaotic"))
    return Plane(sigma_w, sigma_b, reached, chi, regions, _edge(table, most_w=most_w, most_b=most_b))


def here_of(table: Table, act: Activation, *, sigma_w: float, sigma_b: float) -> Here:
    """Return what becomes of a signal at one pair of scales."""
    field = MeanField(act, sigma_w, sigma_b)
    reached = float(_reached(table, np.array(sigma_w**2), np.array(sigma_b**2)))
    variance = _polished(field, reached)
    at = _FIRST if variance is None or variance.at == 0 else variance.at
    most = min(3 * max(at, _FIRST, sigma_b**2), float(table.q[-1]))
    qs = np.linspace(0, most, _CURVE)[1:]
    correlations = np.linspace(0, 1, _CURVE)
    covariances = [passed(act, at * np.array([[1, c], [c, 1]])).covariance for c in correlations]
    scaled = np.array([sigma_b**2 + sigma_w**2 * each for each in covariances])
    with np.errstate(invalid="ignore", divide="ignore"):
        after = scaled[:, 0, 1] / scaled[:, 0, 0]
    slope = _slope_square(act, at)
    return Here(
        sigma_w,
        sigma_b,
        variance,
        sigma_w**2 * slope,
        _reached_correlation(field, variance, slope=slope),
        qs,
        sigma_b**2 + sigma_w**2 * table.squares_at(qs),
        correlations,
        after,
    )


def _reached(table: Table, weight: Floats, bias: Floats) -> Floats:
    """Return the variance that a signal from 1 has after many layers."""
    q = np.full(weight.shape, min(_FIRST, float(table.q[-1])))
    for _ in range(_LAYERS):
        before = q
        with np.errstate(over="ignore"):
            q = np.minimum(bias + weight * table.squares_at(q), 2 * table.q[-1])
        if np.allclose(q, before, rtol=_SETTLED, atol=0):
            break
    return np.where(q > table.q[-1], math.inf, np.where(q < table.q[0], 0.0, q))


def _polished(field: MeanField, reached: float) -> FixedPoint | None:
    """Return the fixed point of V near a variance that was reached; None if the signal vanishes or explodes."""
    from scipy.optimize import brentq  # half a second that only a search pays

    if reached == 0 or not math.isfinite(reached):
        return None

    def excess(q: float) -> float:
        return field.variance(q) / q - 1

    for share in (1.001, 1.02, 1.2):
        low, high = reached / share, reached * share
        try:
            if excess(low) * excess(high) <= 0:
                at = float(brentq(excess, low, high, xtol=1e-15 * low, rtol=1e-14))
                return FixedPoint(at, field.variance_slope(at))
        except NoMoment:
            return None
    at = reached if abs(excess(reached)) < 1e-6 else 0.0  # V is the identity, as for ReLU on its edge
    return FixedPoint(at, field.variance_slope(at)) if at else None


def _reached_correlation(field: MeanField, variance: FixedPoint | None, *, slope: float) -> FixedPoint | None:
    if variance is None or math.isnan(slope):
        return None
    try:
        return field.fixed_correlations(variance.at)[0]
    except NoMoment:
        return None


def _edge(table: Table, *, most_w: float, most_b: float) -> tuple[EdgePoint, ...]:
    """Return the edge of chaos, of which each variance has at most one point: σ_w² = 1/E f'², σ_b² = q − σ_w² E f²."""
    table = table.refined(_FINER)
    weight = 1 / np.where(table.slope_square > 0, table.slope_square, math.nan)
    bias = table.q - weight * table.square
    rounded = np.where(np.abs(bias) < 1e-9 * table.q, 0.0, bias)  # rounding, as for ReLU
    return tuple(
        EdgePoint(math.sqrt(w), math.sqrt(b), float(q), float(w * slope))
        for w, b, q, slope in zip(weight, rounded, table.q, table.square_slope, strict=True)
        if b >= 0 and math.sqrt(w) <= most_w and math.sqrt(b) <= most_b
    )


def _slope_square(act: Activation, q: float) -> float:
    try:
        return slope_second_moment(act, q)
    except NoMoment:
        return math.nan
