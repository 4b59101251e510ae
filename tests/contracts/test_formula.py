"""Is the formula right? Compared with its reference implementation or known values, never with itself."""

from __future__ import annotations

import math
import random
from functools import cache

import pytest
import torch
from mpmath import mp, mpf

import oracles
import tolerances
from actlab.catalog.index import CATALOG
from actlab.formula.activation import Activation, activation
from actlab.formula.along_axis import AxisActivation
from actlab.formula.atoms import erf, sqrt, where
from actlab.formula.derivative import derivative
from actlab.formula.expr import Expr, Input, ParamRef
from actlab.lower import to_mpmath, to_torch

POINTWISE = [act for act in CATALOG.values() if isinstance(act, Activation)]
ALONG_AXIS = [act for act in CATALOG.values() if isinstance(act, AxisActivation)]
WITH_REFERENCE = [act for act in POINTWISE if act.reference]
WITH_KNOWN = [act for act in POINTWISE if act.known]

VECTORS = [(1.0, 0.5, -1.0), (300.0, -2.0, 299.0, 300.0), (0.1,), (-1e30, 1e30, 0.0), (math.nan, 1.0, 2.0)]


def inputs(act: Activation) -> tuple[Input, ...]:
    return tuple(Input(name) for name in act.inputs)


def grid(act: Activation, *, largest: float = math.inf) -> list[torch.Tensor]:
    """The activation's points, each input's against each other's."""
    points = torch.tensor(oracles.points_for(act, largest=largest), dtype=torch.float64)
    return [
        column.contiguous()
        for column in torch.cartesian_prod(*[points] * len(act.inputs)).reshape(-1, len(act.inputs)).T
    ]


def check_against_reference(act: Activation) -> None:
    """The formula and its derivatives in double precision against the reference and its autograd, kinks included."""
    at = [column.requires_grad_() for column in grid(act, largest=math.inf if len(act.inputs) == 1 else 1e5)]
    theirs = oracles.reference(act)(*at)
    slopes = torch.autograd.grad(theirs.sum(), at)
    ours = to_torch.program([act.formula, *(act.derivative(name) for name in act.inputs), act.formula], inputs(act))
    results = ours.function(*(column.detach() for column in at))
    at = [column.detach() for column in at]
    refuse_distant(f"{act} value", results[0], theirs.detach(), at, relative=tolerances.TWIN_RELATIVE)
    relative, _ = tolerances.TWIN_SLOPES.get(act.name, (tolerances.TWIN_RELATIVE, ""))
    # no derivative is defined at NaN
    numbers = ~torch.stack(at).isnan().any(0)
    for name, got, wanted in zip(act.inputs, results[1:-1], slopes, strict=True):
        columns = [column[numbers] for column in at]
        refuse_distant(f"{act} by {name}", got[numbers], wanted[numbers], columns, relative=relative)


def refuse_distant(
    label: str, got: torch.Tensor, wanted: torch.Tensor, at: list[torch.Tensor], *, relative: float
) -> None:
    size = torch.stack([column.abs().clamp(max=1e5) for column in at]).prod(0).clamp(min=1).nan_to_num(1)
    near = (got - wanted).abs() <= relative * wanted.abs() + tolerances.TWIN_ABSOLUTE * size
    near |= (got == wanted) | (got.isnan() & wanted.isnan())
    # where the reference returns NaN for a number, it defines no answer
    wrong = ~near & (torch.stack(at).isnan().any(0) | ~wanted.isnan())
    rows = [(*(float(column[i]) for column in at), float(got[i]), float(wanted[i])) for i in wrong.nonzero()[:5, 0]]
    assert not rows, f"{label}: (inputs, ours, reference's) {rows}"


def check_against_known_values(act: Activation) -> None:
    value = oracles.exact([act.formula], inputs(act))
    assert len(act.known) >= 3
    for at, wanted in act.known:
        (got,) = value(*(at if isinstance(at, tuple) else (at,)))
        assert abs(got - wanted) <= tolerances.KNOWN * abs(wanted), f"{act} at {at}: {float(got)}, known {wanted}"


def check_against_derivative(act: Activation, slope: Expr, by: Input | ParamRef) -> None:
    """A derivative against the difference quotient of the formula, with 50 digits, at points off the kinks."""
    leaves = [*inputs(act), *(ParamRef(param.name) for param in act.params)]
    value = to_mpmath.program([act.expression], leaves).function
    stated = to_mpmath.program([slope], leaves).function
    draw = random.Random(act.name)
    with mp.workdps(oracles.DIGITS):
        params = [mpf(param.value) for param in act.params]
        for low, high in ((-6.0, -1.2), (-0.9, 0.9), (1.2, 6.0)):
            at = [mpf(draw.uniform(low, high)) for _ in act.inputs] + params
            place = leaves.index(by)
            wanted = mp.diff(lambda t, at=at, place=place: value(*at[:place], t, *at[place + 1 :]), at[place])
            got = stated(*at)
            room = tolerances.DIFFERENTIATED * (1 + abs(wanted))
            assert abs(got - wanted) <= room, f"{act} by {by.name} at {at}: {got}, differentiated {wanted}"


