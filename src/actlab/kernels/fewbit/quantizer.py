"""Step tables: a derivative as a few levels, chosen by exact dynamic programming.

What few-bit memory keeps of an input is which step it lies on. Novikov et al. 2022 (arXiv:2202.00441) pose the
problem; the tables here are the optimum on the grid, not a local one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from actlab.catalog.index import get
from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.kernels.fewbit.derivative_samples import Density, Floats, SlopeSamples, slope_samples

MOST_BITS = 4
SPAN = (-10.0, 10.0)
POINTS = 2001

# Halvings of a cell of the grid; more than doubles can tell apart.
_HALVINGS = 45


class StepTable(NamedTuple):
    """The best step function for a derivative.

    Attributes:
        borders: where one step ends and the next begins, from left to right; a border belongs to the step on its
            right. The outermost steps go on without end.
        levels: the derivative's stand-in on each step, one more than the borders.
        error: the squared error, integrated over the span; with a density, the mean squared error under it.
    """

    borders: tuple[float, ...]
    levels: tuple[float, ...]
    error: float


class SpreadLevels(NamedTuple):
    """Levels to choose from at random, the nearer the likelier, so that the choice is right on average.

    Attributes:
        levels: from the least to the greatest slope.
        variance: of the choice, integrated over the span; with a density, its mean under it.
    """

    levels: tuple[float, ...]
    variance: float


def step_table(
    formula: str | Activation,
    bits: int,
    *,
    density: Density | None = None,
    span: tuple[float, float] = SPAN,
    points: int = POINTS,
) -> StepTable:
    """Find the step function of 2**bits steps nearest to the derivative, in squared error on an even grid.

    Args:
        formula: a name, a formula, or an activation of one input.
        bits: 1 to 4.
        density: where the inputs lie: measured ones (a tensor, an array, a list) or a function of places. Evenly
            over the span if left out.
        span: where the error is counted. Beyond it the outermost levels hold.
        points: places on the grid.

    Raises:
        BadInput: bits are not 1 to 4, the derivative has no bound, or the grid or the density cannot be used.
        UnknownActivation, BadFormula: as `actlab.get`.

    Example:
        >>> table = step_table("gelu", 2)
        >>> len(table.borders), len(table.levels), round(table.error, 4)
        (3, 4, 0.0406)
    """
    samples = _samples(formula, bits, density=density, span=span, points=points)
    costs, means = _segments(samples.slopes, samples.weights)
    ends = cheapest_path(costs, edges=2**bits)
    levels = means[ends[:-1], ends[1:]]
    error = float(costs[ends[:-1], ends[1:]].sum()) * samples.scale
    return StepTable(tuple(_borders(samples, ends, levels).tolist()), tuple(levels.tolist()), error)


def spread_levels(
    formula: str | Activation,
    bits: int,
    *,
    density: Density | None = None,
    span: tuple[float, float] = SPAN,
    points: int = POINTS,
) -> SpreadLevels:
    """Find the 2**bits levels between which an unbiased random choice varies least.

    The slope s between neighbouring levels a and b becomes b with probability (s - a)/(b - a); its variance is
    (s - a)(b - s). The outermost levels enclose all slopes that the formula has inside the span and far outside.

    Args and errors: as `step_table`.

    Example:
        >>> spread_levels("tanh", 1).levels
        (0.0, 1.0)
    """
    samples = _samples(formula, bits, density=density, span=span, points=points)
    far = np.geomspace(1.0, 1e4, 65) * max(map(abs, span))
    beyond = samples.slope(np.concatenate([-far, far]))
    beyond = beyond[np.isfinite(beyond)]
    slopes = np.concatenate([samples.slopes, beyond])
    weights = np.concatenate([samples.weights, np.zeros(len(beyond))])
    order = slopes.argsort()
    costs = _variances(slopes[order], weights[order])
    ends = cheapest_path(costs, edges=2**bits - 1)
    variance = float(costs[ends[:-1], ends[1:]].sum()) * samples.scale
    return SpreadLevels(tuple(slopes[order][ends].tolist()), variance)


def cheapest_path(costs: Floats, *, edges: int) -> NDArray[np.int64]:
    """Find the cheapest path from the first node to the last in exactly so many edges, and return its nodes.

    Args:
        costs: what an edge from one node (row) to another (column) costs; infinite where there is none.
        edges: how many edges.

    Exact, in O(edges · nodes²): a derivative need not be monotone, so that the shortcuts for sorted values would
    not find the optimum.
    """
    reached = [costs[0].copy()]
    sums = np.empty_like(costs)
    for _ in range(edges - 1):
        np.add(costs, reached[-1][:, None], out=sums)
        reached.append(sums.min(axis=0))
    nodes = [len(costs) - 1]
    for before in reversed(reached[:-1]):
        nodes.append(int((before + costs[:, nodes[-1]]).argmin()))
    return np.array([0, *reversed(nodes)])


def _samples(
    formula: str | Activation, bits: int, *, density: Density | None, span: tuple[float, float], points: int
) -> SlopeSamples:
    if isinstance(bits, bool) or not isinstance(bits, int) or not 1 <= bits <= MOST_BITS:
        raise BadInput(f"bits must be 1, 2, 3 or {MOST_BITS}; got {bits!r}.")
    act = get(formula)
    if isinstance(act, AxisActivation):
        raise BadInput(f"{act.name} acts along an axis; an element-wise activation is required.")
    if points <= 2**bits:
        raise BadInput(f"points must be more than 2**bits = {2**bits}; got {points}.")
    return slope_samples(act, density=density, span=span, points=points)


def _sums(values: Floats) -> Floats:
    """Return running sums, 0 first."""
    return np.concatenate([[0.0], np.cumsum(values)])


def _segments(slopes: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return squared error and mean of the samples from one cut (row) to a later one (column)."""
    mass, first, second = (_sums(weights * slopes**power) for power in range(3))
    with np.errstate(all="ignore"):
        total = mass[None, :] - mass[:, None]
        linear = first[None, :] - first[:, None]
        means = linear / total
        costs = np.maximum(second[None, :] - second[:, None] - linear * means, 0.0)
    costs[np.tril_indices_from(costs)] = np.inf
    return costs, means


def _variances(slopes: Floats, weights: Floats) -> Floats:
    """Sum (s - a)(b - s) over the sorted derivatives s between level a (row) and a later level b (column)."""
    mass, first, second = (_sums(weights * slopes**power)[1:] for power in range(3))
    low, high = slopes[:, None], slopes[None, :]
    linear, total = first[None, :] - first[:, None], mass[None, :] - mass[:, None]
    costs = np.maximum((low + high) * linear - (second[None, :] - second[:, None]) - low * high * total, 0.0)
    costs[np.tril_indices_from(costs)] = np.inf
    return np.asarray(costs)


def _borders(samples: SlopeSamples, ends: NDArray[np.int64], levels: Floats) -> Floats:
    """Find where the derivative crosses the middle of two neighboring levels, between the samples beside a cut."""
    left, right = samples.places[ends[1:-1] - 1], samples.places[ends[1:-1]]
    middle = (levels[:-1] + levels[1:]) / 2
    below, above = samples.slopes[ends[1:-1] - 1] - middle, samples.slopes[ends[1:-1]] - middle
    crosses = below * above < 0
    side = np.sign(below)
    borders = (left + right) / 2
    for _ in range(_HALVINGS):
        before = np.sign(samples.slope(borders) - middle) == side
        left, right = np.where(before, borders, left), np.where(before, right, borders)
        borders = np.where(crosses, (left + right) / 2, borders)
    return borders
