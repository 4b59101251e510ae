"""Maps of variance and correlation, their fixed points, and the edge of chaos, against published numbers."""

from __future__ import annotations

import math

import pytest

from actlab import edge_of_chaos
from actlab.errors import BadInput, NoMoment
from actlab.theory.mean_field import FixedPoint, mean_field

# FACTS.md, section 4: σ_w and q on the edge at σ_b = .2, and stability.
EDGE = {
    "tanh": (1.30415, 0.5121, True),
    "elu": (1.22925, 1.1069, True),
    "selu": (0.93748, 0.7171, True),
    "gelu": (1.54701, 0.5756, False),
    "silu": (1.67953, 0.6895, False),
}


@pytest.mark.parametrize("name", EDGE)
def test_the_edge_equals_the_published_points(name: str) -> None:
    (point,) = edge_of_chaos(name, sigma_b=0.2)
    sigma_w, q, is_stable = EDGE[name]
    assert point.sigma_w == pytest.approx(sigma_w, abs=6e-6)
    assert point.q == pytest.approx(q, abs=6e-5)
    assert point.is_stable is is_stable
    field = mean_field(name, sigma_w=point.sigma_w, sigma_b=0.2)
    assert field.variance(point.q) == pytest.approx(point.q, rel=1e-12)
    assert field.chi(point.q) == pytest.approx(1, rel=1e-12)
    apart = 1e-4 * point.q
    slope = (field.variance(point.q + apart) - field.variance(point.q - apart)) / (2 * apart)
    assert point.slope == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("name", ["gelu", "silu", "mish"])
@pytest.mark.parametrize("sigma_b", [0.1, 0.15, 0.2])
def test_unstable_edges(name: str, sigma_b: float) -> None:
    (point,) = edge_of_chaos(name, sigma_b)
    assert 1.02 < point.slope < 1.11
    assert not point.is_stable


def test_edges_of_tanh_at_small_biases() -> None:
    (point,) = edge_of_chaos("tanh", math.sqrt(2.01052e-5))
    assert point.sigma_w**2 == pytest.approx(1.05, abs=1e-6)
    assert point.q == pytest.approx(0.02592095, abs=1e-7)
    (point,) = edge_of_chaos("tanh", math.sqrt(0.0498307))
    assert point.sigma_w**2 == pytest.approx(1.76, abs=1e-6)


@pytest.mark.parametrize("sigma_b", [0.05, 0.2, 1.0])
def test_softplus_has_no_edge(sigma_b: float) -> None:
    assert edge_of_chaos("softplus", sigma_b) == []


def test_relu_has_an_edge_only_without_biases() -> None:
    (point,) = edge_of_chaos("relu", 0.0)
    assert point.sigma_w == pytest.approx(math.sqrt(2))
    assert (point.q, point.slope) == (1.0, 1.0)
    assert edge_of_chaos("relu", 0.1) == []


def test_without_biases_the_edge_of_tanh_lies_at_variance_zero() -> None:
    (point,) = edge_of_chaos("tanh", 0.0)
    assert (point.sigma_w, point.q, point.slope) == (1.0, 0.0, 1.0)


def test_functions_without_an_edge_are_refused() -> None:
    with pytest.raises(NoMoment, match="jumps at x=0"):
        edge_of_chaos("sign(x)", 0.1)
    with pytest.raises(NoMoment, match="does not exist"):
        edge_of_chaos("exp(x**2)", 1.0)
    with pytest.raises(BadInput, match=r"sigma_b must be finite and at least 0; got -0.1"):
        edge_of_chaos("tanh", -0.1)
    with pytest.raises(BadInput, match="2 inputs"):
        edge_of_chaos("swiglu", 0.1)


def test_correlation_map_of_relu() -> None:
    field = mean_field("relu", sigma_w=math.sqrt(2))
    known = {1: 1 / math.pi, 2: 0.4937310901, 3: 0.6048257201, 10: 0.8715355160, 100: 0.9964231467}
    c = 0.0
    for layer in range(1, 101):
        c = field.correlation(c, q=1.0)
        assert c == pytest.approx(known.get(layer, c), abs=1e-9)


def test_fixed_points_in_the_chaotic_phase() -> None:
    field = mean_field("tanh", sigma_w=1.5, sigma_b=0.1)
    (variance,) = field.fixed_variances()
    assert field.variance(variance.at) == pytest.approx(variance.at, rel=1e-12)
    assert variance.is_stable
    below, one = field.fixed_correlations(variance.at)
    assert field.correlation(below.at, q=variance.at) == pytest.approx(below.at, rel=1e-9)
    assert one == FixedPoint(1.0, field.chi(variance.at))
    assert below.is_stable
    assert not one.is_stable
    assert one.depth_scale == math.inf
    # the distance shrinks by e in each depth scale
    c, layers = below.at + 1e-5, 8
    for _ in range(layers):
        c = field.correlation(c, q=variance.at)
    assert (c - below.at) / 1e-5 == pytest.approx(math.exp(-layers / below.depth_scale), rel=1e-3)


def test_fixed_points_in_the_ordered_phase() -> None:
    field = mean_field("tanh", sigma_w=0.9, sigma_b=0.2)
    (variance,) = field.fixed_variances()
    (one,) = field.fixed_correlations(variance.at)
    assert one.at == 1
    assert one.is_stable
    with pytest.raises(BadInput, match=r"q must be a positive fixed point of V; got 1\."):
        field.fixed_correlations(1.0)
