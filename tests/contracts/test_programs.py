"""Is the program right? Compared with the formula evaluated to 50 digits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
import torch
from mpmath import mpf

import oracles
import tolerances
from actlab.catalog.index import CATALOG
from actlab.formula.activation import Activation, activation
from actlab.formula.atoms import exp, log, where
from actlab.formula.derivative import derivative
from actlab.formula.expr import Expr, Input
from actlab.lower import to_numpy, to_torch

POINTWISE = [act for act in CATALOG.values() if isinstance(act, Activation)]

Run = Callable[[Activation, list[Expr], list[list[float]]], list[list[float]]]


def run_numpy(act: Activation, outputs: list[Expr], columns: list[list[float]]) -> list[list[float]]:
    program = to_numpy.program([*outputs, outputs[0]], inputs(act))
    with np.errstate(all="ignore"):
        results = program.function(*(np.array(column) for column in columns))
    return [list(map(float, result)) for result in results[:-1]]


def run_torch(act: Activation, outputs: list[Expr], columns: list[list[float]]) -> list[list[float]]:
    program = to_torch.program([*outputs, outputs[0]], inputs(act))
    results = program.function(*(torch.tensor(column, dtype=torch.float64) for column in columns))
    return [result.tolist() for result in results[:-1]]


RUNS = {"numpy": run_numpy, "torch": run_torch}


def inputs(act: Activation) -> list[Input]:
    return [Input(name) for name in act.inputs]


def columns_of(act: Activation, points: list[float]) -> list[list[float]]:
    """The points, for a gated activation each against each."""
    if len(act.inputs) == 1:
        return [points]
    pairs = [(value, gate) for value in points for gate in points]
    return [list(column) for column in zip(*pairs, strict=True)]


def worst(act: Activation, run: Run) -> Iterator[tuple[float, str]]:
    """For the value and each derivative, the largest error as a share of what is allowed, and where it is."""
    outputs = [act.formula, *(act.derivative(name) for name in act.inputs)]
    bends = [derivative(output, leaf) for output in outputs for leaf in inputs(act)]
    columns = columns_of(act, oracles.points_for(act, largest=40))
    exact = oracles.exact([*outputs, *bends], inputs(act))
    computed = run(act, outputs, columns)
    shares: list[list[tuple[float, str]]] = [[] for _ in outputs]
    for row, at in enumerate(zip(*columns, strict=True)):
        truth = exact(*at)
        gradients = batched(truth[len(outputs) :], len(at))
        for index, gradient in enumerate(gradients):
            felt = sum(abs(x * slope) for x, slope in zip(at, gradient, strict=True))
            got = computed[index][row]
            ratio = share(act, got, truth[index], felt=felt, largest=max(map(abs, at)))
            shares[index].append((ratio, f"{at}: {got!r}, exact {float(truth[index])!r}"))
    for of_output in shares:
        yield max(of_output, key=lambda pair: math.inf if math.isnan(pair[0]) else pair[0])


def batched(values: Sequence[mpf], size: int) -> list[Sequence[mpf]]:
    return [values[start : start + size] for start in range(0, len(values), size)]


def share(act: Activation, got: float, wanted: mpf, *, felt: mpf, largest: float) -> float:
    """The error as a share of what is allowed: some roundings of the answer, of the input and of the largest term."""
    room = abs(wanted) + felt + (max(largest, 1) if act.name in tolerances.CANCELS else 0)
    if math.isnan(got):
        return math.nan
    return float(abs(mpf(got) - wanted) / (tolerances.ROUNDINGS * tolerances.EPSILON * room + tolerances.UNDERFLOW))


def refuse_inexact(act: Activation, run: Run) -> None:
    for label, (ratio, place) in zip(("value", *act.inputs), worst(act, run), strict=True):
        assert ratio <= 1, f"{act} {label} is {ratio:.1f} times too far off at {place}"


def refuse_lost_nan(act: Activation, run: Run) -> None:
    """Every input that is NaN, alone and with the others ordinary, must be seen in the value."""
    for place in range(len(act.inputs)):
        columns = [[math.nan if index == place else 0.5] for index in range(len(act.inputs))]
        ((value,),) = run(act, [act.formula], columns)
        assert math.isnan(value), f"{act} hides a NaN in {act.inputs[place]}: {value}"


def refuse_nan_far_out(act: Activation, run: Run) -> None:
    """A finite input, however large, must give neither value nor slope NaN."""
    columns = columns_of(act, [-1e300, -1e100, -1e30, -1e5, -800.0, 800.0, 1e5, 1e30, 1e100, 1e300])
    outputs = [act.formula, *(act.derivative(name) for name in act.inputs)]
    for label, results in zip(("value", *act.inputs), run(act, outputs, columns), strict=True):
        places = [at for at, result in zip(zip(*columns, strict=True), results, strict=True) if math.isnan(result)]
        assert not places, f"{act} {label} is NaN at {places}"


# Marks, each with its reason.
_OVERFLOWS = "its slope holds x**2 times a gate that is 0, and x**2 overflows beyond 1e154"
NAN_FAR_OUT = {"gelu_tanh": _OVERFLOWS, "geglu_tanh": _OVERFLOWS}


@pytest.mark.parametrize("target", RUNS)
@pytest.mark.parametrize("act", POINTWISE, ids=str)
def test_program_and_its_derivative_equal_the_formula(act, target):
    refuse_inexact(act, RUNS[target])


@pytest.mark.parametrize("target", RUNS)
@pytest.mark.parametrize("act", POINTWISE, ids=str)
def test_nan_stays_nan(act, target):
    refuse_lost_nan(act, RUNS[target])


@pytest.mark.parametrize("target", RUNS)
@pytest.mark.parametrize("act", POINTWISE, ids=str)
def test_nothing_finite_gives_nan(act, target):
    if act.name in NAN_FAR_OUT:
        with pytest.raises(AssertionError):  # if it no longer does, the mark must go
            refuse_nan_far_out(act, RUNS[target])
    else:
        refuse_nan_far_out(act, RUNS[target])


@pytest.mark.parametrize("target", RUNS)
def test_a_formula_that_cancels_is_found(target):
    @activation(source="nowhere", known={})
    def sinner(x):
        """softplus, its left tail lost and its right one overflowing."""
        return log(2 + 2 * exp(x)) - log(2)

    with pytest.raises(AssertionError, match=r"sinner value is .* times too far off"):
        refuse_inexact(sinner, RUNS[target])
    with pytest.raises(AssertionError, match="sinner x is NaN"):
        refuse_nan_far_out(sinner, RUNS[target])


@pytest.mark.parametrize("target", RUNS)
def test_a_formula_that_hides_nan_is_found(target):
    @activation(source="nowhere", known={})
    def sinner(x):
        """relu, 0 at NaN."""
        return where(x > 0, x, 0)

    with pytest.raises(AssertionError, match="sinner hides a NaN in x"):
        refuse_lost_nan(sinner, RUNS[target])
