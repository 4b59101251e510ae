from __future__ import annotations

import subprocess
import sys

import pytest

from actlab.catalog.index import CATALOG, FAMILIES, NAMES, get, same_as
from actlab.catalog.names import squashed
from actlab.errors import ActlabError, BadFormula, BadInput, BadParam, UnknownActivation
from actlab.formula.activation import Activation, activation
from actlab.formula.along_axis import AxisActivation
from actlab.formula.atoms import sigmoid
from actlab.formula.text import text

# What was promised, name by name.
PROMISED = """
identity sigmoid hard_sigmoid log_sigmoid tanh hard_tanh scaled_tanh penalised_tanh tanh_shrink arctan softsign isru
erf relu relu6 leaky_relu prelu rrelu threshold fat-relu relu² star_relu elu celu selu isrlu softplus squareplus
gelu gelu_tanh quick_gelu swish silu hard_swish mish hard_mish telu logish smish phish serf elish lisht e-swish
aria2 nlrelu bent_identity soft_exponential xielu snake sine growing_cosine GELU-sine GELU-sinc gaussian soft_shrink
hard_shrink symlog rational pade PolyReLU dynamic_tanh dynamic_erf glu reglu geglu geglu_tanh swiglu bilinear
clamped_swiglu softmax log_softmax softmin sparsemax entmax-1.5
"""

# What the sources train.
TRAINABLE = {
    "prelu": {"weight"},
    "star_relu": {"scale", "bias"},
    "soft_exponential": {"alpha"},
    "xielu": {"alpha_p", "alpha_n"},
    "swish": {"beta"},
    "snake": {"alpha"},
    "rational": {"a0", "a1", "a2", "a3", "a4", "a5", "b1", "b2", "b3", "b4"},
    "polyrelu": {"a0", "a1", "a2", "a3"},
    "dynamic_tanh": {"alpha", "weight", "bias"},
    "dynamic_erf": {"alpha", "shift", "weight", "bias"},
}


def test_there_are_at_least_75():
    assert len(CATALOG) >= 75
    assert all(name == act.name for name, act in CATALOG.items())


@pytest.mark.parametrize("name", PROMISED.split())
def test_every_promised_name_is_there(name):
    assert get(name).name in CATALOG


@pytest.mark.parametrize("act", CATALOG.values(), ids=str)
def test_every_activation_names_its_source_and_has_a_summary(act):
    assert act.source
    assert act.summary.endswith(".")
    assert act.summary != "Declared without a description."


def test_a_family_is_a_file_and_stays_together():
    order = [family.__name__.rpartition(".")[2] for family in FAMILIES]
    families = [act.family for act in CATALOG.values()]
    assert list(dict.fromkeys(families)) == order
    assert sorted(families, key=order.index) == families


def test_no_two_activations_share_a_name_in_any_spelling():
    names = [squashed(name) for act in CATALOG.values() for name in {act.name, *act.aliases}]
    assert len(names) == len({*names}) == len(NAMES)


def test_what_the_sources_train_is_trainable():
    found = {
        act.name: {param.name for param in act.params if param.trainable}
        for act in CATALOG.values()
        if any(param.trainable for param in act.params)
    }
    assert found == TRAINABLE


def test_gated_units_take_value_and_gate_in_this_order():
    gated = {act.name for act in CATALOG.values() if act.inputs == ("value", "gate")}
    assert gated == {act.name for act in CATALOG.values() if act.family == "gated"}
    assert all(act.inputs == ("x",) for act in CATALOG.values() if act.name not in gated)


def test_notes_correct_common_mistakes():
    assert "1 - tanh(x)**2" in CATALOG["tanh"].note
    assert "not logarithmic" in CATALOG["elu"].note
    assert "matrix" in CATALOG["softmax"].note
    assert text(CATALOG["elu"].formula) == "where(x <= 0, 1*expm1(x), x)"


