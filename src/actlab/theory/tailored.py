"""Transformed activations with which deep networks without shortcuts train: Deep Kernel Shaping and TAT.

The transformed activation is γ (f(α x + β) + δ). For two inputs whose variance is 1 and whose correlation is c, one
layer with random weights changes the variance q by Q(q) = E f̂(√q z)² and the correlation by C(c) = E f̂(u) f̂(v).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import final

import numpy as np

from actlab.errors import BadInput, NoMoment
from actlab.formula.activation import Activation
from actlab.formula.expr import Expr, Number
from actlab.formula.substitute import substitute
from actlab.formula.text import text
from actlab.theory.affine import line_of
from actlab.theory.evaluate import Floats, X, evaluator, of_x, slope_of
from actlab.theory.gaussian import cuts_of
from actlab.theory.jumps import first_jump
from actlab.theory.pieces import pieces
from actlab.theory.quadrature import legendre

# Nodes of the means: panels of half a standard deviation, and between the kinks.
_REACH, _WIDTH, _ORDER = 12.0, 0.5, 24
# Where the search for α and β starts.
_SCALES, _SHIFTS = (0.06, 0.3, 1.2, 4.0), (0.02, 0.3, -0.3, 0.6, -0.6, 1.2, -1.2, 2.0, -2.0)
# A condition holds if it is off by less than this.
_HOLDS = 1e-10
# Solutions at places where f is much flatter than elsewhere have unstable variances, and γ is huge there: √E f'² must
# be above this share of the largest |f'| from -1 to 1. The authors of TAT refuse γ α > 2, for functions whose f' is 1.
_FLATTEST_DKS, _FLATTEST_TAT = 0.2, 0.5
_STEEP_WITHIN = np.linspace(-1.0, 1.0, 401)


@final
@dataclass(frozen=True)
class Transform:
    """The transformed activation γ (f(α x + β) + δ), and what it does to variance and correlation.

    Attributes:
        alpha, beta, gamma, delta: the constants.
        activation: the transformed activation.
        q: Q(1), the variance after one layer.
        q_slope: Q'(1).
        c_at_zero: C(0).
        c_slope: C'(1).
        c_curvature: C''(1); None if E f''² does not exist.
        negative_slope: of a leaky ReLU; None for others.
    """

    alpha: float
    beta: float
    gamma: float
    delta: float
    activation: Activation
    q: float
    q_slope: float
    c_at_zero: float
    c_slope: float
    c_curvature: float | None
    negative_slope: float | None = None


@final
@dataclass(frozen=True)
class _Moments:
    """Means over a standard normal z, with x = α z + β: of f, its variance, f'², (f − E f) f' z, f' z and f''²."""

    mean: float
    variance: float
    slope: float
    product: float
    tilt: float
    curvature: float


def deep_kernel_shaping(act: Activation, c_slope: float) -> Transform:
    """Return the transform with Q(1) = 1, Q'(1) = 1, C(0) = 0 and C'(1) = `c_slope`.

    Of a leaky ReLU, the slope below 0 is chosen in place of α and β. ReLU has only one constant left, so Q'(1) then
    differs from 1. Among several solutions, that with the smallest shift |β| is taken.

    Raises:
        NoMoment: the moments do not exist, or no constants fulfill the conditions.
        BadInput: the activation is a straight line or has two inputs, or the slope is not above 1.

    Source:
        Martens et al. 2021, arXiv:2110.01765.
    """
    if not 1 < c_slope < math.inf:
        raise BadInput(f"DKS: C'(1) must be above 1; got {c_slope:g}.")
    means = _means_of(act, needs_curvature=False)
    lines = half_lines(act)
    if lines is not None and 0 not in lines:
        return _shaped_leaky_relu(c_slope)
    if lines is not None:
        alpha, beta = _along_alpha(act, means, c_slope)
    else:

        def off(alpha: float, beta: float) -> tuple[float, float]:
            found = means(alpha, beta)
            return (
                alpha**2 * found.slope / found.variance - c_slope,
                alpha * found.product / found.variance - 1,
            )

        admits = _where_steep(act, means, _FLATTEST_DKS)
        alpha, beta = _solved(act, off, admits, goal=f"DKS with C'(1) = {c_slope:.6g}")
    found = means(alpha, beta)
    return _transform(act, alpha, beta, 1 / math.sqrt(found.variance), -found.mean)


