"""Bounds hold for every number in a box: tried against values with sixty digits."""

from __future__ import annotations

import numpy as np
import pytest
from mpmath import mp

from actlab.catalog.index import CATALOG
from actlab.formula.activation import Activation
from actlab.formula.expr import Expr
from actlab.formula.parser import parse
from actlab.theory.bounded_mpmath import TooLarge
from actlab.theory.evaluate import Floats, of_x, slope_of
from actlab.theory.interval import bounds
from actlab.theory.multiprecision import precise

SINGLE = [act for act in CATALOG.values() if isinstance(act, Activation) and len(act.inputs) == 1]
TRICKY = [
    "x**7 - x**-3", "1/(x - 2)", "abs(x)**1.7", "x**x", "log(1 + x*x)", "sqrt(abs(x))*sign(x)", "cos(3*x)*sin(x)",
    "erfc(x)*normal_cdf(-x)", "max(x, min(x*x, 3))", "sinc(4*x)", "atan(x)/pi", "where(x*x <= 2, x**3, -x)", "x**1000",
]  # fmt: skip


def boxes() -> tuple[Floats, Floats]:
    random = np.random.default_rng(11)
    middles = np.concatenate([random.normal(size=14) * 3, random.normal(size=4) * 50, [0, 1, -1, 3, -3, -20, -720]])
    widths = np.exp(random.normal(size=middles.size) * 4 - 3) * (random.random(middles.size) > 0.2)
    return middles - widths, middles + widths


def escapes(formula: Expr, lower: Floats, upper: Floats, low: Floats, high: Floats) -> list[str]:
    """Places in a box at which the value is not within the bounds of that box."""
    function = precise(formula)
    found = []
    for a, b, least, most in zip(lower.tolist(), upper.tolist(), low.tolist(), high.tolist(), strict=True):
        for share in (0.0, 0.37, 1.0):
            place = min(max(a + (b - a) * share, a), b)
            try:
                value = function(place)
            except TooLarge:
                continue
            if value is not None and not mp.mpf(least) <= value <= mp.mpf(most):
                found.append(f"{mp.nstr(value, 20)} at {place!r} is outside [{least!r}, {most!r}]")
    return found


@pytest.mark.parametrize("formula", [*map(of_x, SINGLE), *map(parse, TRICKY)], ids=lambda formula: formula.digest[:8])
def test_bounds_hold_for_formula_and_slope(formula: Expr) -> None:
    lower, upper = boxes()
    for each in (formula, slope_of(formula)):
        told = bounds(each, lower, upper)
        assert not escapes(each, lower, upper, told.lower, told.upper)


def test_bounds_that_are_too_tight_are_detected() -> None:
    lower, upper = np.array([0.0]), np.array([1.0])
    assert escapes(parse("x*x"), lower, upper, np.array([0.0]), np.array([0.99]))


@pytest.mark.parametrize(
    ("text", "low", "high", "expected"),
    [
        ("x*x", -1.0, 2.0, (0.0, 4.0)),
        ("1/x", 0.0, 2.0, (0.5, np.inf)),
        ("sin(x)", 0.0, 2.0, (0.0, 1.0)),
        ("where(x <= 3, 1, 2)", 0.0, 3.0, (1.0, 1.0)),
        ("normal_pdf(x)", -1.0, 0.5, (0.24197072451914337, 0.3989422804014327)),
    ],
)
def test_bounds_are_tight_where_that_is_easy(text: str, low: float, high: float, expected: tuple[float, float]) -> None:
    told = bounds(parse(text), np.array([low]), np.array([high]))
    assert (told.lower[0], told.upper[0]) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_a_box_on_which_the_formula_may_be_undefined_is_not_sure() -> None:
    told = bounds(parse("log(x)"), np.array([-1.0, 0.0]), np.array([1.0, 1.0]))
    assert told.sure.tolist() == [False, True]