@pytest.mark.parametrize(
    ("asked", "label"),
    [
        ("gelu", "gelu"),
        (" gelu ", "gelu"),
        ("gelu()", "gelu"),
        ("torch:GELU", "gelu"),
        ("jax:gelu", "gelu_tanh"),
        ("JAX: gelu", "gelu_tanh"),
        ("keras:leaky_relu", "leaky_relu(negative_slope=0.2)"),
        ("keras:LeakyReLU", "leaky_relu(negative_slope=0.3)"),
        ("keras:leaky_relu(negative_slope=0.1)", "leaky_relu(negative_slope=0.1)"),
        ("leaky_relu", "leaky_relu(negative_slope=0.01)"),
        ("hf:gelu_10", "clipped_gelu(min_val=-10, max_val=10)"),
        ("swish(beta=1.5)", "swish(beta=1.5)"),
        ("Swish( beta = 15e-1 )", "swish(beta=1.5)"),
        ("hardtanh(min_val=-2, max_val=2)", "hard_tanh(min_val=-2, max_val=2)"),
        ("growing cosine", "growing_cosine"),
        ("penalized_tanh", "penalised_tanh(slope=0.25)"),
        ("nn.GELU", "gelu"),
        ("nn.GELU()", "gelu"),
        ("torch.nn.LeakyReLU(negative_slope=0.2)", "leaky_relu(negative_slope=0.2)"),
        ("F.silu", "silu"),
        ("torch.tanh", "tanh"),
        ("jax:nn.gelu", "gelu_tanh"),
        ("relu^2", "relu2"),
        ("|x|/(1 + |x|)", "|x|/(1 + |x|)"),
        ("x", "x"),
        ("  x*sigmoid(x)\n+ x", "x*sigmoid(x) + x"),
        ("LeakyReLU(x) + gelu(x)", "LeakyReLU(x) + gelu(x)"),
    ],
)
def test_spellings_that_find_an_activation(asked, label):
    assert get(asked).label == label


@pytest.mark.parametrize("act", CATALOG.values(), ids=str)
def test_a_label_is_read_back_to_the_same_mathematics(act):
    assert get(act.label).key == act.key
    assert get(act) is act


def test_parameters_are_bound():
    assert get("swish", beta=2).label == "swish(beta=2)"
    assert get(CATALOG["swish"], beta=2) == get("swish(beta=2)")
    assert get("threshold(threshold=1)", value=3).label == "threshold(threshold=1, value=3)"


def test_a_typed_formula_s_parameters_train():
    act = get("x*sigmoid(beta*x)", beta=1.702)
    assert isinstance(act, Activation)
    assert [(param.name, param.value, param.trainable) for param in act.params] == [("beta", 1.702, True)]
    assert act.name == act.label == "x*sigmoid(beta*x)"
    assert act.key == get("quick_gelu").key


def test_values_of_parameters_may_stand_at_the_end():
    assert get("x*sigmoid(beta*x); beta=1.702") == get("x*sigmoid(beta*x)", beta=1.702)
    assert get("max(a*x, b*x) ;a = -1e-3;b=2").params[0].value == -0.001
    assert get("swish; beta=2").label == "swish(beta=2)"
    assert get("x**2").label == "x**2"


def test_a_value_that_is_no_number_is_refused():
    for wrong in ("x*a; a", "x*a; a=", "x*a; =1", "x*a;", "x*a; a=1; 2=3", "x*a; a=x"):
        with pytest.raises(BadParam, match="after ';' a parameter gets its value"):
            get(wrong)


def test_a_typed_formula_over_value_and_gate_is_gated():
    act = get("value*gelu(gate)")
    assert act.inputs == ("value", "gate")
    assert act.key == CATALOG["geglu"].key


