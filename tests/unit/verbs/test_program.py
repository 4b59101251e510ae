"""The program of an activation for a page: one function of inputs and parameters."""

from __future__ import annotations

import json

import pytest

from actlab.errors import BadFormula, BadParam
from actlab.verbs.program import javascript


def test_one_input_gives_value_first_and_second_derivative():
    program = javascript("swish", beta=2.0)
    assert program.inputs == ("x",)
    assert program.outputs == ("y", "dy", "d2y")
    assert "export function f(x, beta = 2) {" in program.text
    assert program.lines()[0] == "export function f(x, beta = 2) {"


def test_a_gated_activation_gives_the_derivative_by_each_input():
    program = javascript("swiglu")
    assert program.outputs == ("y", "dvalue", "dgate")
    assert "export function f(value, gate) {" in program.text


def test_an_activation_along_an_axis_gives_its_value_alone():
    assert javascript("softmax").outputs == ("y",)
    assert "export function f(x) {" in javascript("softmax").text


def test_json_has_each_parameter_with_its_bounds():
    facts = json.loads(json.dumps(javascript("e_swish").to_json(), allow_nan=False))
    assert facts["inputs"] == ["x"]
    (beta,) = facts["params"]
    assert (beta["name"], beta["value"]) == ("beta", 1.5)
    assert (beta["above"], beta["least"], beta["below"], beta["most"]) == (None, 1.0, None, 2.0)


def test_another_value_of_a_parameter_changes_the_default_alone():
    first, second = javascript("elu", alpha=1.0).text, javascript("elu", alpha=0.5).text
    assert first.replace("alpha = 1)", "alpha = 0.5)") == second


def test_bad_input_is_refused():
    with pytest.raises(BadFormula):
        javascript("x*(")
    with pytest.raises(BadFormula):
        javascript("x*`alert(1)`")
    with pytest.raises(BadParam):
        javascript("elu", alpha=-1.0)