def tailored_smooth(act: Activation, c_curvature: float) -> Transform:
    """Return the transform with Q(1) = 1, Q'(1) = 1, C'(1) = 1 and C''(1) = `c_curvature`.

    Raises:
        NoMoment: a moment does not exist, as E f''² for a function with kinks, or no constants fulfill the conditions.
        BadInput: the activation is a straight line or has two inputs, or the curvature is not above 0.

    Source:
        Zhang et al. 2022, arXiv:2203.08120.
    """
    if not 0 < c_curvature < math.inf:
        raise BadInput(f"TAT: C''(1) must be above 0; got {c_curvature:g}.")
    means = _means_of(act, needs_curvature=True)
    admits = _where_steep(act, means, _FLATTEST_TAT)

    def shifted(alpha: float, beta: float, sign: int) -> tuple[_Moments, float]:
        """Return the moments, and the mean of f + δ with which Q(1) = 1."""
        found = means(alpha, beta)
        return found, sign * math.sqrt(max(alpha**2 * found.slope - found.variance, 0.0))

    best: tuple[float, float, int] | None = None
    for sign in (1, -1):

        def off(alpha: float, beta: float, sign: int = sign) -> tuple[float, float]:
            found, mean = shifted(alpha, beta, sign)
            return (
                alpha**2 * found.curvature / found.slope / c_curvature - 1,
                (found.product + mean * found.tilt) / (alpha * found.slope) - 1,
            )

        try:
            alpha, beta = _solved(act, off, admits, goal="TAT")
        except NoMoment:
            continue
        if best is None or _rank((alpha, beta)) < _rank(best[:2]):
            best = alpha, beta, sign
    if best is None:
        raise NoMoment(_none(act, f"TAT with C''(1) = {c_curvature:.6g}"))
    alpha, beta, sign = best
    found, mean = shifted(alpha, beta, sign)
    return _transform(act, alpha, beta, 1 / (alpha * math.sqrt(found.slope)), mean - found.mean)


def tailored_leaky_relu(negative_slope: float) -> Transform:
    """Return the leaky ReLU with Q(q) = q for every q.

    Source:
        Zhang et al. 2022, arXiv:2203.08120.

    Example:
        >>> round(tailored_leaky_relu(0.6291800290346146).gamma, 12)
        1.196996549779
    """
    from actlab.catalog.index import get

    act = get("leaky_relu", negative_slope=negative_slope)
    assert isinstance(act, Activation)
    return _transform(act, 1.0, 0.0, math.sqrt(2 / (1 + negative_slope**2)), 0.0, negative_slope=negative_slope)


def leaky_correlation(c: float, negative_slope: float) -> float:
    """Return C(c) of a leaky ReLU, in closed form.

    Example:
        >>> round(leaky_correlation(0.0, 0.0), 8)
        0.31830989
    """
    c = min(max(c, -1.0), 1.0)
    share = (1 - negative_slope) ** 2 / (math.pi * (1 + negative_slope**2))
    return c + share * (math.sqrt((1 - c) * (1 + c)) - c * math.acos(c))


def half_lines(act: Activation) -> tuple[float, float] | None:
    """Return the slopes on both sides of 0 of a function of two different half-lines through 0; None for others.

    Example:
        >>> from actlab.catalog.index import get
        >>> half_lines(get("leaky_relu")), half_lines(get("tanh"))
        ((0.01, 1.0), None)
    """
    found = pieces(of_x(act)) if len(act.inputs) == 1 else None
    if found is None or len(found) != 2 or found[0].upper != 0:
        return None
    lines = [line_of(piece.formula) for piece in found]
    if any(line is None or line.intercept for line in lines):
        return None
    left, right = (float(line.slope) for line in lines if line is not None)
    return None if left == right else (left, right)


