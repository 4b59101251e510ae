"""Dual activations and kernels against closed forms, published numbers and high-precision quadrature."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from mpmath import mp

from actlab import kernel
from actlab.catalog.index import get
from actlab.errors import BadInput, NoMoment
from actlab.formula.activation import Activation
from actlab.theory.dual import dual_of_pair
from actlab.theory.evaluate import of_x, slope_of

CORRELATIONS = (-1.0, -0.999, -0.6, 0.0, 0.3, 0.9, 0.96, 0.9999, 1 - 1e-9, 1.0)
Q1, Q2 = 2.0, 0.3

# FACTS.md, section 10: L, NNGP(x₁, x₂), NTK(x₁, x₂), NNGP(x₁, x₁), NTK(x₁, x₁).
FACTS = {
    "erf(x)": (1, 0.552644181851, 1.10796482379, 1.10782472518, 2.75611932158),
    "gelu": (3, 0.505962269086, 1.47751864777, 1.32085158573, 5.56181036308),
    "sin(x)": (1, 0.365566179197, 0.7912549057, 0.880099503006, 3.06859328277),
    "relu": (1, 0.978259463217, 1.57232767956, 2.215875, 4.39175),
    "where(x > 0, x, x/5)": (3, 0.904216996735, 2.52905383652, 1.85366507427, 7.19346471948),
    "cos(x)": (3, 0.845234977767, 1.38107067908, 0.993232472447, 3.33046973823),
    "tanh": (3, 0.346559309551, 1.24739291616, 0.600333918467, 2.88353416135),
    "silu": (1, 0.689676894886, 1.26068008209, 1.84620297394, 3.77263369142),
    "softplus": (3, 2.67547244528, 4.56893693694, 3.20012891401, 6.28873110706),
    "mish": (1, 0.833089561459, 1.51457195955, 2.12554291634, 4.33131187845),
}


def pair(text: str, correlation: float, *, q1: float = Q1, q2: float = Q2, derivative: bool = False) -> float:
    """E f(u) f(v), or E f'(u) f'(v)."""
    act = get(text)
    assert isinstance(act, Activation)
    formula = of_x(act)
    integrand = slope_of(formula) if derivative else formula
    return dual_of_pair(integrand, q1, q2, correlation * math.sqrt(q1 * q2), cut_like=formula, owner=text)


@pytest.mark.parametrize("name", FACTS)
def test_kernels_equal_the_published_numbers(name: str) -> None:
    inputs = np.array([[1, 0, 2, -1], [0.5, 1, 1, 0.25]])
    covariance = 0.04 + 1.69 * inputs @ inputs.T / 4
    depth, *expected = FACTS[name]
    both = [kernel(name, covariance, kind, depth=int(depth), sigma_w=1.3, sigma_b=0.2) for kind in ("nngp", "ntk")]
    found = [both[0][0, 1], both[1][0, 1], both[0][0, 0], both[1][0, 0]]
    assert found == pytest.approx(expected, rel=2e-11)  # they have twelve digits
    assert all((matrix == matrix.T).all() for matrix in both)


def angle(correlation: float) -> Any:
    return mp.acos(mp.mpf(correlation))


def relu(c: float) -> Any:
    return mp.sqrt(Q1 * Q2) * (mp.sin(angle(c)) + (mp.pi - angle(c)) * mp.mpf(c)) / (2 * mp.pi)


def erf(c: float, scale: float = 1.0) -> Any:
    q1, q2 = Q1 * scale**2, Q2 * scale**2
    return 2 / mp.pi * mp.asin(2 * mp.mpf(c) * mp.sqrt(q1 * q2) / mp.sqrt((1 + 2 * q1) * (1 + 2 * q2)))


CLOSED: dict[str, Callable[[float], Any]] = {
    "relu": relu,
    "erf(x)": erf,
    "erf(300*x)": lambda c: erf(c, 300.0),
    "sin(x)": lambda c: mp.exp(-(Q1 + Q2) / 2) * mp.sinh(mp.mpf(c) * mp.sqrt(Q1 * Q2)),
    "exp(x)": lambda c: mp.exp((Q1 + Q2) / 2 + mp.mpf(c) * mp.sqrt(Q1 * Q2)),
    "exp(3*x)": lambda c: mp.exp(9 * ((Q1 + Q2) / 2 + mp.mpf(c) * mp.sqrt(Q1 * Q2))),
    "sign(x)": lambda c: 2 / mp.pi * mp.asin(mp.mpf(c)),
    "abs(x)": lambda c: 2 * mp.sqrt(Q1 * Q2) / mp.pi * (mp.sin(angle(c)) + mp.mpf(c) * mp.asin(mp.mpf(c))),
    "x**3": lambda c: (9 * mp.mpf(c) + 6 * mp.mpf(c) ** 3) * mp.mpf(Q1 * Q2) ** 1.5,
}


@pytest.mark.parametrize("correlation", CORRELATIONS)
@pytest.mark.parametrize("text", CLOSED)
def test_closed_forms(text: str, correlation: float) -> None:
    with mp.workdps(40):
        # the pair's correlation, as covariance and variances in double precision have it
        rounded = correlation * math.sqrt(Q1 * Q2) / math.sqrt(Q1) / math.sqrt(Q2)
        expected = float(CLOSED[text](rounded if abs(correlation) < 1 else correlation))
    assert pair(text, correlation) == pytest.approx(expected, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("correlation", [0.5, 0.97])
def test_kinks_that_the_square_does_not_have(correlation: float) -> None:
    # |sin 5x| = 2/π - 4/π Σ cos(10 k x)/(4 k² - 1), and E cos(a u) cos(b v) is a product of exponentials
    k = np.arange(40)
    weights = -4 / np.pi / (4.0 * k**2 - 1)
    weights[0] = 2 / np.pi
    rates = 10.0 * k
    squares, products = np.add.outer(rates**2, rates**2) / 2, correlation * np.outer(rates, rates)
    means = (np.exp(products - squares) + np.exp(-products - squares)) / 2
    assert pair("abs(sin(5*x))", correlation, q1=1.0, q2=1.0) == pytest.approx(weights @ means @ weights, rel=1e-9)


def test_jumps_without_end() -> None:
    # the sum over the intervals with sin(x) > .3, with the inner integral in closed form
    jump, across = math.asin(0.3), mp.sqrt(0.75)
    spans = [(2 * math.pi * k + jump, 2 * math.pi * k + math.pi - jump) for k in range(-2, 2)]

    def integrand(z: Any) -> Any:
        places = [tuple((end - z / 2) / across for end in span) for span in spans]
        inner = mp.fsum(z / 2 * (mp.ncdf(b) - mp.ncdf(a)) - across * (mp.npdf(b) - mp.npdf(a)) for a, b in places)
        return z * inner * mp.npdf(z)

    expected = mp.fsum(mp.quad(integrand, [low, (low + high) / 2, high]) for low, high in spans)
    assert pair("where(sin(x) > 0.3, x, 0)", 0.5, q1=1.0, q2=1.0) == pytest.approx(float(expected), rel=1e-9)


def test_a_narrow_function() -> None:
    # the product of two Gaussian bumps and a normal density is a normal density once more
    covariance = np.array([[1.0, 1.94], [1.94, 4.0]])
    sum_of_both = covariance + np.eye(2) / 100
    determinant = float(np.linalg.det(sum_of_both))
    expected = math.exp(-float(np.ones(2) @ np.linalg.solve(sum_of_both, np.ones(2))) / 2) / (
        100 * math.sqrt(determinant)
    )
    assert pair("exp(-50*(x-1)**2)", 0.97, q1=1.0, q2=4.0) == pytest.approx(expected, rel=1e-9)
    assert pair("exp(-50*(x-1)**2)", 0.97, q1=4.0, q2=1.0) == pytest.approx(expected, rel=1e-9)


def test_products_that_count_where_neither_factor_does() -> None:
    # E exp(3u) exp(3v) of opposite inputs is e^0.09 and the root of the mean squares e^180
    assert pair("exp(3*x)", -0.999, q1=10.0, q2=10.0) == pytest.approx(math.exp(0.09), rel=1e-9)


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_derivatives_of_relu(correlation: float) -> None:
    with mp.workdps(40):
        rounded = correlation * math.sqrt(Q1 * Q2) / math.sqrt(Q1) / math.sqrt(Q2)
        expected = float((mp.pi - angle(rounded if abs(correlation) < 1 else correlation)) / (2 * mp.pi))
    assert pair("relu", correlation, derivative=True) == pytest.approx(expected, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize(
    ("text", "function"),
    [
        ("tanh", mp.tanh),
        ("gelu", lambda x: x * mp.ncdf(x)),
        ("softplus", lambda x: mp.log1p(mp.exp(x))),
        ("x*exp(-x**2)", lambda x: x * mp.exp(-x * x)),
    ],
)
def test_thirty_digits(text: str, function: Callable[[Any], Any]) -> None:
    # the trapezoid rule converges exponentially for analytic functions of normal variables
    correlation, step, reach = 0.7, 5, 46
    with mp.workdps(30):
        places = [mp.mpf(i) / step for i in range(-reach, reach + 1)]
        weights = [mp.npdf(z) / step for z in places]
        across = mp.sqrt(1 - mp.mpf(correlation) ** 2)

        def inner(z: Any) -> Any:
            others = [mp.sqrt(Q2) * (correlation * z + across * w) for w in places]
            return mp.fsum(b * function(other) for b, other in zip(weights, others, strict=True))

        expected = mp.fsum(a * function(mp.sqrt(Q1) * z) * inner(z) for a, z in zip(weights, places, strict=True))
    assert pair(text, correlation) == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("correlation", [-0.97, 0.96, 0.98, 0.99, 0.9999])
def test_many_kinks_against_a_fourier_series(correlation: float) -> None:
    # |sin 5x| = 2/π - (4/π) Σ cos(10 k x)/(4 k² - 1), and the means of products of cosines are known
    with mp.workdps(30):
        c, waves = mp.mpf(correlation), range(1, 80)
        shares = {0: 2 / mp.pi} | {k: -4 / mp.pi / (4 * k * k - 1) for k in waves}

        def mean(k: int, other: int) -> Any:
            a, b = 10 * k, 10 * other
            total = -mp.mpf(a * a + b * b) / 2
            return (mp.exp(total + a * b * c) + mp.exp(total - a * b * c)) / 2

        near = [(k, other) for k in shares for other in shares if abs(k - other) < 12]
        expected = mp.fsum(shares[k] * shares[other] * mean(k, other) for k, other in near)
    assert pair("abs(sin(5*x))", correlation, q1=1.0, q2=1.0) == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("correlation", [-0.98, 0.5, 0.97, 0.99999])
def test_kinks_away_from_zero(correlation: float) -> None:
    with mp.workdps(30):
        s = mp.sqrt(Q2) * mp.sqrt(1 - mp.mpf(correlation) ** 2)

        def clipped_mean(m: Any) -> Any:
            """E hardtanh of a normal variable with mean m and deviation s."""
            a, b = (-1 - m) / s, (1 - m) / s
            inner = m * (mp.ncdf(b) - mp.ncdf(a)) - s * (mp.npdf(b) - mp.npdf(a))
            return inner - mp.ncdf(a) + mp.ncdf(-b)

        def integrand(z: Any) -> Any:
            u = mp.sqrt(Q1) * z
            return max(-1, min(1, u)) * clipped_mean(mp.sqrt(Q2) * correlation * z) * mp.npdf(z)

        bend, width = 1 / (mp.sqrt(Q2) * abs(correlation)), s / mp.sqrt(Q2)
        near = [bend + width * k for k in (-9, -3, 0, 3, 9)]
        ends = sorted({mp.mpf(0), 1 / mp.sqrt(Q1), mp.mpf(12), *(place for place in near if 0 < place < 12)})
        expected = 2 * mp.quad(integrand, ends)  # both factors are odd
    assert pair("hardtanh", correlation) == pytest.approx(float(expected), rel=1e-9)


def test_pairs_of_a_matrix_are_computed_like_single_pairs() -> None:
    rows = np.random.default_rng(0).normal(size=(5, 3))
    covariance = rows @ rows.T
    whole = kernel("silu", covariance)
    for i, j in ((0, 1), (2, 4), (3, 3)):
        q1, q2 = covariance[i, i], covariance[j, j]
        single = pair("silu", covariance[i, j] / math.sqrt(q1 * q2), q1=q1, q2=q2)
        assert whole[i, j] == pytest.approx(single, rel=1e-10)


def test_inputs_without_variance() -> None:
    covariance = np.array([[0.0, 0.0], [0.0, 1.0]])
    found = kernel("sigmoid", covariance)
    assert found[0, 0] == 0.25
    assert found[0, 1] == pytest.approx(0.25, rel=1e-12)  # 1/2 times E sigmoid = 1/2
    assert kernel("relu", covariance, "ntk").tolist() == [[0.0, 0.0], [0.0, 1.0]]


def test_equal_and_opposite_inputs_are_exact() -> None:
    assert kernel("relu", [[1, 1], [1, 1]], "ntk") == pytest.approx(np.ones((2, 2)), rel=1e-13)
    assert kernel("relu", [[1, -1], [-1, 1]])[0, 1] == 0
    assert kernel("tanh", [[1, -1], [-1, 1]])[0, 1] == pytest.approx(-0.39429449, abs=1e-8)


def test_single_precision_and_tensors_are_read() -> None:
    rows = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    assert kernel("relu", rows @ rows.T).dtype == np.float64


@pytest.mark.parametrize("text", ["exp(x**2)", "1/x", "log(x)"])
def test_moments_that_do_not_exist(text: str) -> None:
    with pytest.raises(NoMoment, match=r"E f² at q=1 does not exist"):
        kernel(text, [[1.0, 0.5], [0.5, 1.0]])


def test_a_jump_has_no_tangent_kernel() -> None:
    with pytest.raises(NoMoment, match=r"jumps at x=0"):
        kernel("sign(x)", [[1.0]], "ntk")


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[1.0, 2.0, 3.0]], "square, n × n with at least one input; got 1 × 3"),
        (1.0, "got a single number"),
        ([], "square"),
        ([[1.0, 0.5], [0.4, 1.0]], r"symmetric; got 0.5 at \(0, 1\) and 0.4 at \(1, 0\)"),
        ([[1.0, 2.0], [2.0, 1.0]], "positive semi-definite, as a covariance is; got the eigenvalue -1"),
        ([[1.0, math.nan], [math.nan, 1.0]], "finite"),
        ([["a"]], "real numbers"),
        ([[1.0], [1.0, 2.0]], "real numbers"),
        ([[1j]], "real numbers"),
    ],
)
def test_bad_covariances(matrix: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        kernel("relu", matrix)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "cntk"}, "kind must be one of nngp, ntk; got 'cntk'"),
        ({"depth": 0}, "depth, the number of activation layers, must be a positive integer; got 0"),
        ({"sigma_w": -1.0}, "sigma_w must be finite and at least 0; got -1.0"),
        ({"sigma_b": math.inf}, "sigma_b must be finite"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        kernel("relu", [[1.0]], **options)


@pytest.mark.parametrize(("name", "message"), [("swiglu", "2 inputs"), ("softmax", "acts along an axis")])
def test_activations_of_more_than_one_input_are_refused(name: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        kernel(name, [[1.0]])
