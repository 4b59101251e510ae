"""The atoms of the reference, in float64 and in long double, against fifty digits."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from mpmath import mp, mpf

from actlab.formula.expr import Call, Expr, Input, Number
from actlab.lower import to_mpmath
from actlab.measure.accuracy.atoms import ATOMS, spherical_bessel
from actlab.measure.accuracy.error_bounds import ROUNDINGS

X = Input("x")
KINDS = (np.float64, np.longdouble)


def places(name: str) -> np.ndarray:
    random = np.random.default_rng(3)
    x = np.concatenate([random.normal(size=25) * 3, random.normal(size=15) * 15, random.normal(size=10) * 0.01])
    if name in ("log", "sqrt"):
        return np.abs(x)
    return np.where(x < -1, -x, x) if name == "log1p" else x


def exact_of(call: Expr, x: np.ndarray) -> list[mpf]:
    function = to_mpmath.program([call], [X]).function
    return [function(mpf(float(each))) for each in x]


def as_exact(value: np.floating) -> mpf:
    high = float(value)
    return mpf(high) + mpf(float(value - type(value)(high)))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("name", ATOMS)
def test_every_atom_is_right_to_the_roundings_that_are_taken_for_granted(name: str, kind: type) -> None:
    x = places(name)
    with mp.workdps(50):
        for place, found, wanted in zip(x, ATOMS[name](x.astype(kind)), exact_of(Call(name, (X,)), x), strict=True):
            if abs(wanted) > mpf(10) ** -300:
                off = abs(as_exact(found) - wanted) / abs(wanted) / mpf(float(np.finfo(kind).eps))
                assert off <= ROUNDINGS, f"{name}({place!r}) is {float(off):.1f} roundings off"


@pytest.mark.parametrize("order", [0, 1, 2])
def test_spherical_bessel_functions_are_right_to_a_few_roundings_of_their_size(order: int) -> None:
    x = places("sin")
    call = Call("spherical_bessel", (Number(Fraction(order)), X))
    with mp.workdps(50):
        for place, found, wanted in zip(x, spherical_bessel(order, x), exact_of(call, x), strict=True):
            size = abs(wanted) if abs(place) < 1 else min(1, 2 / abs(place))
            assert abs(mpf(float(found)) - wanted) <= 4 * ROUNDINGS * mpf(2) ** -52 * size


def test_infinities_and_nan() -> None:
    ends = np.array([-np.inf, np.inf, np.nan])
    with np.errstate(invalid="ignore"):
        assert ATOMS["normal_cdf"](ends).tolist()[:2] == [0.0, 1.0]
        assert ATOMS["erf"](ends).tolist()[:2] == [-1.0, 1.0]
        assert ATOMS["sigmoid"](ends).tolist()[:2] == [0.0, 1.0]
        assert all(np.isnan(ATOMS[name](ends)[2]) for name in ATOMS)