def _means_of(act: Activation, *, needs_curvature: bool) -> Callable[[float, float], _Moments]:
    """Return the moments as a function of α and β.

    Raises:
        NoMoment: f or f' jumps where the square of a derivative is needed.
        BadInput: f is a straight line or has two inputs.
    """
    if len(act.inputs) != 1:
        raise BadInput(f"{act.label} has {len(act.inputs)} inputs; this needs an activation of one input.")
    formula = of_x(act)
    if line_of(formula) is not None:
        raise BadInput(f"{act.label} is a straight line; nothing can be tailored.")
    jump = first_jump(formula)
    if jump is not None:
        raise NoMoment(f"{act.label}: E f'² does not exist: {jump}.")
    slope = slope_of(formula)
    if needs_curvature and (jump := first_jump(slope)) is not None:
        raise NoMoment(f"{act.label}: E f''² does not exist: f' jumps. TAT needs a smooth function or a leaky ReLU.")
    outputs = (formula, slope, slope_of(slope)) if needs_curvature else (formula, slope)
    evaluate, cuts = evaluator(outputs), np.array(cuts_of(formula, 1.0))

    def means(alpha: float, beta: float) -> _Moments:
        z, weights = _nodes((cuts - beta) / alpha)
        values, slopes, *rest = evaluate(alpha * z + beta)
        mean = float(weights @ values)
        centered = values - mean
        return _Moments(
            mean,
            float(weights @ centered**2),
            float(weights @ slopes**2),
            float(weights @ (centered * slopes * z)),
            float(weights @ (slopes * z)),
            float(weights @ rest[0] ** 2) if rest else math.nan,
        )

    return means


def _nodes(cuts: Floats) -> tuple[Floats, Floats]:
    """Return places of a standard normal variable and their weights, with panels that end at the cuts."""
    inside = cuts[np.abs(cuts) < _REACH]
    ends = np.unique(np.concatenate([np.arange(-_REACH, _REACH + _WIDTH / 2, _WIDTH), inside]))
    nodes, weights = legendre(_ORDER)
    lower, width = ends[:-1, None], np.diff(ends)[:, None]
    z = lower + width * nodes
    return z.ravel(), (width * weights * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)).ravel()


def _shaped_leaky_relu(c_slope: float) -> Transform:
    """Return the leaky ReLU that is shifted to mean 0 and has the slope C'(1) = `c_slope`, where Q'(1) = 1."""
    from scipy.optimize import brentq

    from actlab.catalog.index import get

    def moments(slope: float) -> tuple[float, float]:
        mean, second = (1 - slope) / math.sqrt(2 * math.pi), (1 + slope**2) / 2
        return mean, second - mean**2

    def off(slope: float) -> float:
        return (1 + slope**2) / 2 / moments(slope)[1] - c_slope

    if off(0.0) < 0:
        raise NoMoment(f"leaky_relu: no slope from 0 to 1 fulfills the conditions of DKS with C'(1) = {c_slope:g}.")
    slope = float(brentq(off, 0.0, 1.0, xtol=1e-15, rtol=1e-14))
    mean, variance = moments(slope)
    act = get("leaky_relu", negative_slope=slope)
    assert isinstance(act, Activation)
    return _transform(act, 1.0, 0.0, 1 / math.sqrt(variance), -mean, negative_slope=slope)


def _along_alpha(act: Activation, means: Callable[[float, float], _Moments], c_slope: float) -> tuple[float, float]:
    """Return α and a shift of 1, or else -1, with the slope C'(1); of half-lines only their ratio matters."""
    from scipy.optimize import brentq

    def off(alpha: float, beta: float) -> float:
        found = means(alpha, beta)
        return alpha**2 * found.slope / found.variance - c_slope

    scales = np.geomspace(1e-2, 1e3, 200)
    for beta in (1.0, -1.0):
        values = [off(float(scale), beta) if means(float(scale), beta).variance > 0 else math.nan for scale in scales]
        for at in range(len(scales) - 1):
            if values[at] * values[at + 1] < 0:
                return float(brentq(off, scales[at], scales[at + 1], args=(beta,), xtol=1e-15, rtol=1e-14)), beta
    raise NoMoment(_none(act, f"DKS with C'(1) = {c_slope:.6g}"))


