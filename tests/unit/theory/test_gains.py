"""Gaussian moments and gains against closed forms, published numbers and 50-digit quadrature."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
from mpmath import mp

from actlab.catalog.index import CATALOG
from actlab.errors import BadInput, BadParam, NoMoment
from actlab.formula.activation import Activation, typed
from actlab.formula.atoms import normal_cdf, sigmoid, softplus, tanh, where
from actlab.formula.expr import Expr, Input, number
from actlab.formula.parser import parse
from actlab.lower import to_mpmath
from actlab.theory.gains import computed, gain, kind_named, moments, stored

X = Input("x")
ALPHA, LAMBDA = number("1.6732632423543772848170429916717"), number("1.0507009873554804934193349852946")

# FACTS.md, section 1: E f, E f², Var f, E f'², second-moment, variance and backward gain, to 8 digits.
FACTS: dict[str, tuple[Expr, tuple[float, ...]]] = {
    "relu": (where(X <= 0, 0, X), (0.39894228, 0.5, 0.34084506, 0.5, 1.41421356, 1.71285855, 1.41421356)),
    "leaky_relu": (
        where(X <= 0, 0.01 * X, X),
        (0.39495286, 0.50005, 0.34406224, 0.50005, 1.41414286, 1.70483163, 1.41414286),
    ),
    "elu": (
        where(X <= 0, parse("expm1(x)"), X),
        (0.16052057, 0.64494542, 0.61917856, 0.66810200, 1.24519830, 1.27084342, 1.22342856),
    ),
    "selu": (
        LAMBDA * where(X <= 0, ALPHA * parse("expm1(x)"), X),
        (0.0, 1.0, 1.0, 1.07157499, 1.0, 1.0, 0.96602578),
    ),
    "gelu": (
        X * normal_cdf(X),
        (0.28209479, 0.42522148, 0.34564401, 0.45585087, 1.53353044, 1.70092624, 1.48111441),
    ),
    "silu": (
        X * sigmoid(X),
        (0.20662096, 0.35577552, 0.31308330, 0.37948235, 1.67653247, 1.78718722, 1.62332026),
    ),
    "mish": (
        X * tanh(softplus(X)),
        (0.24040389, 0.45234219, 0.39454816, 0.47908376, 1.48684758, 1.59202538, 1.44475523),
    ),
    "tanh": (tanh(X), (0.0, 0.39429449, 0.39429449, 0.46440290, 1.59253742, 1.59253742, 1.46741359)),
    "sigmoid": (sigmoid(X), (0.5, 0.29337904, 0.04337904, 0.04483624, 1.84622855, 4.80131337, 4.72264609)),
    "softplus": (
        softplus(X),
        (0.80605918, 0.92124591, 0.27151450, 0.29337904, 1.04186684, 1.91912598, 1.84622855),
    ),
}


def formula(text: str) -> Activation:
    return typed(text, parse(text))


@pytest.mark.parametrize("name", FACTS)
def test_published_moments_and_gains_to_their_eight_digits(name: str) -> None:
    expression, expected = FACTS[name]
    act = typed(name, expression)
    found = moments(act)
    kinds = ("second-moment", "variance", "backward")
    told = (found.mean, found.second, found.variance, found.slope_second, *(gain(act, kind=kind) for kind in kinds))
    assert told == pytest.approx(expected, rel=2e-8, abs=1e-8)


CLOSED = [
    ("where(x<=0, 0, x)", 1.0, "mean", 1 / math.sqrt(2 * math.pi)),
    ("where(x<=0, 0, x)", 9.0, "second", 4.5),
    ("x*normal_cdf(x)", 1.0, "mean", 1 / (2 * math.sqrt(math.pi))),
    ("erf(x)", 1.0, "second", 2 / math.pi * math.asin(2 / 3)),
    ("sin(x)", 1.0, "second", (1 - math.exp(-2)) / 2),
    ("sin(50*x)", 1.0, "second", 0.5),
    ("sin(50*x)", 1.0, "slope_second", 1250.0),
    ("sin(x)", 1e6, "second", 0.5),
    ("abs(sin(x))", 1.0, "second", (1 - math.exp(-2)) / 2),
    ("exp(x)", 1.0, "second", math.exp(2)),
    ("exp(x)", 1.0, "variance", math.exp(2) - math.exp(1)),
    ("exp(x)", 100.0, "second", math.exp(200)),
    ("x**4", 1.0, "second", 105.0),
    ("x**4", 1e10, "variance", 96e40),
    ("exp(x*x/8)", 1.0, "mean", 1 / math.sqrt(0.75)),
    ("exp(x*x/8)", 1.0, "second", math.sqrt(2)),
    ("sqrt(abs(x))", 1.0, "second", math.sqrt(2 / math.pi)),
    ("log(abs(x))", 1.0, "variance", math.pi**2 / 8),
    ("sign(x)", 1.0, "second", 1.0),
    ("where(x<=8, 0, 1)", 1.0, "mean", math.erfc(8 / math.sqrt(2)) / 2),
    ("where(x<=20, 0, 1)", 1.0, "second", math.erfc(20 / math.sqrt(2)) / 2),
    ("where(abs(x - 1/3) < 0.001, 1, 0)", 1.0, "mean", None),
    ("1000000 + x", 1.0, "variance", 1.0),
    ("1000 + where(x<=0, 0, x)", 1.0, "variance", 0.5 - 1 / (2 * math.pi)),
    ("value*gate", 2.0, "second", 4.0),
    ("-value*max(gate, 0)/3", 2.0, "variance", 2 / 9),
]


@pytest.mark.parametrize(("text", "q", "what", "expected"), CLOSED)
def test_closed_forms(text: str, q: float, what: str, expected: float | None) -> None:
    if expected is None:
        edges = [(1 / 3 + step) / math.sqrt(2) for step in (-0.001, 0.001)]
        expected = float(mp.erf(edges[1]) - mp.erf(edges[0])) / 2
    assert getattr(moments(formula(text), q), what) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    ("text", "q", "cuts"),
    [
        ("x*tanh(softplus(x))", 1.0, (0,)),
        ("x*sigmoid(1000*x)", 1.0, (-0.05, -0.005, 0, 0.005, 0.05)),
        ("where(x<=-3, 0, where(x>=3, x, x*(x+3)/6))", 0.3, (-3, 3)),
        ("where(x<=8, 0, x - 8)", 1.0, (8,)),
        ("1/(1+25*x*x)", 4.0, (-1, -0.1, 0, 0.1, 1)),
        ("tanh(x)", 1e-12, (0,)),
        ("x*tanh(exp(x))", 2.0, (0, 2)),
    ],
)
def test_mean_square_against_quadrature_with_50_digits(text: str, q: float, cuts: tuple[float, ...]) -> None:
    function = to_mpmath.program([parse(text)], [X]).function
    with mp.workdps(50):
        ends = [-40 * mp.sqrt(q), *(mp.mpf(cut) for cut in cuts), 40 * mp.sqrt(q)]
        ends = sorted({*ends, *(cut + step * mp.sqrt(q) for cut in cuts for step in (-3, -1, 1, 3))})
        square = mp.quad(lambda x: function(x) ** 2 * mp.npdf(x, 0, mp.sqrt(q)), ends)
    assert moments(formula(text), q).second == pytest.approx(float(square), rel=1e-10)


@pytest.mark.parametrize(
    ("text", "q"),
    [
        ("exp(x*x)", 1.0),
        ("exp(x*x/8)", 2.0),
        ("exp(x**4*0.00001)", 1.0),
        ("exp(exp(x))", 1.0),
        ("exp(exp(x))", 1e-4),
        ("exp(x)", 1e4),
        ("log(x)", 1.0),
        ("sqrt(x)", 1.0),
        ("log(50 - x)", 1.0),
        ("1/x", 1.0),
        ("1/(x - 1)", 1.0),
        ("sin(x)/cos(x)", 1.0),
        ("sin(1/x)", 1.0),
        ("abs(x)**-0.5", 1.0),
    ],
)
def test_a_moment_that_does_not_exist_is_refused(text: str, q: float) -> None:
    with pytest.raises(NoMoment, match="E f² at q="):
        moments(formula(text), q)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("sign(x)", "f jumps at x=0"),
        ("where(x<=30, 0, x)", "f jumps at x=30"),
        ("where(sin(x)>0, 1, 0)", "its conditions cannot be followed"),
        ("where(x<=0, 0, sqrt(x))", "does not settle near x=0"),
        ("value*sigmoid(gate)", "two derivatives"),
    ],
)
def test_slope_that_is_not_square_integrable_has_no_backward_gain(text: str, why: str) -> None:
    with pytest.raises(NoMoment, match=why):
        gain(formula(text), kind="backward")
    found = moments(formula(text))
    assert found.slope_second is None
    assert found.chi is None
    assert why in found.reason


def test_curved_condition_does_not_hide_whether_it_jumps() -> None:
    assert moments(formula("where(x*x<=1, x, sign(x))")).slope_second == pytest.approx(math.erf(1 / math.sqrt(2)))
    assert "f jumps at x=-1" in moments(formula("where(x*x<=1, x, 0)")).reason


def test_a_zero_moment_has_no_gain() -> None:
    with pytest.raises(NoMoment, match="E f² at q=1 is 0 in double precision"):
        gain(formula("where(x<=50, 0, x)"))
    with pytest.raises(NoMoment, match="Var f at q=1 is 0"):
        gain(formula("1 + 0*x"), kind="variance")


@pytest.mark.parametrize("q", [0, -1.0, math.inf, math.nan, True, "1"])
def test_q_must_be_a_variance(q: object) -> None:
    with pytest.raises(BadInput, match="q, the variance of the input, must be finite and above 0"):
        gain(formula("x"), q)  # type: ignore[arg-type]  # wrong on purpose


def test_kind_is_one_of_three() -> None:
    assert kind_named("second_moment") == "second-moment"
    with pytest.raises(BadInput, match="kind must be one of second-moment, variance, backward; got 'kaiming'"):
        gain(formula("x"), kind="kaiming")


def test_names_parameters_and_axis_activations() -> None:
    assert gain("swish", beta=1.5) == gain("x*sigmoid(1.5*x)") != gain("swish")
    with pytest.raises(BadParam):
        gain("relu", beta=1.5)
    with pytest.raises(BadInput, match="softmax acts along an axis"):
        gain("softmax")


def test_a_gated_unit_that_is_not_a_product_is_refused() -> None:
    with pytest.raises(NoMoment, match="a function of value times one of gate"):
        gain(formula("value*sigmoid(value + gate)"))


def test_json_has_every_moment() -> None:
    told = moments(formula("x"), 4.0).to_json()
    assert told["formula"] == "x"
    numbers = [told[name] for name in ("q", "mean", "second", "variance", "slope_second", "chi")]
    assert numbers == pytest.approx([4, 0, 4, 4, 1, 1])


@pytest.mark.parametrize("act", [act for act in CATALOG.values() if isinstance(act, Activation)], ids=str)
def test_what_is_stored_is_what_is_computed(act: Activation) -> None:
    try:
        fresh = computed(act, 1.0)
    except NoMoment:
        assert act.key not in stored()
        return
    assert act.key in stored(), "run python -m actlab.theory.generate"
    kept = moments(act)
    assert kept.reason == fresh.reason
    for name in ("mean", "second", "variance", "slope_second"):
        ours, theirs = getattr(kept, name), getattr(fresh, name)
        assert (ours is None) == (theirs is None)
        assert ours is None or ours == pytest.approx(theirs, rel=1e-12, abs=1e-14)


def test_the_catalogs_gains_need_no_scipy() -> None:
    code = "import sys, actlab; actlab.gain('gelu'); actlab.moments('mish'); print('scipy' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"
