"""Mean-field theory of deep, wide networks: how variances and correlations change from layer to layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from actlab.errors import BadInput, NoMoment
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.formula.expr import Expr
from actlab.theory.dual import dual_of_pair
from actlab.theory.evaluate import Floats, of_x, slope_of, value_at
from actlab.theory.gaussian import differentiable, panels_of
from actlab.theory.infinite_width import admitted, of_one_input

# The search for fixed points: from this variance, if nothing keeps it away from 0, up to so many times 1 + σ_b².
_LEAST, _MOST = 1e-4, 1e4
_STEPS = 96
# A difference of V(q) and q this small, relative to q, is rounding.
_NOISE = 1e-11
# How far from 0 the derivatives on both sides of 0 are taken.
_BESIDE = 1e-100


@dataclass(frozen=True)
class FixedPoint:
    """A value that a map from layer to layer does not change.

    Attributes:
        at: the variance q or the correlation c.
        slope: the derivative of the map there.
    """

    at: float
    slope: float

    @property
    def is_stable(self) -> bool:
        """Return whether values nearby are drawn to it: the derivative's size is below 1."""
        return abs(self.slope) < 1

    @property
    def depth_scale(self) -> float:
        """Return the number of layers in which a small distance shrinks by e; infinite if it does not shrink."""
        if not self.is_stable:
            return math.inf
        return 0.0 if self.slope == 0 else -1 / math.log(abs(self.slope))


@dataclass(frozen=True)
class EdgePoint:
    """A point on the edge of chaos: χ₁ = 1 at a variance that the layers preserve.

    Attributes:
        sigma_w, sigma_b: the standard deviations of the weights, times the root of the width, and of the biases.
        q: the variance, V(q) = q.
        slope: V'(q).
    """

    sigma_w: float
    sigma_b: float
    q: float
    slope: float

    @property
    def is_stable(self) -> bool:
        """Return whether variances nearby are drawn to q: |V'(q)| < 1."""
        return abs(self.slope) < 1


@dataclass(frozen=True)
class MeanField:
    """The maps of one layer: activation f, weights of variance σ_w²/width, biases of variance σ_b²."""

    activation: Activation
    sigma_w: float
    sigma_b: float

    def variance(self, q: float) -> float:
        """Return V(q) = σ_b² + σ_w² E f(√q z)²."""
        return self.sigma_b**2 + self.sigma_w**2 * second_moment(self.activation, q)[0]

    def variance_slope(self, q: float) -> float:
        """Return V'(q)."""
        return self.sigma_w**2 * second_moment(self.activation, q)[1]

    def chi(self, q: float) -> float:
        """Return χ₁ = σ_w² E f'(√q z)², the factor of the squared gradient per layer, and C'(1) at V(q) = q."""
        return self.sigma_w**2 * slope_second_moment(self.activation, q)

    def correlation(self, c: float, *, q: float) -> float:
        """Return C(c), the next layer's correlation of two inputs of variance q."""
        formula = of_x(self.activation)
        mean = self._dual(formula, c, q=q)
        return (self.sigma_b**2 + self.sigma_w**2 * mean) / self.variance(q)

    def correlation_slope(self, c: float, *, q: float) -> float:
        """Return C'(c)."""
        slope = slope_of(differentiable(self.activation))
        return self.sigma_w**2 * self._dual(slope, c, q=q) * q / self.variance(q)

    def fixed_variances(self) -> tuple[FixedPoint, ...]:
        """Return the fixed points of V, the least first.

        If V is the identity, as for ReLU with σ_w = √2 and σ_b = 0, every variance is one and 1 stands for them.

        Raises:
            NoMoment: E f² does not exist or cannot be computed.
        """
        found = [] if self.sigma_b or value_at(of_x(self.activation), 0.0) else [0.0]

        def excess(q: float) -> float:
            return self.variance(q) / q - 1

        found += _roots(excess, _variances(self.sigma_b))
        return tuple(FixedPoint(q, _whole(self.variance_slope(q))) for q in found)

    def fixed_correlations(self, q: float) -> tuple[FixedPoint, ...]:
        """Return the fixed points of C from 0 to 1, at a fixed point q of V: 1, and one below 1 if χ₁ > 1.

        Raises:
            NoMoment: E f'² does not exist or cannot be computed.
            BadInput: q is not a positive fixed point of V.
        """
        if not q > 0 or abs(self.variance(q) / q - 1) > 1e-8:
            raise BadInput(f"q must be a positive fixed point of V; got {q:g}. `fixed_variances()` finds them.")
        whole = FixedPoint(1.0, self.chi(q))
        # C has only powers with coefficients of at least 0, so a second fixed point exists only if C'(1) > 1
        below = _roots(lambda c: self.correlation(c, q=q) - c, (0.0, 1 - 1e-7)) if whole.slope > 1 + _NOISE else []
        return *(FixedPoint(c, self.correlation_slope(c, q=q)) for c in below), whole

    def _dual(self, formula: Expr, c: float, *, q: float) -> float:
        act = self.activation
        return dual_of_pair(formula, q, q, c * q, cut_like=of_x(act), owner=f"{act.label}: the dual activation")


