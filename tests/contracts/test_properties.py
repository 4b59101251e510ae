"""What is stated of every activation holds where it is tried: values, slopes, kinks, limits, symmetry.

Each check gives the faults it finds, so that a property made wrong on purpose shows that it can fail. The values come
from the NumPy program, the statements from exact arithmetic, intervals and mpmath.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from actlab.catalog.index import CATALOG, get
from actlab.formula.activation import Activation
from actlab.formula.expr import Expr, Input
from actlab.lower import to_numpy
from actlab.theory.properties import properties
from actlab.theory.record import Extremum, Kink, Limits, Properties, Span, Unknown

Floats = NDArray[np.float64]
Check = Callable[[Activation, Properties], list[str]]

SINGLE = [act for act in CATALOG.values() if isinstance(act, Activation) and len(act.inputs) == 1]
# Rounding of a value, relative to 1 and to the value's own size.
CLOSE = 1e-9


def values(act: Activation, x: Floats, *, of: Expr | None = None) -> Floats:
    """The formula, or another one of the same input, by its NumPy program."""
    function = to_numpy.program([of or act.formula], [Input(act.inputs[0])]).function
    with np.errstate(all="ignore"):
        result = function(x)
    assert isinstance(result, np.ndarray)
    return result


def near() -> Floats:
    random = np.random.default_rng(7)
    return np.unique(np.concatenate([np.linspace(-12, 12, 4801), random.normal(size=2000) * 4, [-0.0, 1e-9, -1e-9]]))


def far() -> Floats:
    sizes = np.geomspace(12, 1e12, 400)
    return np.concatenate([-sizes[::-1], sizes])


def leaves_range(act: Activation, stated: Properties) -> list[str]:
    """Samples lie within the range, and come near both of its ends or grow without end."""
    x = np.concatenate([near(), far()])
    y = values(act, x)
    x, y = x[np.isfinite(y)], y[np.isfinite(y)]
    faults = []
    for name, bound, outwards in (("lower", stated.range.lower, -1), ("upper", stated.range.upper, 1)):
        if isinstance(bound, Unknown):
            continue
        edge = float((outwards * y).max())
        if edge > outwards * bound + CLOSE * (1 + abs(edge)):
            faults.append(f"{name} {bound} is passed: {outwards * edge}")
        reached = edge > 20 if math.isinf(bound) else edge > outwards * bound - 1e-3 * (1 + abs(bound))
        if not reached:
            faults.append(f"{name} {bound} is far from the samples: {outwards * edge}")
    return faults


def misses_extremum(act: Activation, stated: Properties) -> list[str]:
    faults = []
    for name, extremum in (("minimum", stated.minimum), ("maximum", stated.maximum)):
        if isinstance(extremum, Extremum):
            there = float(values(act, np.array([extremum.at]))[0])
            if abs(there - extremum.value) > CLOSE * (1 + abs(there)):
                faults.append(f"{name} {extremum} has the value {there}")
    for kind, found, side in (("minima", stated.minima, 1), ("maxima", stated.maxima, -1)):
        for extremum in found if isinstance(found, tuple) else ():
            around = values(act, extremum.at + np.array([-1e-3, 0.0, 1e-3]))
            if side * (around[[0, 2]].min() if side > 0 else around[[0, 2]].max()) < side * around[1] - 1e-12:
                faults.append(f"{kind}: {extremum} is passed beside it: {around}")
    return faults


def passes_lipschitz(act: Activation, stated: Properties) -> list[str]:
    """Difference quotients stay below the constant and come near it."""
    far_out = np.concatenate([-np.geomspace(1e4, 12, 200), np.geomspace(12, 1e4, 200)])
    x = np.unique(np.concatenate([near(), far_out, far_out + 1e-3]))
    y = values(act, x)
    keep = (np.diff(x) > 1e-6) & np.isfinite(y[1:]) & np.isfinite(y[:-1])
    steep = float(np.abs(np.diff(np.where(np.isfinite(y), y, 0.0))[keep] / np.diff(x)[keep]).max())
    constant = stated.lipschitz
    if isinstance(constant, Unknown):
        return []
    if math.isinf(constant):
        return [] if steep > 50 else [f"no slope above {steep} was seen, the constant is infinite"]
    faults = [] if steep <= constant * (1 + 1e-7) + 1e-7 else [f"{constant} is passed: {steep}"]
    return faults if steep >= constant * (1 - 2e-3) else [*faults, f"{constant} is far above every slope: {steep}"]


def is_not_as_said(act: Activation, stated: Properties) -> list[str]:
    """Monotone, convex, concave, odd, even, homogeneous hold on samples if stated, and fail on one if denied."""
    x = near()
    y = values(act, x)
    slack = CLOSE * (1 + np.abs(y))
    up, down = bool((np.diff(y) > slack[1:]).any()), bool((np.diff(y) < -slack[1:]).any())
    wide = np.linspace(-12, 12, 241)
    left, right = (grid.ravel() for grid in np.meshgrid(wide, wide))
    bend = values(act, (left + right) / 2) - (values(act, left) + values(act, right)) / 2
    size = CLOSE * (1 + np.abs(values(act, left)) + np.abs(values(act, right)))
    mirrored = values(act, -x)
    factors = np.array([0.3, 2.0, 7.5])[:, None]
    stretched = values(act, (factors * x).ravel()).reshape(3, -1) - factors * y
    seen = {
        "monotone": not (up and down),
        "convex": not (bend > size).any(),
        "concave": not (bend < -size).any(),
        "odd": bool((np.abs(y + mirrored) <= slack).all()),
        "even": bool((np.abs(y - mirrored) <= slack).all()),
        "homogeneous": bool((np.abs(stretched) <= 1e-8 * (1 + np.abs(factors * y))).all()),
    }
    claims = {name: getattr(stated, name) for name in seen}
    faults = [f"{name} is {said}" for name, said in claims.items() if isinstance(said, bool) and said != seen[name]]
    direction = int(up) - int(down)
    agrees = not stated.monotone or stated.direction == direction
    return faults if agrees else [*faults, f"direction is {stated.direction}"]


def one_sided(act: Activation, place: float) -> tuple[float, float]:
    step = 1e-6
    around = values(act, place + step * np.array([-2.0, -1.0, 1.0, 2.0]))
    return float(around[1] - around[0]) / step, float(around[3] - around[2]) / step


def hides_kink(act: Activation, stated: Properties) -> list[str]:
    """Slopes differ at each kink as said, and nowhere else: at whole numbers, halves and random places."""
    if isinstance(stated.kinks, Unknown):
        return []
    faults = []
    for kink in stated.kinks:
        for name, seen, said in zip(
            ("left", "right"), one_sided(act, kink.at), (kink.left_slope, kink.right_slope), strict=True
        ):
            if isinstance(said, float) and not abs(seen - said) < 1e-4 * (1 + abs(said)):
                faults.append(f"the {name} slope at {kink.at} is {seen}, not {said}")
        step = np.abs(np.diff(values(act, kink.at + np.array([-1e-9, 1e-9]))))[0]
        if kink.jumps != (step > 1e-4):
            faults.append(f"jumps is {kink.jumps} at {kink.at}, the step is {step}")
    places = np.concatenate([np.arange(-20, 20.5, 0.5), np.random.default_rng(3).normal(size=60) * 4])
    for place in places[[all(abs(place - kink.at) > 1e-4 for kink in stated.kinks) for place in places]].tolist():
        left, right = one_sided(act, place)
        if not abs(left - right) < 1e-3 * (1 + abs(left)):
            faults.append(f"slopes {left} and {right} at {place}, which is no kink")
    return faults


def strays_from_limit(act: Activation, stated: Properties) -> list[str]:
    faults = []
    for name, limit, side in (("left", stated.limits.left, -1), ("right", stated.limits.right, 1)):
        y = values(act, side * np.array([1e6, 1e9, 1e12]))
        if isinstance(limit, Unknown) or np.isnan(y).any():
            continue
        runs_away = bool((np.sign(y) == np.sign(limit)).all() and abs(y[2]) > 20)
        arrived = runs_away if math.isinf(limit) else bool(np.abs(y - limit).max() < 2e-6)
        if not arrived:
            faults.append(f"{name} limit {limit}, but {y}")
    return faults


def strays_from_asymptote(act: Activation, stated: Properties) -> list[str]:
    faults = []
    for line, side in ((stated.asymptotes.left, -1), (stated.asymptotes.right, 1)):
        x = side * np.array([1e6, 4e6])
        y = values(act, x)
        if line is not None and not isinstance(line, Unknown):
            apart = np.abs(y - line.slope * x - line.intercept)
            if not apart.max() < 1e-5:
                faults.append(f"{line} is {apart} away")
    return faults


def has_other_roots(act: Activation, stated: Properties) -> list[str]:
    """0 at each root; between neighbouring roots one sign."""
    if isinstance(stated.roots, Unknown):
        return []
    faults = []
    ends = [-1e3, *(end for root in stated.roots for end in (root.lower, root.upper)), 1e3]
    for root in stated.roots:
        inner = np.linspace(max(root.lower, -1e3), min(root.upper, 1e3), 9)[1:-1]
        if np.abs(values(act, inner)).max() > 1e-12:
            faults.append(f"{root} has the values {values(act, inner)}")
    spans = [(a, b) for a, b in pairwise(ends) if b > a and Span(a, b) not in stated.roots]
    for a, b in spans:
        inner = near()[(near() > a + 1e-3) & (near() < b - 1e-3)]
        signs = set(np.sign(values(act, inner)).tolist()) - {0.0}  # 0 is what underflows
        if len(signs) > 1:
            faults.append(f"more than one sign between {a} and {b}")
    return faults


def is_elsewhere_at_zero(act: Activation, stated: Properties) -> list[str]:
    zero = np.zeros(1)
    seen = {"value_at_zero": values(act, zero)[0], "derivative_at_zero": values(act, zero, of=act.derivative())[0]}
    return [
        f"{name} is {said}, not {seen[name]}"
        for name in seen
        if isinstance(said := getattr(stated, name), float) and abs(said - seen[name]) > CLOSE
    ]


CHECKS: tuple[Check, ...] = (
    leaves_range,
    misses_extremum,
    passes_lipschitz,
    is_not_as_said,
    hides_kink,
    strays_from_limit,
    strays_from_asymptote,
    has_other_roots,
    is_elsewhere_at_zero,
)


@pytest.mark.parametrize("act", SINGLE, ids=str)
def test_stated_properties_hold_at_samples(act: Activation) -> None:
    stated = properties(act)
    faults = [fault for check in CHECKS for fault in check(act, stated)]
    assert not faults, "\n".join(faults)


RELU, GELU, SIGMOID = (properties(name) for name in ("relu", "gelu", "sigmoid"))
SINNERS: list[tuple[str, Properties, Check]] = [
    ("gelu", replace(GELU, range=replace(GELU.range, lower=-0.1699)), leaves_range),
    ("gelu", replace(GELU, range=replace(GELU.range, lower=-0.18)), leaves_range),
    ("gelu", replace(GELU, range=replace(GELU.range, upper=1e13)), leaves_range),
    ("sigmoid", replace(SIGMOID, range=replace(SIGMOID.range, upper=math.inf)), leaves_range),
    ("gelu", replace(GELU, minimum=Extremum(-0.7517, -0.18)), misses_extremum),
    ("gelu", replace(GELU, minima=(Extremum(-0.74, -0.1699),)), misses_extremum),
    ("gelu", replace(GELU, lipschitz=1.1288), passes_lipschitz),
    ("gelu", replace(GELU, lipschitz=1.2), passes_lipschitz),
    ("gelu", replace(GELU, lipschitz=math.inf), passes_lipschitz),
    ("gelu", replace(GELU, monotone=True, direction=1), is_not_as_said),
    ("gelu", replace(GELU, convex=True), is_not_as_said),
    ("gelu", replace(GELU, odd=True), is_not_as_said),
    ("gelu", replace(GELU, homogeneous=True), is_not_as_said),
    ("relu", replace(RELU, homogeneous=False), is_not_as_said),
    ("relu", replace(RELU, monotone=False, direction=None), is_not_as_said),
    ("relu", replace(RELU, direction=-1), is_not_as_said),
    ("relu", replace(RELU, convex=False), is_not_as_said),
    ("relu", replace(RELU, kinks=()), hides_kink),
    ("relu", replace(RELU, kinks=(Kink(0.0, 0.0, 0.0, 0.0, 1.1, False),)), hides_kink),
    ("relu", replace(RELU, kinks=(Kink(0.0, 0.0, 0.0, 0.0, 1.0, True),)), hides_kink),
    ("sigmoid", replace(SIGMOID, limits=Limits(0.0, 1.0001)), strays_from_limit),
    ("sigmoid", replace(SIGMOID, limits=Limits(-math.inf, 1.0)), strays_from_limit),
    ("sigmoid", replace(SIGMOID, asymptotes=GELU.asymptotes), strays_from_asymptote),
    ("gelu", replace(GELU, roots=()), has_other_roots),
    ("gelu", replace(GELU, roots=(Span(0.0, 0.0), Span(1.0, 1.0))), has_other_roots),
    ("gelu", replace(GELU, derivative_at_zero=0.51), is_elsewhere_at_zero),
]


@pytest.mark.parametrize(("name", "stated", "check"), SINNERS)
def test_a_wrong_property_is_found(name: str, stated: Properties, check: Check) -> None:
    act = get(name)
    assert isinstance(act, Activation)
    assert check(act, stated)


INF = math.inf
# Derived by hand or published (FACTS.md, section 2). Range with what is taken, limits, Lipschitz constant, monotone,
# convex, smoothness (-2: unknown), kinks, roots (None: not looked at).
Row = tuple[str, tuple[float, float], float, bool, bool, float, tuple[float, ...], Sequence[float] | None]
TRUTH: dict[str, Row] = {
    "identity": ("(-inf, inf)", (-INF, INF), 1, True, True, INF, (), (0,)),
    "relu": ("[0, inf)", (0, INF), 1, True, True, 0, (0,), None),
    "relu6": ("[0, 6]", (0, 6), 1, True, False, 0, (0, 6), None),
    "leaky_relu": ("(-inf, inf)", (-INF, INF), 1, True, True, 0, (0,), (0,)),
    "elu": ("(-1, inf)", (-1, INF), 1, True, True, 1, (), (0,)),
    "selu": ("(-1.75809934084737, inf)", (-1.75809934084737, INF), 1.7580993408, True, False, 0, (0,), (0,)),
    "celu": ("(-1, inf)", (-1, INF), 1, True, True, 1, (), (0,)),
    "sigmoid": ("(0, 1)", (0, 1), 0.25, True, False, INF, (), ()),
    "log_sigmoid": ("(-inf, 0)", (-INF, 0), 1, True, False, INF, (), ()),
    "hard_sigmoid": ("[0, 1]", (0, 1), 1 / 6, True, False, 0, (-3, 3), None),
    "tanh": ("(-1, 1)", (-1, 1), 1, True, False, INF, (), (0,)),
    "hard_tanh": ("[-1, 1]", (-1, 1), 1, True, False, 0, (-1, 1), (0,)),
    "arctan": (f"({-math.pi / 2}, {math.pi / 2})", (-math.pi / 2, math.pi / 2), 1, True, False, INF, (), (0,)),
    "softsign": ("(-1, 1)", (-1, 1), 1, True, False, 1, (), (0,)),
    "erf": ("(-1, 1)", (-1, 1), 2 / math.sqrt(math.pi), True, False, INF, (), (0,)),
    "gelu": ("[-0.1699712075, inf)", (0, INF), 1.1289041452, False, False, INF, (), (0,)),
    "silu": ("[-0.2784645428, inf)", (0, INF), 1.0998393201, False, False, INF, (), (0,)),
    "mish": ("[-0.3088434130, inf)", (0, INF), 1.08849816, False, False, INF, (), (0,)),
    "hard_swish": ("[-0.375, inf)", (0, INF), 1.5, False, False, 0, (-3, 3), None),
    "softplus": ("(0, inf)", (0, INF), 1, True, True, INF, (), ()),
    "gaussian": ("(0, 1]", (0, 0), math.sqrt(2 / math.e), False, False, INF, (), ()),
    "bent_identity": ("(-inf, inf)", (-INF, INF), 1.5, True, True, -2, (), (0,)),
    "squareplus": ("(0, inf)", (0, INF), 1, True, True, -2, (), ()),
    "symlog": ("(-inf, inf)", (-INF, INF), 1, True, False, 1, (), (0,)),
    "relu2": ("[0, inf)", (0, INF), INF, True, True, 1, (), None),
    "exponential": ("(0, inf)", (0, INF), INF, True, True, INF, (), ()),
    "tanh_shrink": ("(-inf, inf)", (-INF, INF), 1, True, False, INF, (), (0,)),
    "soft_shrink": ("(-inf, inf)", (-INF, INF), 1, True, False, 0, (-0.5, 0.5), None),
    "hard_shrink": ("(-inf, inf)", (-INF, INF), INF, True, False, -1, (-0.5, 0.5), None),
    "threshold": ("[0, inf)", (0, INF), INF, True, False, -1, (1,), None),
    "lisht": ("[0, inf)", (INF, INF), 1.1996786402577338, False, False, INF, (), (0,)),
    "elish": ("[-0.1715728752538099, inf)", (0, INF), 1.0998393201, False, False, 1, (), (0,)),
    "sine": ("[-1, 1]", (math.nan, math.nan), 1, False, False, INF, (), None),
    "sinc": ("[-0.21723362821122166, 1]", (0, 0), 0.43618181727, False, False, INF, (), None),
    "snake": ("(-inf, inf)", (-INF, INF), 2, True, False, INF, (), (0,)),
}  # fmt: skip


def interval(stated: Properties) -> tuple[str, float, float, str]:
    extent = stated.range
    assert isinstance(extent.lower, float)
    assert isinstance(extent.upper, float)
    return "(["[extent.lower_attained is True], extent.lower, extent.upper, ")]"[extent.upper_attained is True]


@pytest.mark.parametrize("name", TRUTH)
def test_properties_derived_by_hand(name: str) -> None:
    written, limits, lipschitz, monotone, convex, smoothness, kinks, roots = TRUTH[name]
    stated = properties(name)
    lower, upper = written[1:-1].split(", ")
    left, least, greatest, right = interval(stated)
    assert (left, right) == (written[0], written[-1])
    assert (least, greatest) == pytest.approx((float(lower), float(upper)), rel=3e-10)
    for said, true in zip((stated.limits.left, stated.limits.right), limits, strict=True):
        assert isinstance(said, Unknown) if math.isnan(true) else said == pytest.approx(true, rel=1e-13)
    assert stated.lipschitz == pytest.approx(lipschitz, rel=5e-9)
    assert stated.monotone is monotone
    assert stated.convex is convex
    assert isinstance(stated.smoothness, Unknown) if smoothness == -2 else stated.smoothness == smoothness
    assert isinstance(stated.kinks, tuple)
    assert [kink.at for kink in stated.kinks] == list(kinks)
    if roots is not None:
        assert isinstance(stated.roots, tuple)
        assert [(root.lower, root.upper) for root in stated.roots] == [(place, place) for place in roots]


# FACTS.md, section 2: place and value of the minimum; place of the largest slope.
@pytest.mark.parametrize(
    ("name", "at", "value"),
    [
        ("gelu", -0.7517915247, -0.1699712075),
        ("silu", -1.2784645428, -0.2784645428),
        ("mish", -1.1924312145, -0.3088434130),
        ("hard_swish", -1.5, -0.375),
        ("relu", 0.0, 0.0),
    ],
)
def test_published_minima(name: str, at: float, value: float) -> None:
    found = properties(name).minimum
    assert isinstance(found, Extremum)
    assert (found.at, found.value) == pytest.approx((at, value), abs=6e-11)


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("relu", {0: 0}),
        ("relu6", {0: 0, 6: 0}),
        ("hard_tanh", {-1: 0, 1: 0}),
        ("leaky_relu", {0: 0.01}),
        ("selu", {0: 1.7580993408473773}),
        ("hard_swish", {-3: 0, 3: 1}),
        ("hard_sigmoid", {-3: 0, 3: 0}),
    ],
)
def test_derivative_at_kinks_equals_pytorchs(name: str, places: dict[float, float]) -> None:
    found = properties(name).kinks
    assert isinstance(found, tuple)
    assert {kink.at: kink.derivative for kink in found} == pytest.approx(places)