@pytest.mark.parametrize(
    ("asked", "params", "error", "message"),
    [
        ("swsh", {}, UnknownActivation, "no activation is named 'swsh'. Did you mean 'swish'? `actlab list`"),
        ("swsh(beta=2)", {}, UnknownActivation, "Did you mean 'swish'?"),
        ("torch:swsh", {}, UnknownActivation, "Did you mean 'swish'?"),
        ("keras:glue", {}, UnknownActivation, "no activation is named 'keras:glue'. Did you mean 'keras:glu'?"),
        ("jax:prelu", {}, UnknownActivation, "no activation is named 'jax:prelu'."),
        ("theano:relu", {}, BadInput, "the framework must be one of torch, pytorch, jax"),
        ("swish", {"gamma": 1}, BadParam, "swish has no parameter 'gamma'; it has beta."),
        ("gelu", {"beta": 1}, BadParam, "gelu has no parameter 'beta'; it has none."),
        ("softmax", {"beta": 1}, BadParam, "softmax has no parameter 'beta'; it has none."),
        ("elu(alpha=-1)", {}, BadParam, "elu: alpha must lie above 0; got -1."),
        ("elu", {"alpha": "1"}, BadParam, "elu: alpha must be a number; got str '1'."),
        ("swish(beta=1)", {"beta": 2}, BadParam, "swish: beta is set twice."),
        ("swish(beta=1, beta=2)", {}, BadParam, "swish: beta is set twice."),
        (
            "leaky_relu(0.2)",
            {},
            BadParam,
            "leaky_relu: a parameter is set by its name; got 0.2. Write leaky_relu(negative_slope=0.2).",
        ),
        ("relu( 2 )", {}, BadParam, "relu: it has no parameters; got 2. Write relu alone."),
        ("nn.GELUU", {}, UnknownActivation, "no activation is named 'GELUU'. Did you mean"),
        ("x*sigmoid(x)", {"beta": 1}, BadParam, "the formula 'x*sigmoid(x)' has no parameter 'beta'."),
        ("x*beta", {"beta": float("nan")}, BadParam, "the formula 'x*beta': beta must be finite; got nan."),
        ("x*x", {"x": 1}, BadParam, "a parameter cannot be called 'x'; choose another name."),
        ("", {}, BadFormula, "it is empty."),
        ("1 + 2", {}, BadFormula, "1 + 2 does not depend on x; a formula must use its input."),
        ("pi", {}, BadFormula, "pi does not depend on x"),
        ("beta", {"beta": 1}, BadFormula, "beta does not depend on x"),
        ("x*gate", {}, BadFormula, "the formula 'x*gate' must use x alone, or both value and gate."),
        ("2*value", {}, BadFormula, "must use x alone, or both value and gate."),
        ("gelu(x", {}, BadFormula, "it ends too early."),
        ("gelu x", {}, BadFormula, "'gelu' is a function and needs an argument: gelu(x)"),
        (3, {}, BadInput, "an activation must be a name, a formula or an Activation; got int 3."),
        (None, {}, BadInput, "got NoneType None."),
    ],
)
def test_unknown_text_is_refused_with_the_reason(asked, params, error, message):
    with pytest.raises(error) as raised:
        get(asked, **params)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.timeout(5)
@pytest.mark.parametrize(
    "asked",
    ["a" * 10_000_000, "a " * 900, "gelu" + " " * 10_000_000 + "!", "(" * 10_000, "9**9**9**9", "__import__('os')"],
    ids=["long name", "many words", "long gap", "brackets", "tower", "import"],
)
def test_hostile_text_costs_no_more_than_a_friendly_one(asked):
    with pytest.raises(ActlabError) as raised:
        get(asked)
    assert len(str(raised.value)) < 400


def test_axis_activations_are_the_other_kind():
    assert {act.name for act in CATALOG.values() if isinstance(act, AxisActivation)} == {
        "softmax", "log_softmax", "softmin", "sparsemax", "entmax15",
    }  # fmt: skip


def test_the_catalog_starts_without_anything_heavy():
    code = "import sys; import actlab.catalog.index; print({'torch', 'numpy', 'scipy', 'mpmath'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("typed", "same"),
    [
        ("x*sigmoid(1.702*x)", "quick_gelu"),
        ("sigmoid(x)*x", "silu"),
        ("x/(1 + exp(-x))", "silu"),
        ("x*sigmoid(3*x)", "swish(beta=3)"),
        ("x*tanh(log(1 + exp(x)))", "mish"),
        ("0.5*x*(1 + erf(x/sqrt(2)))", "gelu"),
        ("0.5*x*(1 + tanh(sqrt(2/pi)*(x + 0.044715*x^3)))", "gelu_tanh"),
        ("where(x > 0, x, 0.2*x)", "leaky_relu(negative_slope=0.2)"),
        ("where(x > 0, x, 0.01*x)", "leaky_relu"),
        ("where(x < 0, x/(1 - x), x/(1 + x))", "softsign"),
        ("gate*sigmoid(gate)*value", "swiglu"),
        ("gate*sigmoid(value)", None),
        ("x*sin(x)", None),
        ("x*sigmoid(1.703*x) + 0.1", None),
        ("max(x, 0)", None),  # at 0 its derivative is 1
        ("gelu", None),
        ("leaky_relu(negative_slope=0.2)", None),
        ("softmax", None),
    ],
)
def test_a_formula_of_the_catalog_is_known_however_it_is_ordered(typed, same):
    assert same_as(get(typed)) == same
    assert same is None or get(same).label


def test_an_activation_of_the_users_own_is_compared_whatever_its_input_is_called():
    @activation
    def relu(z):
        return z * sigmoid(z)

    assert same_as(relu) == "silu"