def _solved(
    act: Activation,
    off: Callable[[float, float], tuple[float, float]],
    admits: Callable[[float, float], bool],
    *,
    goal: str,
) -> tuple[float, float]:
    """Return α and β at which both conditions hold: of several solutions the one with the smallest |β|."""
    found = [pair for pair in _solutions(off) if admits(*pair)]
    if not found:
        raise NoMoment(_none(act, goal))
    return min(found, key=_rank)


def _none(act: Activation, goal: str) -> str:
    return (
        f"{act.label}: no constants fulfill the conditions of {goal} where the function is not flat. A network that is"
        " not deep asks for much of each layer: choose a smaller zeta or tau."
    )


def _where_steep(
    act: Activation, means: Callable[[float, float], _Moments], share: float
) -> Callable[[float, float], bool]:
    """Return whether f is not much flatter around β than elsewhere."""
    steepest = float(np.nanmax(np.abs(evaluator((slope_of(of_x(act)),))(_STEEP_WITHIN)[0])))
    return lambda alpha, beta: math.sqrt(means(alpha, beta).slope) > share * steepest


def _rank(pair: tuple[float, float]) -> tuple[float, bool]:
    """Return what orders solutions: the size of the shift, of two mirrored ones the positive."""
    return round(abs(pair[1]), 7), pair[1] < 0


def _solutions(off: Callable[[float, float], tuple[float, float]]) -> Iterator[tuple[float, float]]:
    from scipy.optimize import root

    def of_logarithm(place: Floats) -> Floats:
        if not -7 < place[0] < 3 or abs(place[1]) > 20:
            return np.array([10.0 + abs(place[0]), 10.0 + abs(place[1])])
        try:
            values = np.array(off(math.exp(place[0]), float(place[1])))
        except (ZeroDivisionError, OverflowError, ValueError):  # where f is constant in double precision
            return np.array([10.0, 10.0])
        return np.where(np.isfinite(values), values, 10.0)

    for scale, shift in product(_SCALES, _SHIFTS):
        solution = root(of_logarithm, [math.log(scale), shift], tol=1e-14)
        if np.abs(solution.fun).max() < _HOLDS:
            yield math.exp(solution.x[0]), float(solution.x[1])


def _transform(
    act: Activation, alpha: float, beta: float, gamma: float, delta: float, *, negative_slope: float | None = None
) -> Transform:
    formula = of_x(act)
    inner = formula if (alpha, beta) == (1.0, 0.0) else substitute(formula, {X: _number(alpha) * X + _number(beta)})
    outer: Expr = inner if delta == 0 else inner + _number(delta)
    outer = _number(gamma) * outer
    transformed = _typed(act, outer, alpha, beta, gamma, delta)
    has_curvature = first_jump(slope_of(formula)) is None
    found = _means_of(act, needs_curvature=has_curvature)(alpha, beta)
    mean = found.mean + delta
    return Transform(
        alpha,
        beta,
        gamma,
        delta,
        transformed,
        q=gamma**2 * (found.variance + mean**2),
        q_slope=gamma**2 * alpha * (found.product + mean * found.tilt),
        c_at_zero=(gamma * mean) ** 2,
        c_slope=gamma**2 * alpha**2 * found.slope,
        c_curvature=gamma**2 * alpha**4 * found.curvature if has_curvature else None,
        negative_slope=negative_slope,
    )


def _typed(act: Activation, outer: Expr, alpha: float, beta: float, gamma: float, delta: float) -> Activation:
    """Return the transformed activation; its name is a formula that `actlab.get` reads."""
    from actlab.catalog.index import NAMES, get

    is_plain = NAMES.get(act.name) == act
    inner = "x" if (alpha, beta) == (1.0, 0.0) else f"{alpha!r}*x {_signed(beta)}"
    shifted = f"{act.name}({inner})" if delta == 0 else f"({act.name}({inner}) {_signed(delta)})"
    found = get(f"{gamma!r}*{shifted}" if is_plain else text(outer))
    assert isinstance(found, Activation)
    return found


def _signed(value: float) -> str:
    return f"{'-' if value < 0 else '+'} {abs(value)!r}"


def _number(value: float) -> Expr:
    """Return the shortest decimal that is this double."""
    return Number(Fraction(repr(value)))
