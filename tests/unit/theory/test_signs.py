"""Signs, zeros, greatest values and limits of formulas whose answer is known by hand."""

from __future__ import annotations

import math

import pytest

from actlab.formula.expr import Expr
from actlab.formula.parser import parse
from actlab.theory import extremes
from actlab.theory.evaluate import Floats
from actlab.theory.extremes import greatest, least
from actlab.theory.limits import asymptote, limit_far, limit_near
from actlab.theory.pieces import no_zeros_told, pieces
from actlab.theory.record import Asymptote, Unknown
from actlab.theory.signs import period, signs, zeros

INF = math.inf


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x*x - 2", [-math.sqrt(2), math.sqrt(2)]),
        ("x**3", [0.0]),
        ("x*x", [0.0]),
        ("(x - 1)*(x - 1)*(x + 3)", [-3.0, 1.0]),
        ("exp(x) - 2", [math.log(2)]),
        ("1 + exp(-x)", []),
        ("tanh(1000000*x - 1)", [1e-6]),
        ("exp(-(x - 500)**2) - 0.5", [500 - math.sqrt(math.log(2)), 500 + math.sqrt(math.log(2))]),
        ("x - tanh(x)", [0.0]),
        ("sigmoid(x)*(1 + x*sigmoid(-x))", [-1.2784645427610738]),
    ],
)
def test_every_zero_is_found(text: str, expected: list[float]) -> None:
    found = zeros(parse(text), -INF, INF)
    assert found == pytest.approx(tuple(expected), rel=1e-14, abs=0)


@pytest.mark.parametrize("text", ["sin(x)", "sin(1/x)", "x*cos(x)", "sin(x)**2 + cos(x)**2 - 1"])
def test_endless_or_hidden_zeros_are_not_guessed(text: str) -> None:
    assert zeros(parse(text), -INF, INF) is None


def test_runs_have_the_sign_of_the_formula() -> None:
    found = signs(parse("x*x*x - x"), -INF, INF)
    assert found is not None
    assert [run.sign for run in found] == [-1, 1, -1, 1]


def test_period_of_sines_of_straight_lines() -> None:
    assert period(parse("sin(2*x) + cos(3*x)")) == pytest.approx(2 * math.pi)
    assert period(parse("x + sin(x)")) is None
    assert period(parse("sin(x*x)")) is None


def test_search_for_the_greatest_value_is_bounded_by_its_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty sines of unlike speeds: 20,000 boxes of them would take half a minute."""
    boxes = 0
    real = extremes.tight_bounds

    def counted(formula: Expr, slope: Expr | None, low: Floats, high: Floats) -> tuple[Floats, Floats]:
        nonlocal boxes
        boxes += low.size
        return real(formula, slope, low, high)

    monkeypatch.setattr(extremes, "tight_bounds", counted)
    assert greatest(parse(" + ".join(f"sin({speed}.1*x)/{speed}" for speed in range(1, 60)))) is None
    assert 0 < boxes < 10_000


def test_greatest_value_and_its_place() -> None:
    assert greatest(parse("exp(-(x - 2)**2)*3")) == pytest.approx((3.0, 2.0), rel=1e-12)
    assert least(parse("sinc(x)")) == pytest.approx((-0.21723362821122166, 4.493409457909064), rel=1e-12)
    assert greatest(parse("x")) is None


@pytest.mark.parametrize(
    ("text", "left", "right"),
    [
        ("x*sigmoid(x)", 0.0, INF),
        ("atan(x)", -math.pi / 2, math.pi / 2),
        ("x + 1 - x", 1.0, 1.0),
        ("x*(sqrt(1 + 1/(x*x)) - 1)*x", 0.5, 0.5),
        ("log(1 + abs(x))", INF, INF),
        ("exp(exp(x))", 1.0, INF),
        ("x*sin(1/x)", 1.0, 1.0),
        ("1/x", 0.0, 0.0),
    ],
)
def test_limits(text: str, left: float, right: float) -> None:
    assert (limit_far(parse(text), -1), limit_far(parse(text), 1)) == pytest.approx((left, right), rel=1e-15)


@pytest.mark.parametrize(
    "text", ["sin(x)", "cos(x)", "x*cos(x)", "1/log(2 + abs(x))", "log(x - 1e300)", "sinc(pi*x)*x"]
)
def test_no_limit_is_claimed_where_there_is_none(text: str) -> None:
    assert isinstance(limit_far(parse(text), 1), Unknown)


def test_limits_at_a_pole() -> None:
    assert limit_near(parse("1/x"), 0.0, -1) == -INF
    assert limit_near(parse("log(x)"), 0.0, 1) == -INF
    assert limit_near(parse("x*log(x)"), 0.0, 1) == 0.0
    assert isinstance(limit_near(parse("sin(1/x)"), 0.0, 1), Unknown)


def test_asymptotes() -> None:
    assert asymptote(parse("x*sigmoid(x)"), 1) == Asymptote(1.0, 0.0)
    assert asymptote(parse("(3*x*x + x)/(x + 1)"), 1) == Asymptote(3.0, -2.0)
    assert asymptote(parse("x*x"), 1) is None
    assert isinstance(asymptote(parse("x + sin(x)"), 1), Unknown)


def test_pieces_are_cut_in_exact_arithmetic() -> None:
    found = pieces(parse("where(abs(3*x - 1) <= 1, x, max(x, 5))"))
    assert found is not None
    assert [piece.lower for piece in found] == [-INF, 0.0, 2 / 3, 5.0]
    assert pieces(parse("where(x*x <= 1, x, 0)"), zeros=no_zeros_told) is None
    cut = pieces(parse("where(x*x <= 2, x, 0)"), zeros=zeros)
    assert cut is not None
    assert [piece.lower for piece in cut[1:]] == pytest.approx([-math.sqrt(2), math.sqrt(2)], rel=1e-15)
