"""A batch of normal signals on its way through one activation: all covariances at once, to about 1e-5.

`dual` is exact and meant for few inputs. Here the Hermite coefficients of f(√q z) are computed at a few variances and
interpolated between them, so that a batch of inputs with as many variances costs little more than one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import final

import numpy as np

from actlab.errors import NoMoment
from actlab.formula.activation import Activation
from actlab.theory.evaluate import Floats, of_x, slope_of, value_at
from actlab.theory.gaussian import differentiable, panels_of

# Terms of the expansion; the tail of a kink beyond them is below 2e-4 of the mean square, and is added as one term.
_TERMS = 64
# Nodes of the interpolation in log q: so many, and so many more for each e-fold of the range.
_NODES, _MORE_NODES = 5, 2
_MOST_NODES = 40
# Variances closer than this, relative to each other, are one.
_SAME = 1e-9
# Rows beside the coefficients: E f², its derivative by q, E f'².
_BESIDE = 3


@final
@dataclass(frozen=True)
class Passed:
    """The signals behind an activation.

    Attributes:
        covariance: E f(u) f(v), n × n.
        mean: E f(u), by input.
        slopes: E f'(u)², by input; NaN where it does not exist.
        of_variance: the derivative of the mean of E f(u)² by the mean variance.
        of_covariance: the derivative of the mean of E f(u) f(v) over pairs by the mean covariance.
    """

    covariance: Floats
    mean: Floats
    slopes: Floats
    of_variance: float
    of_covariance: float

    @property
    def square(self) -> float:
        """The mean of E f(u)² over the inputs."""
        return float(np.diagonal(self.covariance).mean())


def passed(act: Activation, covariance: Floats) -> Passed:
    """Return what jointly normal signals with mean 0 are behind the activation.

    Args:
        act: an activation of one input.
        covariance: n × n, symmetric and positive semi-definite.

    Raises:
        NoMoment: E f² does not exist or cannot be computed for one of the variances.

    Example:
        >>> from actlab.catalog.index import get
        >>> passed(get("relu"), np.array([[2.0, 0.0], [0.0, 2.0]])).covariance.round(4).tolist()
        [[1.0, 0.3183], [0.3183, 1.0]]
    """
    variances = np.maximum(np.diagonal(covariance), 0.0)
    rows = _rows(act, variances)
    terms, (square, by_variance, slopes) = rows[:, :_TERMS], rows[:, _TERMS:].T
    deviations = np.sqrt(variances)
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.nan_to_num(covariance / deviations[:, None] / deviations, nan=0.0, posinf=0.0, neginf=0.0)
    correlation = np.clip(correlation, -1.0, 1.0)
    tail = np.sqrt(np.maximum(square - np.sum(terms * terms, axis=1), 0.0))
    total = np.outer(tail, tail)
    slope = _TERMS * total
    for order in range(_TERMS - 1, 0, -1):
        product = np.outer(terms[:, order], terms[:, order])
        total, slope = total * correlation + product, slope * correlation + order * product
    total = total * correlation + np.outer(terms[:, 0], terms[:, 0])
    np.fill_diagonal(total, square)
    apart = ~np.eye(len(variances), dtype=bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        by_covariance = np.nan_to_num(slope / np.outer(deviations, deviations), posinf=0.0)
    return Passed(
        total,
        terms[:, 0],
        slopes,
        float(by_variance.mean()),
        float(by_covariance[apart].mean()) if apart.any() else 0.0,
    )


def _rows(act: Activation, variances: Floats) -> Floats:
    """Return for each variance the coefficients and what stands beside them."""
    positive = variances[variances > 0]
    rows = np.empty((len(variances), _TERMS + _BESIDE))
    if positive.size < variances.size:
        rows[variances == 0] = _row(act, 0.0)
    if positive.size == 0:
        return rows
    low, high = float(positive.min()), float(positive.max())
    if high - low <= _SAME * high:
        rows[variances > 0] = _row(act, high)
        return rows
    count = min(_MOST_NODES, _NODES + math.ceil(_MORE_NODES * math.log(high / low)))
    angles = np.pi * np.arange(count + 1) / count
    middle, half = math.log(low * high) / 2, math.log(high / low) / 2
    nodes = middle + half * np.cos(angles)
    values = np.array([_row(act, float(np.clip(math.exp(node), low, high))) for node in nodes])
    weights = np.where(np.arange(count + 1) % 2, -1.0, 1.0)
    weights[[0, -1]] /= 2
    rows[variances > 0] = _between(np.log(positive), nodes, weights, values)
    return rows


def _between(places: Floats, nodes: Floats, weights: Floats, values: Floats) -> Floats:
    """Return the polynomial through the values at Chebyshev nodes, by the barycentric formula."""
    apart = places[:, None] - nodes
    hit = np.abs(apart) < 1e-13  # rounding of a logarithm
    shares = weights / np.where(hit, 1.0, apart)
    found: Floats = (shares @ values) / shares.sum(axis=1)[:, None]
    at, node = np.nonzero(hit)
    found[at] = values[node]
    return found


@lru_cache(maxsize=4096)
def _row(act: Activation, q: float) -> Floats:
    """Return the Hermite coefficients of f(√q z), E f², its derivative by q, and E f'² (NaN if it does not exist)."""
    formula = of_x(act)
    row = np.zeros(_TERMS + _BESIDE)
    if q == 0:
        row[0] = value_at(formula, 0.0)
        row[_TERMS:] = row[0] ** 2, 0.0, math.nan
        return row
    panels = panels_of(formula, formula, q, owner=f"{act.label}: E f²")
    z, values = panels.places, panels.values
    before, here = np.zeros_like(z), panels.roots
    for order in range(_TERMS):
        row[order] = values @ here
        before, here = here, (z * here - math.sqrt(order) * before) / math.sqrt(order + 1)
    squares = values * values
    row[_TERMS:] = squares.sum(), squares @ (z * z - 1) / (2 * q), _slope_square(act, q)
    return row


def _slope_square(act: Activation, q: float) -> float:
    try:
        formula = differentiable(act)
        panels = panels_of(slope_of(formula), formula, q, owner=f"{act.label}: E f'²")
    except NoMoment:
        return math.nan
    return float(panels.values @ panels.values)
