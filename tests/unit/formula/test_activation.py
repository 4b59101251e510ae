from __future__ import annotations

import pickle

import pytest

from actlab.catalog.index import CATALOG
from actlab.errors import BadFormula, BadParam
from actlab.formula.activation import activation, typed
from actlab.formula.along_axis import total
from actlab.formula.atoms import sigmoid, where
from actlab.formula.expr import Input, ParamRef
from actlab.formula.param import Param, Uniform
from actlab.formula.text import text

X = Input("x")


@activation(source="Ramachandran 2017", aliases=("silly",), note="A note.")
def swish_(x, beta=Param(1.5, trainable=True, least=0), scale=2):
    """The input, scaled.

    More is not part of the summary.
    """
    return scale * (x * sigmoid(beta * x))


def test_the_decorator_reads_everything_off_the_function():
    assert swish_.name == str(swish_) == "swish"
    assert swish_.summary == "The input, scaled."
    assert swish_.inputs == ("x",)
    assert [(param.name, param.value, param.trainable) for param in swish_.params] == [
        ("beta", 1.5, True),
        ("scale", 2.0, False),
    ]
    assert swish_.family == "test_activation"
    assert swish_.aliases == ("silly",)
    assert swish_.label == "swish(beta=1.5, scale=2)"
    assert text(swish_.expression) == "scale*(x*sigmoid(beta*x))"
    assert text(swish_.formula) == "2*(x*sigmoid(1.5*x))"
    assert text(swish_.with_references("beta")) == "2*(x*sigmoid(beta*x))"


def test_binding_gives_another_value_and_leaves_the_first():
    bound = swish_.bind(beta=0.25)
    assert bound.label == "swish(beta=0.25, scale=2)"
    assert swish_.params[0].value == 1.5
    assert bound.key != swish_.key
    assert bound.bind(beta=1.5).key == swish_.key
    assert bound == swish_.bind(beta=0.25)


def test_the_key_is_of_the_mathematics_alone():
    assert CATALOG["leaky_relu"].bind(negative_slope=0.25).key == CATALOG["prelu"].key
    assert CATALOG["reglu"].key != CATALOG["relu"].key


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gamma": 1}, "swish has no parameter 'gamma'; it has beta, scale."),
        ({"beta": -1}, "swish: beta must lie at or above 0; got -1."),
        ({"beta": "1"}, "swish: beta must be a number; got str '1'."),
    ],
)
def test_a_parameter_that_does_not_fit_is_refused(values, message):
    with pytest.raises(BadParam) as raised:
        swish_.bind(**values)
    assert str(raised.value) == message


def test_calling_it_puts_its_formula_into_a_larger_one():
    assert text(swish_(2 * X, beta=ParamRef("b")) + 1) == "2*(2*x*sigmoid(b*(2*x))) + 1"
    with pytest.raises(BadFormula, match="swish takes 1 input; got 2"):
        swish_(X, X)
    with pytest.raises(BadParam, match="has no parameter 'gamma'"):
        swish_(X, gamma=1)


def test_a_gated_unit_has_two_derivatives():
    glu = CATALOG["glu"]
    assert text(glu.derivative("value")) == "sigmoid(gate)"
    assert text(glu.derivative("gate")) == "value*(sigmoid(gate)*sigmoid(-gate))"
    assert glu.derivative() == glu.derivative("value")


def test_a_random_parameter_has_a_sampler():
    (param,) = CATALOG["rrelu"].samplers.values()
    assert param.sampler == Uniform(1 / 8, 1 / 3)
    assert param.value == 11 / 48
    assert not swish_.samplers


def test_it_survives_pickling():
    again = pickle.loads(pickle.dumps(swish_))
    assert again == swish_
    assert again.key == swish_.key


@pytest.mark.parametrize("decorator", [activation, activation()], ids=["bare", "empty brackets"])
def test_the_decorator_needs_no_arguments(decorator):
    @decorator
    def mine(x, beta=2.0):
        return x * sigmoid(beta * x)

    assert (mine.name, mine.source, mine.label) == ("mine", "", "mine(beta=2)")
    assert mine.summary == "Declared without a description."
    assert mine.key == CATALOG["swish"].bind(beta=2).key


def test_the_decorator_refuses_what_is_not_a_function():
    with pytest.raises(BadFormula, match=r"^activation: the formula must be a function; got str 'Ramachandran 2017'"):
        activation("Ramachandran 2017")


def declared(function):
    return activation(source="nowhere")(function)


def test_an_invalid_activation_is_refused_when_it_is_declared():
    with pytest.raises(BadFormula, match="<lambda> must have one input, or two for a gated unit; got 0"):
        declared(lambda beta=1.0: beta)
    with pytest.raises(BadFormula, match="got 3"):
        declared(lambda x, y, z: x + y + z)
    with pytest.raises(BadFormula, match="does not depend on y; a formula must use its input"):
        declared(lambda x, y: x)
    with pytest.raises(BadFormula, match="acts along an axis; declare it with @along_axis"):
        declared(lambda x: x / total(x))
    with pytest.raises(BadFormula, match="the default of beta must be a Param or a number; got 'one'"):
        declared(lambda x, beta="one": x)
    with pytest.raises(BadFormula, match="write where"):
        declared(lambda x: x if x > 0 else 0)
    with pytest.raises(BadParam, match="beta must lie above 0; got -1"):
        declared(lambda x, beta=Param(-1, above=0): beta * x)


def test_a_typed_formula_finds_its_inputs_in_the_catalog_s_order():
    gated = typed("mine", Input("gate") * where(Input("value") > 0, 1, 2))
    assert gated.inputs == ("value", "gate")
    assert gated.family == "typed"
    assert gated.label == "mine"
