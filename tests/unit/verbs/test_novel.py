"""Disguised activations are recognized with their scaling; functions that differ are not."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from actlab import get, novel
from actlab.catalog.index import CATALOG
from actlab.errors import BadFormula
from actlab.formula.activation import Activation
from actlab.theory.canonical import Function, canonical_key
from actlab.theory.evaluate import evaluator, of_x
from actlab.verbs.novel import Novelty, nearest_of

ONE_INPUT = [act for act in CATALOG.values() if isinstance(act, Activation) and len(act.inputs) == 1]


@cache
def function_of(name: str) -> Function:
    act = get(name)
    assert isinstance(act, Activation)
    evaluate = evaluator((of_x(act),))
    return lambda x: evaluate(x)[0]


def disguised(name: str, draw: np.random.Generator) -> Function:
    own = function_of(name)
    a, b = draw.uniform(0.4, 2.5, 2) * draw.choice([-1, 1], 2)
    c, d, e = draw.uniform(-1.5, 1.5, 3)
    return lambda x: a * own(b * x + c) + d * x + e


def largest_error(answer: Novelty, function: Function) -> float:
    """Return the largest relative error of the answer's formula, away from jumps."""
    assert answer.same_as is not None
    assert answer.scaling is not None
    act = get(answer.same_as, **answer.parameters)
    assert isinstance(act, Activation)
    x = np.linspace(-9, 9, 997)
    s = answer.scaling
    got = s.a * evaluator((of_x(act),))(s.b * x + s.c)[0] + s.d * x + s.e
    expected = function(x)
    return float(np.median(np.sort(np.abs(got - expected) / (1 + np.abs(expected)))[-9:]))


@pytest.mark.parametrize("name", ["relu", "gelu", "tanh", "mish", "elu", "hard_swish", "softsign", "threshold"])
def test_a_disguised_activation_is_recognized(name: str) -> None:
    function = disguised(name, np.random.default_rng(5))
    answer = nearest_of(function, name="f")
    assert answer.same_as is not None, answer.nearest
    assert largest_error(answer, function) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("act", ONE_INPUT, ids=str)
def test_every_disguised_activation_is_recognized(act: Activation) -> None:
    draw = np.random.default_rng(17)
    for _ in range(5):
        function = disguised(act.name, draw)
        answer = nearest_of(function, name="f")
        assert answer.same_as is not None, answer.nearest
        assert largest_error(answer, function) < 1e-6


@pytest.mark.parametrize(
    ("formula", "never"),
    [("gelu", "gelu_tanh"), ("gelu_tanh", "gelu"), ("quick_gelu", "gelu"), ("elu", "selu"), ("tanh", "erf")],
)
def test_functions_that_differ_are_not_the_same(formula: str, never: str) -> None:
    answer = nearest_of(function_of(formula), name="f")
    assert answer.same_as == formula
    assert answer.same_as != never


def test_a_parameter_is_fitted() -> None:
    answer = novel("where(x > 0, 3*x, 2*(exp(2*x) - 1))")
    assert answer.same_as == "elu"
    assert answer.scaling is not None
    assert largest_error(answer, lambda x: np.where(x > 0, 3 * x, 2 * np.expm1(2 * np.minimum(x, 0)))) < 1e-6


@pytest.mark.parametrize("formula", ["x*sin(x)*exp(-x*x) + atan(x)", "log(1 + x*x)*tanh(x)", "x*atan(exp(x))"])
def test_a_new_function_has_neighbors(formula: str) -> None:
    answer = novel(formula)
    assert answer.same_as is None
    distances = [near.distance for near in answer.nearest]
    assert distances == sorted(distances)
    assert distances[0] > 1e-4
    assert answer.to_json()["scaling"] is None


def test_without_a_linear_path_a_leaky_relu_is_not_a_relu() -> None:
    answer = novel("where(x > 0, x, 0.3*x)", linear=False)
    assert answer.scaling is not None
    assert answer.scaling.d == 0
    assert answer.same_as != "relu"


def test_keys_are_shared_within_a_class_alone() -> None:
    draw = np.random.default_rng(3)
    names = ["tanh", "gelu", "silu", "mish", "softplus", "atan", "relu", "elu"]
    keys = {name: canonical_key(function_of(name)) for name in names if name in CATALOG}
    assert len(set(keys.values())) == len(keys)
    shared = [canonical_key(disguised(name, draw)) == key for name, key in keys.items() for _ in range(4)]
    assert np.mean(shared) > 0.75
    assert canonical_key(lambda x: 2 * x + 1) == "line"


@pytest.mark.parametrize("formula", ["swiglu", "softmax"])
def test_a_function_of_one_input_is_required(formula: str) -> None:
    with pytest.raises(BadFormula, match="one input is required"):
        novel(formula)