def mean_field(
    formula: str | Activation | AxisActivation, *, sigma_w: float, sigma_b: float = 0.0, **params: float
) -> MeanField:
    """Return the maps of variance and correlation through one layer of an infinitely wide network.

    Raises:
        BadInput: the activation has more than one input, or a standard deviation is not finite and at least 0.

    Source:
        Schoenholz et al. 2017, arXiv:1611.01232.

    Example:
        >>> [point.at for point in mean_field("relu", sigma_w=2**0.5).fixed_variances()]
        [0.0, 1.0]
    """
    act = of_one_input(formula, params)
    return MeanField(act, admitted(sigma_w, name="sigma_w"), admitted(sigma_b, name="sigma_b"))


def edge_of_chaos(formula: str | Activation | AxisActivation, sigma_b: float, **params: float) -> list[EdgePoint]:
    """Return the points on the edge of chaos for biases of standard deviation `sigma_b`, the smallest variance first.

    There the layers preserve a variance, V(q) = q, and the squared gradient at it, χ₁ = 1. A point that is not stable
    is a poor initialization: variances nearby move away from q. V'(q) = 1 does not count as stable. The list is empty
    if there is no such point. Variances up to 10,000 (1 + σ_b²) are searched, as far as the moments exist. If V is the
    identity there, as for ReLU without biases, the point stands for every variance and has q = 1.

    Args:
        formula: an activation of one input, its name, or a formula as text.
        sigma_b: the standard deviation of the biases.
        params: values for the activation's parameters.

    Raises:
        NoMoment: E f² or E f'² does not exist, as for a function that jumps, or cannot be computed.
        BadInput: the activation has more than one input, or `sigma_b` is not finite and at least 0.

    Source:
        Schoenholz et al. 2017, arXiv:1611.01232; Hayou et al. 2019, arXiv:1902.06853.

    Example:
        >>> [(round(point.sigma_w, 4), point.is_stable) for point in edge_of_chaos("gelu", sigma_b=0.2)]
        [(1.547, False)]
    """
    act = of_one_input(formula, params)
    bias = admitted(sigma_b, name="sigma_b")

    def excess(q: float) -> float:
        slope = slope_second_moment(act, q)
        return (bias**2 + second_moment(act, q)[0] / slope) / q - 1 if slope else math.inf

    found = _roots(excess, _variances(bias))
    if not found and bias == 0 and value_at(of_x(act), 0.0) == 0 and slope_second_moment(act, 0.0) > 0:
        found = [0.0]
    points = []
    for q in found:
        field = MeanField(act, 1 / math.sqrt(slope_second_moment(act, q)), bias)
        points.append(EdgePoint(field.sigma_w, bias, q, _whole(field.variance_slope(q))))
    return points


def _whole(slope: float) -> float:
    """Return the derivative, 1 if it is 1 but for rounding."""
    return 1.0 if abs(slope - 1) < _NOISE else slope


def second_moment(act: Activation, q: float) -> tuple[float, float]:
    """Return E f(√q z)² and its derivative by q."""
    formula = of_x(act)
    if q == 0:
        return value_at(formula, 0.0) ** 2, slope_second_moment(act, 0.0)
    panels = panels_of(formula, formula, _positive(q), owner=f"{act.label}: E f²")
    squares, z = panels.values**2, panels.places
    return float(squares.sum()), float(squares @ (z * z - 1)) / (2 * q)


def slope_second_moment(act: Activation, q: float) -> float:
    """Return E f'(√q z)², at q = 0 its limit: the mean of the squares of the derivatives on both sides of 0."""
    formula = differentiable(act)
    slope = slope_of(formula)
    if q == 0:
        found = (value_at(slope, -_BESIDE) ** 2 + value_at(slope, _BESIDE) ** 2) / 2
        if not math.isfinite(found):
            raise NoMoment(f"{act.label}: E f'² has no finite limit as q goes to 0.")
        return found
    panels = panels_of(slope, formula, _positive(q), owner=f"{act.label}: E f'²")
    return float(panels.values @ panels.values)


def _positive(q: float) -> float:
    if not 0 < q < math.inf:
        raise BadInput(f"q, the variance of the input, must be finite and at least 0; got {q!r}.")
    return q


def _variances(sigma_b: float) -> Floats:
    """Return the variances between which fixed points are searched, from σ_b², below which there is none."""
    least = max(sigma_b**2, _LEAST) if sigma_b else _LEAST
    start = [sigma_b**2] if 0 < sigma_b**2 < _LEAST else []
    return np.array([*start, *np.geomspace(least, _MOST * (1 + sigma_b**2), _STEPS)])


def _roots(function: Callable[[float], float], places: Sequence[float] | Floats) -> list[float]:
    """Return the roots between the places, as far as the function exists; 1.0 alone if it is 0 everywhere.

    Raises:
        NoMoment: the function does not exist at the first place.
    """
    from scipy.optimize import brentq  # half a second that only a search pays

    values: list[float] = []
    for place in map(float, places):
        try:
            values.append(function(place))
        except NoMoment:
            if not values:
                raise
            break
    signs = [0 if abs(value) < _NOISE else math.copysign(1, value) for value in values]
    if not any(signs):
        return [1.0]
    roots = []
    for (left, before), (right, after) in pairwise(zip(map(float, places), signs, strict=False)):
        if before * after < 0:
            roots.append(float(brentq(function, left, right, xtol=1e-15 * right, rtol=1e-14)))
        elif after == 0 and before:
            roots.append(right)
    return roots
