"""Dual activations: the mean of f(u) f(v) for correlated normal u and v, for all pairs of a covariance matrix.

Each function is expanded in Hermite polynomials, whose means multiply by the correlation: E f(u) f(v) = Σ aₖ bₖ ρᵏ.
Parseval's identity bounds the terms that are left out. Pairs for which the bound is too large, mostly almost equal
inputs of functions with kinks, are integrated in two dimensions, between the kinks of both factors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actlab.errors import NoMoment
from actlab.formula.expr import Expr
from actlab.theory.evaluate import Flags, Floats, value_at
from actlab.theory.gaussian import cuts_of, of_z, panels_of
from actlab.theory.quadrature import Panels, legendre

# Terms of the expansion: the first number suffices for most formulas, the last for kinks up to a correlation of .95.
_ORDERS = (48, 384)
# So many settle a correlation up to .99; they are used if quadrature of all pairs left would take longer.
_HIGHEST, _WITHIN = 2048, 0.993
# Times in units of a multiplication within an array: of evaluating the formula, and of calling an array operation.
_EVALUATION, _CALL = 40, 2000
# The nodes of a panel resolve the polynomials of the highest order up to this width.
_RESOLVED = 0.5
# What the terms left out and rounding may amount to, of the result.
_OF_RESULT, _ROUNDED = 1e-11, 1e-15
# A correlation this close to 1 is 1 but for the rounding of the covariances.
_ROUNDING = 8 * float(np.finfo(float).eps)

_OUTER, _INNER = 20, 16
_REACH = 12.0
_MOST_AT_ONCE = 1 << 18
# Ends of panels around the place that a kink is smoothed at, in widths of the smoothing.
_GRADED = np.array([-12.0, -8.0, -5.0, -3.0, -1.5, 0.0, 1.5, 3.0, 5.0, 8.0, 12.0])


@dataclass(frozen=True)
class _Factor:
    """The function f(√q z) of a standard normal z.

    Attributes:
        at_zero: its value without variance, f(0); used if q is 0.
        kinks: where it changes its form.
    """

    formula: Expr
    q: float
    at_zero: float
    panels: Panels | None
    kinks: Floats

    @property
    def mean(self) -> float:
        return self.at_zero if self.panels is None else float(self.panels.values @ self.panels.roots)

    @property
    def mean_square(self) -> float:
        return self.at_zero**2 if self.panels is None else float(self.panels.values @ self.panels.values)


def dual(integrand: Expr, covariance: Floats, *, cut_like: Expr, owner: str) -> Floats:
    """Return E g(u) g(v) for each pair of jointly normal variables with mean 0.

    The relative error is at most 1e-9, of a result that is not all but canceled: below 1e-8 √(E g(u)² E g(v)²), the
    error may be 1e-17 of that instead. A correlation within rounding of ±1 counts as ±1.

    Args:
        integrand: g, a formula of x.
        covariance: n × n, symmetric and positive semi-definite.
        cut_like: the formula at whose kinks and jumps the integrals are split: g, or the function of which it is
            the derivative.
        owner: the beginning of the message if a moment does not exist.

    Raises:
        NoMoment: E g(u)² does not exist or cannot be computed for one of the variables.
    """
    variances = np.diagonal(covariance)
    distinct, which = np.unique(variances, return_inverse=True)
    factors = [_factor(integrand, cut_like, float(q), owner=owner) for q in distinct]
    deviations = np.sqrt(variances)
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.nan_to_num(covariance / deviations[:, None] / deviations, nan=0.0, posinf=0.0, neginf=0.0)
    correlation = np.clip(correlation / 2 + correlation.T / 2, -1.0, 1.0)
    result, is_settled = _by_expansion(factors, which, correlation)
    same = np.eye(len(which), dtype=bool)
    squares = np.array([factor.mean_square for factor in factors])[which]
    result[same] = squares
    known: dict[tuple[int, int, float], float] = {}
    for i, j in zip(*np.nonzero(np.triu(~is_settled & ~same)), strict=True):
        first, second = sorted((int(which[i]), int(which[j])))
        key = first, second, float(correlation[i, j])
        if key not in known:
            known[key] = _by_quadrature(factors[first], factors[second], key[2])
            if not math.isfinite(known[key]):
                raise NoMoment(f"{owner} for two inputs exceeds double precision at q={distinct[second]:g}.")
        result[i, j] = result[j, i] = known[key]
    return result


def dual_of_pair(integrand: Expr, q1: float, q2: float, covariance: float, *, cut_like: Expr, owner: str) -> float:
    """Return E g(u) g(v) for one pair with variances q1 and q2; see `dual`."""
    matrix = np.array([[q1, covariance], [covariance, q2]])
    return float(dual(integrand, matrix, cut_like=cut_like, owner=owner)[0, 1])


def _factor(integrand: Expr, cut_like: Expr, q: float, *, owner: str) -> _Factor:
    if q == 0:
        return _Factor(integrand, q, value_at(integrand, 0.0), None, np.empty(0))
    panels = panels_of(integrand, cut_like, q, owner=owner)
    return _Factor(integrand, q, math.nan, panels, np.array(cuts_of(cut_like, q)))


def _by_expansion(factors: list[_Factor], which: NDArray[np.intp], correlation: Floats) -> tuple[Floats, Flags]:
    """Return the sum of the expansion for each pair, and which sums are accurate."""
    squares = np.array([factor.mean_square for factor in factors])
    same = np.eye(len(which), dtype=bool)
    for order in _ORDERS:
        terms = np.array([_coefficients(factor, order) for factor in factors])
        total, settled = _expanded(terms, squares, which, correlation)
        if (settled | same).all():
            return total, settled
    if _is_worth_it(factors, which, correlation, ~settled):
        terms = np.array([_coefficients(factor, _HIGHEST) for factor in factors])
        total, settled = _expanded(terms, squares, which, correlation)
    return total, settled


def _expanded(terms: Floats, squares: Floats, which: NDArray[np.intp], correlation: Floats) -> tuple[Floats, Flags]:
    """Return the sum of the products of the terms for each pair, and which sums are accurate."""
    tails = np.maximum(squares - np.sum(terms * terms, axis=1), 0.0) + 1e-15 * squares
    total, size = np.zeros_like(correlation), np.zeros_like(correlation)
    power = np.ones_like(correlation)
    for coefficient in terms[which].T:
        term = power * np.outer(coefficient, coefficient)
        total += term
        size += np.abs(term)
        power *= correlation
    left_out = np.abs(power) * np.sqrt(np.outer(tails[which], tails[which]))
    return total, left_out + _ROUNDED * size <= _OF_RESULT * np.abs(total)


def _is_worth_it(factors: list[_Factor], which: NDArray[np.intp], correlation: Floats, left: Flags) -> bool:
    """Return whether the highest order takes less time than quadrature of the pairs that it may settle."""
    ends = np.array([0 if factor.panels is None else factor.panels.ends.size for factor in factors])[which]
    kinks = np.array([factor.kinks.size for factor in factors])[which]
    outer = _OUTER * (2 * ends + _GRADED.size * kinks + 2 * _REACH)
    inner = _INNER * (_REACH + ends / 4)
    pairs = np.triu(left & (np.abs(correlation) <= _WITHIN), 1)
    evaluations = float(np.sum(pairs * np.outer(outer, inner)))
    sizes = dict(zip(which.tolist(), ends.tolist(), strict=True)).values()  # of each factor once
    nodes = sum(_OUTER * (2 * _REACH / _RESOLVED + size) for size in sizes)
    return bool(evaluations * _EVALUATION > 4 * _HIGHEST * (nodes + _CALL * len(factors) + correlation.size))


def _coefficients(factor: _Factor, order: int) -> Floats:
    """Return the means of the function times the first normalized Hermite polynomials."""
    found = np.zeros(order)
    if factor.panels is None:
        found[0] = factor.at_zero
        return found
    z, values, roots = factor.panels.places, factor.panels.values, factor.panels.roots
    if order > _ORDERS[-1]:
        z, values, roots = _resolved(factor, factor.panels.ends)
    before, here = np.zeros_like(z), roots
    for k in range(order):
        found[k] = values @ here
        before, here = here, (z * here - math.sqrt(k) * before) / math.sqrt(k + 1)
    return found


def _resolved(factor: _Factor, ends: Floats) -> tuple[Floats, Floats, Floats]:
    """Return nodes close enough for the highest order, the weighted function and the roots of the weights."""
    if ends.size == 0:
        return (np.empty(0),) * 3
    steps = np.arange(math.ceil(ends[0] / _RESOLVED), ends[-1] / _RESOLVED) * _RESOLVED
    ends = np.unique(np.concatenate([ends, steps]))
    nodes, weights = legendre(_OUTER)
    lower, width = ends[:-1, None], np.diff(ends)[:, None]
    z = (lower + width * nodes).ravel()
    roots = np.exp(-z * z / 4) * np.sqrt((width * weights).ravel() / math.sqrt(2 * math.pi))
    return z, of_z(factor.formula, factor.q)(z) * roots, roots


def _by_quadrature(first: _Factor, second: _Factor, correlation: float) -> float:
    """Return E g(√q₁ z) g(√q₂ (ρ z + √(1−ρ²) w)) for independent z and w."""
    if first.panels is None or second.panels is None:
        return first.mean * second.mean
    if first.panels.ends.size == 0 or second.panels.ends.size == 0:
        return 0.0
    width = math.sqrt((1 - correlation) * (1 + correlation))
    mirrored = second.panels.ends / correlation
    if 1 - abs(correlation) <= _ROUNDING:
        z, weights = _nodes(np.concatenate([first.panels.ends, mirrored]), first.panels)
        return float(
            np.sum(weights * of_z(first.formula, first.q)(z) * of_z(second.formula, second.q)(correlation * z))
        )
    smoothed = (second.kinks[:, None] + width * _GRADED).ravel() / correlation
    z, weights = _nodes(np.concatenate([first.panels.ends, mirrored, smoothed]), first.panels)
    weighted = weights * of_z(first.formula, first.q)(z)
    z, weighted = z[weighted != 0], weighted[weighted != 0]
    reach = max(_REACH, 0.75 * float(max(np.abs(first.panels.ends).max(), np.abs(second.panels.ends).max())))
    rows = max(1, _MOST_AT_ONCE // (_INNER * (second.panels.ends.size + 16)))
    parts = [
        weighted[start : start + rows]
        @ _smoothed(second, correlation * z[start : start + rows], width=width, reach=reach)
        for start in range(0, z.size, rows)
    ]
    return float(np.sum(parts))


def _nodes(ends: Floats, within: Panels) -> tuple[Floats, Floats]:
    """Return nodes between the ends, as far as the panels reach, and weights that include the normal density."""
    # a product of unlike factors, such as exp(u) exp(-u), counts where neither square does
    least, most = min(within.ends[0], -_REACH), max(within.ends[-1], _REACH)
    ends = np.unique(np.concatenate([np.clip(ends, least, most), np.arange(-_REACH, _REACH + 1)]))
    lower, width = ends[:-1, None], np.diff(ends)[:, None]
    nodes, weights = legendre(_OUTER)
    z = lower + width * nodes
    return z.ravel(), (width * weights * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)).ravel()


def _smoothed(factor: _Factor, centers: Floats, *, width: float, reach: float) -> Floats:
    """Return the mean of the function of center + width·w for a standard normal w, for each center."""
    assert factor.panels is not None
    steps = np.linspace(-reach, reach, 2 + int(reach))
    ends = factor.panels.ends
    near = ends[(ends > centers.min() - reach * width) & (ends < centers.max() + reach * width)]
    inner = np.clip((near - centers[:, None]) / width, -reach, reach)
    ends = np.sort(np.concatenate([inner, np.broadcast_to(steps, (centers.size, steps.size))], axis=1), axis=1)
    sizes = np.diff(ends, axis=1)
    row, column = np.nonzero(sizes)
    nodes, weights = legendre(_INNER)
    size = sizes[row, column][:, None]
    w = ends[row, column][:, None] + size * nodes
    values = of_z(factor.formula, factor.q)(centers[row][:, None] + width * w)
    values *= size * weights * np.exp(-w * w / 2) / math.sqrt(2 * math.pi)
    means: Floats = np.bincount(row, weights=values.sum(axis=1), minlength=centers.size).astype(np.float64)
    return means
