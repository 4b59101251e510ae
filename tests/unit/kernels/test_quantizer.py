"""Step tables: the errors published beforehand, an optimum that no other choice beats, and what is refused."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from actlab.catalog.index import CATALOG, get
from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.kernels import step_table
from actlab.kernels.fewbit.derivative_samples import slope_function, slope_samples
from actlab.kernels.fewbit.quantizer import _segments, _variances, cheapest_path, spread_levels
from actlab.theory.properties import properties

# Squared error of the best table on [-10, 10], 2001 points, for 1 to 4 bits: computed independently.
KNOWN = {
    "gelu": (0.141059, 0.040564, 0.011897, 0.003135),
    "silu": (0.214985, 0.047856, 0.017017, 0.004462),
    "tanh": (1.011646, 0.113575, 0.025883, 0.006471),
    "hardswish": (0.502509, 0.254167, 0.055831, 0.010251),
}
SINGLE = [act for act in CATALOG.values() if isinstance(act, Activation) and len(act.inputs) == 1]


@pytest.mark.parametrize(("name", "bits"), [(name, bits) for name in KNOWN for bits in (1, 2, 3, 4)])
def test_the_errors_are_the_known_ones(name: str, bits: int) -> None:
    borders, levels, error = step_table(name, bits)
    assert len(borders) == 2**bits - 1
    assert len(levels) == 2**bits
    assert list(borders) == sorted(borders)
    assert error == pytest.approx(KNOWN[name][bits - 1], rel=0.01)


@pytest.mark.parametrize("name", ["gelu", "x*sigmoid(1.3*x)", "relu6", "sin(x)/2"])
def test_the_error_is_that_of_the_table_itself(name: str) -> None:
    table = step_table(name, 3)
    places = np.linspace(-10, 10, 40001)  # twenty times as fine as the grid of the table
    slopes = slope_function(step_activation(name))(places)
    found = np.array(table.levels)[np.searchsorted(table.borders, places, side="right")]
    assert ((slopes - found) ** 2).mean() * 20 == pytest.approx(
        table.error, rel=0.02, abs=6e-4
    )  # the place of a kink itself


def step_activation(name: str) -> Activation:
    act = get(name)
    assert isinstance(act, Activation)
    return act


def test_no_other_cuts_are_better() -> None:
    rng = np.random.default_rng(0)
    slopes, weights = rng.normal(size=9), rng.uniform(0.1, 1, size=9)  # not monotone, unevenly weighted

    def error(cuts: tuple[int, ...]) -> float:
        parts = np.split(np.arange(9), cuts)
        means = [np.average(slopes[part], weights=weights[part]) for part in parts]
        return sum(
            float((weights[part] * (slopes[part] - mean) ** 2).sum()) for part, mean in zip(parts, means, strict=True)
        )

    costs, _ = _segments(slopes, weights)
    found = cheapest_path(costs, edges=4)
    best = min(combinations(range(1, 9), 3), key=error)
    assert tuple(found[1:-1]) == best


def test_no_other_levels_vary_less() -> None:
    rng = np.random.default_rng(1)
    slopes, weights = np.sort(rng.normal(size=9)), rng.uniform(0.1, 1, size=9)

    def variance(inner: tuple[int, ...]) -> float:
        levels = slopes[[0, *inner, 8]]
        at = np.clip(np.searchsorted(levels, slopes, side="right") - 1, 0, len(levels) - 2)
        return float((weights * (slopes - levels[at]) * (levels[at + 1] - slopes)).sum())

    found = cheapest_path(_variances(slopes, weights), edges=3)
    assert tuple(found[1:-1]) == min(combinations(range(1, 8), 2), key=variance)


def test_a_piecewise_linear_function_loses_nothing() -> None:
    borders, levels, error = step_table("relu", 1)
    assert (borders, levels, error) == ((0.0,), (0.0, 1.0), 0.0)
    assert step_table("hard_tanh", 2).error == 0.0


def test_both_sides_of_a_kink_count_half() -> None:
    samples = slope_samples(step_activation("hard_tanh"), density=None, span=(-10, 10), points=2001)
    assert len(samples.places) == 2003
    assert samples.weights.sum() == 2001
    twice = np.flatnonzero(np.diff(samples.places) == 0)
    assert samples.places[twice].tolist() == [-1.0, 1.0]
    assert samples.slopes[twice].tolist() == [0.0, 1.0]
    assert samples.slopes[twice + 1].tolist() == [1.0, 0.0]


def test_a_density_puts_the_steps_where_the_inputs_are() -> None:
    noise = torch.randn(20000, generator=torch.Generator().manual_seed(0)) * 0.5
    narrow, even = step_table("gelu", 3, density=noise), step_table("gelu", 3)
    by_formula = step_table("gelu", 3, density=lambda x: np.exp(-2 * x * x))
    measured = slope_samples(step_activation("gelu"), density=noise, span=(-10, 10), points=2001)

    def mean_square(table: tuple[tuple[float, ...], tuple[float, ...], float]) -> float:
        found = np.array(table[1])[np.searchsorted(table[0], measured.places, side="right")]
        return float((measured.weights * (measured.slopes - found) ** 2).sum())

    assert mean_square(narrow) == pytest.approx(narrow.error, rel=0.05)
    assert mean_square(narrow) < mean_square(even) / 2
    np.testing.assert_allclose(narrow.levels[1:-1], by_formula.levels[1:-1], atol=0.05)


def test_spread_levels_enclose_every_slope() -> None:
    for name, low, high in (("tanh", 0, 1), ("softplus", 0, 1), ("gelu", -0.1289041, 1.1289041)):
        levels = spread_levels(name, 3).levels
        assert (levels[0], levels[-1]) == pytest.approx((low, high), abs=1e-5)
        assert list(levels) == sorted(levels)


@pytest.mark.parametrize("act", SINGLE, ids=str)
def test_what_has_no_bounded_derivative_is_refused(act: Activation) -> None:
    known = properties(act).lipschitz
    if known == float("inf") and properties(act).smoothness != -1:  # a jump has a slope on either side
        with pytest.raises(BadInput, match="no bound"):
            slope_samples(act, density=None, span=(-10, 10), points=2001)
    else:
        slope_samples(act, density=None, span=(-10, 10), points=2001)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: step_table("gelu", 5), "bits must be 1, 2, 3 or 4; got 5."),
        (lambda: step_table("gelu", True), "bits must be 1, 2, 3 or 4; got True."),
        (lambda: step_table("x**2", 2), "the derivative of x**2 has no bound: it grows with |x|"),
        (lambda: step_table("x*log(abs(x)+1)", 2), "the derivative of x*log(abs(x)+1) has no bound"),
        (lambda: step_table("sqrt(x)", 2), "the derivative of sqrt(x) is nan at x = -10"),
        (lambda: step_table("sqrt(abs(x - 0.123456))", 2), "has no bound near x = 0.12"),
        (lambda: step_table("swiglu", 2), "swiglu has 2 inputs; a step table needs an activation of one input."),
        (lambda: step_table("softmax", 2), "softmax acts along an axis"),
        (lambda: step_table("gelu", 2, span=(1, 1)), "span must be two finite numbers, the lower first; got (1, 1)."),
        (lambda: step_table("gelu", 2, points=10**6), "points must be an integer from 3 to 4001; got 1000000."),
        (lambda: step_table("gelu", 4, points=16), "points must be more than 2**bits = 16; got 16."),
        (lambda: step_table("gelu", 2, density=[]), "density must be a non-empty array of finite inputs"),
        (lambda: step_table("gelu", 2, density=[float("nan")]), "density must be a non-empty array of finite inputs"),
        (lambda: step_table("gelu", 2, density=lambda x: -x), "density must be a non-empty array of finite inputs"),
    ],
)  # fmt: skip
def test_invalid_arguments_are_errors(call: object, message: str) -> None:
    with pytest.raises(BadInput) as error:
        call()
    assert message in str(error.value)
