"""The activations of 2018 to 2026, against their papers' formulas written out by hand in mpmath."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from mpmath import asinh, atan, cos, erf, exp, mp, mpf, ncdf, pi, sin, sqrt, tanh

import oracles
from actlab.catalog.index import CATALOG, get
from actlab.formula.activation import Activation
from actlab.formula.expr import Input


def sigmoid(x: mpf) -> mpf:
    return 1 / (1 + exp(-x))


def clip(x: mpf, low: mpf, high: mpf) -> mpf:
    return min(max(x, low), high)


def power_gate(z: mpf, m: mpf) -> mpf:
    return (z ** (m / (sqrt(z) + 1)) if z > 0 else z) * sigmoid(z)


# As the source writes it: inputs by position (a gated unit's value before its gate), parameters by name.
BY_HAND: dict[str, Callable[..., mpf]] = {
    "leaky_relu2": lambda x, *, negative_slope: max(x, negative_slope * x) ** 2,
    "pact": lambda x, *, alpha: (abs(x) - abs(x - alpha) + alpha) / 2,
    "smooth_relu2": lambda x, *, a: x * (x + sqrt(x**2 + a**2)) / 2,
    "arcsinh": lambda x, *, k: asinh(k * x),
    "softcap": lambda x, *, cap: cap * tanh(x / cap),
    "golu": lambda x: x * exp(-exp(-x)),
    "iglu": lambda x, *, sigma: x * (mpf(1) / 2 + atan(sigma * x) / pi),
    "b_silu": lambda x, *, alpha: (x + alpha) * sigmoid(x) - alpha / 2,
    "situ": lambda x, *, beta: beta * tanh(x / beta) * sigmoid(x),
    "xgelu": lambda x, *, alpha: x * (ncdf(x) * (1 + 2 * alpha) - alpha),
    "xsilu": lambda x, *, alpha: x * (sigmoid(x) * (1 + 2 * alpha) - alpha),
    "xatlu": lambda x, *, alpha: x * ((atan(x) + pi / 2) / pi * (1 + 2 * alpha) - alpha),
    "acon_c": lambda x, *, p1, p2, beta: (p1 * x - p2 * x) * sigmoid(beta * (p1 * x - p2 * x)) + p2 * x,
    "smu": lambda x, *, alpha, mu: ((1 + alpha) * x + (1 - alpha) * x * erf(mu * (1 - alpha) * x)) / 2,
    "dynamic_isru": lambda x, *, beta, scale: scale * x / sqrt(beta + x**2),
    "cauchy": lambda x, *, lambda1, lambda2, d: lambda1 * x / (x**2 + d**2) + lambda2 / (x**2 + d**2),
    "snake_beta": lambda x, *, alpha, beta: x + sin(alpha * x) ** 2 / beta,
    "hosc": lambda x, *, beta, omega: tanh(beta * sin(omega * x)),
    "gabor": lambda x, *, omega, scale: cos(omega * x) * exp(-((scale * x) ** 2)),
    "limited_swiglu": lambda u, g, *, limit: min(g, limit) * sigmoid(min(g, limit)) * clip(u, -limit, limit),
    "step_swiglu": lambda u, g, *, limit: min(g * sigmoid(g), limit) * clip(u, -limit, limit),
    "situ_glu": lambda u, g, *, beta, value_cap: beta * tanh(g / beta) * sigmoid(g) * value_cap * tanh(u / value_cap),
    "powlu": lambda u, g, *, m: u * power_gate(g, m),
    "drelu_glu": lambda u, g: max(u, 0) * max(g, 0),
    "relu2_glu": lambda u, g: u * max(g, 0) ** 2,
    "gtu": lambda u, g: tanh(u) * sigmoid(g),
}

# Of what the formula computes in powers that end: iglu's tail on the left is a series.
CLOSE = mpf(10) ** -17


def at_defaults(name: str, *inputs: float) -> mpf:
    """The formula by hand, at the catalog's own parameter values."""
    return BY_HAND[name](*map(mpf, inputs), **{param.name: exactly(param.exact) for param in CATALOG[name].params})


def exactly(value: object) -> mpf:
    return mpf(value.numerator) / value.denominator  # type: ignore[attr-defined]  # a fraction


def other_values(act: Activation) -> dict[str, float]:
    return {
        param.name: next(each for each in (param.value * 0.75 + 0.125, 0.5) if param.admits(each))
        for param in act.params
    }


@pytest.mark.parametrize("name", BY_HAND)
def test_formula_equals_the_sources(name: str) -> None:
    declared = CATALOG[name]
    assert isinstance(declared, Activation)
    draw = random.Random(name)
    with mp.workdps(oracles.DIGITS):
        for act in (declared, declared.bind(**other_values(declared))):
            value = oracles.exact([act.formula], [Input(each) for each in act.inputs])
            params = {param.name: exactly(param.exact) for param in act.params}
            for size in (0.1, 2, 12, 40, 1e6):
                at = [mpf(draw.uniform(-size, size)) for _ in act.inputs]
                wanted, (got,) = BY_HAND[name](*at, **params), value(*at)
                # 1e-400 is 0 in every format: left of -7 golu's tail has another exponent
                assert abs(got - wanted) <= CLOSE * abs(wanted) + mpf(10) ** -400, (
                    f"{act.label} at {at}: {got}, {wanted}"
                )


@pytest.mark.parametrize(
    ("name", "at", "value"),
    [
        ("powlu", (1, 1), 0.73106),
        ("powlu", (1, 4), 3.92806),
        ("powlu", (1, 100), 3.51119),
        ("powlu", (1, 12.897), 5.31634),
        ("situ", (-1.2189,), -0.26977),
        ("golu", (-0.567,), -0.09726),
        ("leaky_relu2", (-2,), 1.0),
    ],
)
def test_published_values(name: str, at: tuple[float, ...], value: float) -> None:
    act = CATALOG[name]
    assert isinstance(act, Activation)
    (got,) = oracles.exact([act.formula], [Input(each) for each in act.inputs])(*at)
    assert float(got) == pytest.approx(value, abs=6e-6)


def test_clamping_before_and_after_the_silu_differ_as_published() -> None:
    before, after = (
        oracles.exact([get(name, limit=7).formula], [Input("value"), Input("gate")])  # type: ignore[union-attr]  # pointwise
        for name in ("limited_swiglu", "step_swiglu")
    )
    largest = max(
        abs(before(1.0, gate)[0] - after(1.0, gate)[0]) for gate in (6.9, 6.99, 7.0, 7.005, 7.0064, 8.0, 20.0)
    )
    assert float(largest) == pytest.approx(6.4e-3, abs=5e-5)
