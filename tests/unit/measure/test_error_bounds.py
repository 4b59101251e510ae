"""Values that know how wrong they may be."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from mpmath import mp, mpf

from actlab.catalog.index import CATALOG
from actlab.formula.activation import Activation
from actlab.formula.atoms import cos, exp, log, sign, sin, tanh, where
from actlab.formula.expr import Expr, Input
from actlab.measure.accuracy.error_bounds import evaluated, nearest
from actlab.measure.accuracy.multiprecision import exact

X = Input("x")
LARGEST, SMALLEST = mpf(2) ** 1023, mpf(2) ** -1074
SINGLE = [act for act in CATALOG.values() if isinstance(act, Activation) and len(act.inputs) == 1]


def told(formula: Expr, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found = evaluated([formula], {X: x})[formula]
    return found.value, found.error


@pytest.mark.parametrize("act", SINGLE, ids=str)
def test_no_error_exceeds_its_bound(act: Activation) -> None:
    random = np.random.default_rng(5)
    x = np.concatenate([random.normal(size=4) * 3, random.normal(size=2) * 30, [1e-9, -1e-9, 1e12, -1e12]])
    for formula in (act.formula, act.derivative()):
        values, errors = told(formula, x)
        function = exact(formula, (X,))
        for place, value, error in zip(x, values, errors, strict=True):
            wanted = function(float(place))
            if wanted is not None and np.isinf(value):
                assert not error <= 0 or abs(wanted) > LARGEST
            elif wanted is not None and np.isfinite(error):
                off = abs(mpf(float(value)) - wanted)
                assert off <= mpf(float(error)) + SMALLEST, f"{place!r}: {value!r} ± {error!r}"


@pytest.mark.parametrize(
    ("formula", "x"),
    [
        (sin(X * 3), 1e17),
        (where(X * X - 2 > 0, 1, 0), 2.0**0.5),
        (sign(tanh(X) - tanh(X + 1e-17)), 1.0),
        (log(1 + exp(-X)), 60.0),
        (cos(X) - cos(X + 1e-9), 1e-9),
    ],
)
def test_points_where_rounding_decides_are_in_doubt(formula: Expr, x: float) -> None:
    (value,), (error,) = told(formula, np.array([x]))
    assert not error <= abs(value) * 1e-8


def test_exact_operations_cost_nothing() -> None:
    _, errors = told(where(X <= 0, 0, 2 * X), np.array([-1.0, 0.0, 1e300, 3.0]))
    assert not errors.any()


def test_an_overflow_that_is_right_is_no_doubt() -> None:
    (value,), (error,) = told(exp(X) * X, np.array([1e9]))
    assert value == np.inf
    assert error == 0


@pytest.mark.parametrize("kind", [np.float64, np.longdouble], ids=lambda kind: kind.__name__)
def test_nearest_keeps_every_bit_of_the_kind(kind: type) -> None:
    assert nearest(Fraction(1, 3), np.dtype(kind)) == kind(1) / kind(3)
    with mp.workprec(300):
        assert nearest(mpf(5) / 2 * mpf(2) ** -1074, np.dtype(np.longdouble)) == np.ldexp(np.longdouble(2.5), -1074)
    assert nearest(mp.inf, np.dtype(kind)) == np.inf