@cache
def axis_function(act: AxisActivation) -> object:
    return to_torch.program([act.expression], [Input("x")]).function


@pytest.mark.parametrize("act", CATALOG.values(), ids=str)
def test_every_activation_has_a_reference_or_three_known_values(act):
    assert act.reference or len(act.known) >= 3
    assert act.source
    assert act.summary.endswith(".")


@pytest.mark.parametrize("act", WITH_REFERENCE, ids=str)
def test_formula_and_derivative_equal_the_reference(act):
    check_against_reference(act)


@pytest.mark.parametrize("act", WITH_KNOWN, ids=str)
def test_formula_gives_the_known_values(act):
    check_against_known_values(act)


@pytest.mark.parametrize("act", POINTWISE, ids=str)
def test_derivatives_equal_numerical_differentiation(act):
    for by in (*inputs(act), *(ParamRef(param.name) for param in act.params)):
        check_against_derivative(act, derivative(act.expression, by), by)


@pytest.mark.parametrize("act", ALONG_AXIS, ids=str)
def test_axis_formula_equals_the_reference_or_known_values(act):
    function = axis_function(act)
    if act.reference:
        for vector in VECTORS:
            x = torch.tensor([vector, vector], dtype=torch.float64).T
            torch.testing.assert_close(
                function(x, 0), oracles.reference(act)(x, dim=0), rtol=1e-14, atol=0, equal_nan=True
            )
    for vector, wanted in act.known:
        y = function(torch.tensor(vector, dtype=torch.float64), 0)
        torch.testing.assert_close(y, torch.tensor(wanted, dtype=torch.float64), rtol=1e-14, atol=1e-16)


@pytest.mark.parametrize("act", ALONG_AXIS, ids=str)
def test_axis_products_equal_numerical_differentiation(act):
    function = axis_function(act)
    x = torch.tensor([0.3, -0.4, 0.9, 0.75, -3.0], dtype=torch.float64)
    step = 1e-6
    columns = [(function(x + step * e, 0) - function(x - step * e, 0)) / (2 * step) for e in torch.eye(5).double()]
    jacobian = torch.stack(columns, dim=1)
    y, v = function(x, 0), torch.tensor([1.0, -2.0, 0.5, 3.0, 0.25], dtype=torch.float64)
    products = to_torch.program([act.jvp, act.vjp], [Input("y"), Input("v"), Input("x")]).function
    jvp, vjp = products(y, v, x, 0)
    torch.testing.assert_close(jvp, jacobian @ v, rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(vjp, jacobian.T @ v, rtol=1e-8, atol=1e-9)


def test_derivatives_at_kinks_equal_pytorchs():
    taken = {
        "relu": {0: 0}, "relu6": {0: 0, 6: 0}, "hard_tanh": {-1: 0, 1: 0}, "leaky_relu": {0: 0.01},
        "elu": {0: 1}, "selu": {0: 1.7580993408473766}, "hard_swish": {-3: 0, 3: 1}, "hard_sigmoid": {-3: 0, 3: 0},
    }  # fmt: skip
    for name, slopes in taken.items():
        act = CATALOG[name]
        slope = oracles.exact([act.derivative()], inputs(act))
        assert {at: float(slope(at)[0]) for at in slopes} == pytest.approx(slopes, rel=1e-15), name


def test_a_wrong_formula_is_found():
    @activation(source="nowhere", reference="torch.nn.functional.gelu", known={-1: -0.15865525393145707, 0: 0, 1: 0.84})
    def wrong(x):
        """gelu with the wrong scale."""
        return x * (1 + erf(x / sqrt(2.001))) / 2

    with pytest.raises(AssertionError, match="wrong value"):
        check_against_reference(wrong)
    with pytest.raises(AssertionError, match="wrong at -1"):
        check_against_known_values(wrong)


def test_a_wrong_derivative_at_a_kink_is_found():
    @activation(source="nowhere", reference="torch.nn.functional.relu")
    def wrong(x):
        """relu with derivative 1 at 0."""
        return where(x < 0, 0, x)

    with pytest.raises(AssertionError, match="wrong by x"):
        check_against_reference(wrong)


def test_a_wrong_derivative_is_found():
    with pytest.raises(AssertionError, match="gelu by x"):
        check_against_derivative(CATALOG["gelu"], CATALOG["gelu_tanh"].derivative(), Input("x"))
