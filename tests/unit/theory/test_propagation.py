"""A batch of signals through an activation, against the exact dual activation and differences of it."""

from __future__ import annotations

import numpy as np
import pytest

from actlab.catalog.index import get
from actlab.errors import NoMoment
from actlab.theory.dual import dual
from actlab.theory.evaluate import Floats, of_x, slope_of
from actlab.theory.propagation import passed

FORMULAS = ("relu", "tanh", "gelu", "hard_tanh", "x**2*tanh(x)", "sin(2*x) + 0.3")


def covariance_of(inputs: int, *, seed: int = 0) -> Floats:
    """Inputs of unlike lengths that have something in common."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(inputs, 40)) * np.exp(rng.normal(size=(inputs, 1)) / 2) + rng.normal(size=40)
    found: Floats = rows @ rows.T / 40
    return found


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_batch_passes_as_the_exact_dual_says(formula: str) -> None:
    act, covariance = get(formula), covariance_of(6)
    found, x = passed(act, covariance), of_x(act)
    exact = dual(x, covariance, cut_like=x, owner="")
    assert np.allclose(found.covariance, exact, rtol=1e-4, atol=1e-5 * np.abs(exact).max())
    slopes = np.diagonal(dual(slope_of(x), covariance, cut_like=x, owner=""))
    assert np.allclose(found.slopes, slopes, rtol=1e-4)


@pytest.mark.parametrize("formula", ["tanh", "gelu", "relu"])
def test_derivatives_are_those_of_differences(formula: str) -> None:
    act, step = get(formula), 1e-4
    covariance = np.full((3, 3), 0.5) + np.eye(3)
    apart = ~np.eye(3, dtype=bool)
    found = passed(act, covariance)
    more = passed(act, covariance + step * np.eye(3)).square - passed(act, covariance - step * np.eye(3)).square
    assert found.of_variance == pytest.approx(more / (2 * step), rel=1e-5)
    up, down = (passed(act, covariance + sign * step * apart).covariance[apart].mean() for sign in (1, -1))
    assert found.of_covariance == pytest.approx((up - down) / (2 * step), rel=1e-3)


def test_inputs_that_are_zero_or_alike() -> None:
    found = passed(get("softplus"), np.zeros((2, 2)))
    assert np.allclose(found.covariance, np.log(2) ** 2)
    assert np.allclose(passed(get("relu"), np.ones((3, 3))).covariance, 0.5)


def test_a_moment_that_does_not_exist_is_refused() -> None:
    with pytest.raises(NoMoment, match="E f²"):
        passed(get("exp(x**2)"), np.eye(2))
    assert np.isnan(passed(get("sign(x)"), np.eye(2)).slopes).all()
