"""Each predicate agrees with values sampled by the NumPy programs, over the whole catalog."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

import oracles
from actlab.catalog.index import CATALOG, get
from actlab.formula.activation import Activation, typed
from actlab.formula.along_axis import AxisActivation
from actlab.formula.expr import Input, ParamRef
from actlab.lower import to_numpy
from actlab.theory.predicates import (
    is_half_line,
    is_nonnegative,
    leaves_unit_interval,
    saturated_sides,
    saturates,
    stays_in_unit_interval,
)

Floats = NDArray[np.float64]

ACTS = tuple(CATALOG.values())
SINGLE = tuple(act for act in ACTS if isinstance(act, Activation) and len(act.inputs) == 1)
OSCILLATING = {"sine", "cosine", "sinc", "snake", "growing_cosine", "gelu_sine", "gelu_sinc"}
FAR = np.geomspace(20, 1e6, 60)


def outputs(act: Activation | AxisActivation) -> Floats:
    """Sample the activation widely: values in any order, without what overflows."""
    x = np.concatenate([np.linspace(-30, 30, 6001), FAR, -FAR])
    if isinstance(act, AxisActivation):
        rows = np.random.default_rng(5).normal(size=(400, 5)) * 10
        y = to_numpy.program([act.expression], [Input("x")]).function(rows, -1)
    elif len(act.inputs) == 2:
        grid = np.meshgrid(np.linspace(-60, 60, 301), np.linspace(-60, 60, 301))
        y = to_numpy.program([act.formula], [Input(name) for name in act.inputs]).function(*grid)
    else:
        y = to_numpy.program([act.formula], [Input(act.inputs[0])]).function(x)
    assert isinstance(y, np.ndarray)
    finite: Floats = y[np.isfinite(y)]
    return finite


@pytest.mark.parametrize("act", ACTS, ids=str)
@np.errstate(all="ignore")
def test_unit_interval_agrees_with_sampled_outputs(act: Activation | AxisActivation) -> None:
    y = outputs(act)
    is_inside = bool((y >= -1e-9).all() and (y <= 1 + 1e-9).all())
    assert (stays_in_unit_interval(act), leaves_unit_interval(act)) == (is_inside, not is_inside)


@pytest.mark.parametrize("act", ACTS, ids=str)
@np.errstate(all="ignore")
def test_nonnegative_and_half_line_agree_with_sampled_outputs(act: Activation | AxisActivation) -> None:
    y = outputs(act)
    nonnegative = bool((y >= -1e-9).all())
    # the slowest to grow, nlrelu, has passed 10 at 1e6; the largest bound of those that stop is 10 (clipped_gelu)
    assert is_nonnegative(act) == nonnegative
    assert is_half_line(act) == (nonnegative and float(y.max()) > 10)


@pytest.mark.parametrize("act", [act for act in SINGLE if act.name not in OSCILLATING], ids=str)
@np.errstate(all="ignore")
def test_saturated_sides_agree_with_sampled_outputs(act: Activation) -> None:
    value = to_numpy.program([act.formula], [Input("x")]).function
    exact_derivative = oracles.exact([act.derivative()], [Input("x")])
    expected = []
    for name, side in (("left", -1.0), ("right", 1.0)):
        levels_off = bool(np.ptp(np.asarray(value(side * np.geomspace(1e6, 1e9, 40)))) < 1e-2)
        # every activation that ends exactly flat does so before 12; 50 digits do not underflow
        is_constant = exact_derivative(side * 12.3)[0] == 0
        expected += [name] if levels_off and not is_constant else []
    assert saturated_sides(act) == tuple(expected)
    assert saturates(act) == bool(expected)


def test_rectifiers_and_exactly_flat_activations_do_not_saturate() -> None:
    assert not any(saturates(CATALOG[name]) for name in ("relu", "leaky_relu", "relu6", "hard_tanh", "hard_sigmoid"))
    assert not saturates(get("leaky_relu(negative_slope=0.001)"))
    assert all(saturates(CATALOG[name]) for name in ("sigmoid", "tanh", "laplace", "elu", "gelu"))


def test_the_values_of_parameters_matter() -> None:
    assert is_nonnegative(get("threshold(value=0)"))
    assert not is_nonnegative(get("threshold(value=-1)"))


@pytest.mark.parametrize("text", ["sin(x)*exp(sin(x*x))*cos(sqrt(x*x+1))*x", "sin(x) + sin(x*sqrt(2))*x"])
def test_unknown_properties_answer_false(text: str) -> None:
    act = get(text)
    assert not saturates(act)
    assert not is_half_line(act)
    assert not stays_in_unit_interval(act)


def test_a_range_that_is_known_in_part_may_decide() -> None:
    assert leaves_unit_interval(get("swiglu"))
    assert not saturates(get("swiglu"))


def test_a_formula_with_weights_of_no_value_answers_false() -> None:
    act = typed("x*w", Input("x") * ParamRef("w"))
    assert not any(ask(act) for ask in (leaves_unit_interval, stays_in_unit_interval, is_nonnegative, saturates))
