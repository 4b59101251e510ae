from __future__ import annotations

import pytest
from hypothesis import given

import strategies
from actlab.catalog.index import CATALOG, NAMES
from actlab.errors import BadFormula, BadParam
from actlab.formula.activation import Activation
from actlab.formula.atoms import abs as abs_
from actlab.formula.atoms import erf, exp, log, pi, sigmoid, softplus, tanh, where
from actlab.formula.constant import constant_value
from actlab.formula.expr import Compare, Input, Neg, ParamRef, expr
from actlab.formula.parser import DEEPEST, LONGEST, parse
from actlab.formula.text import text

X = Input("x")


def readable(formula):
    """Whether its constants have values: the parser refuses those that have none."""
    try:
        parse(text(formula))
    except BadFormula as error:
        if "no finite value" in str(error):
            return False
        raise
    return True


@given(strategies.formulas)
def test_a_formula_s_text_is_read_back_to_the_same_tree(formula):
    if readable(formula):
        assert parse(text(formula)) == formula


@pytest.mark.parametrize("act", [act for act in CATALOG.values() if isinstance(act, Activation)], ids=str)
def test_the_text_of_every_catalog_formula_is_read_back(act):
    spelled = text(act.formula)
    assert text(parse(spelled)) == spelled


@pytest.mark.parametrize(
    ("source", "tree"),
    [
        ("x", X),
        ("-x**2", -(X**2)),
        ("2**-x", expr(2) ** -X),
        ("x**2**3", X ** (expr(2) ** expr(3))),
        ("1-x-2", (1 - X) - 2),
        ("8/x/2", (8 / X) / 2),
        ("1+2*x", 1 + 2 * X),
        ("(1+2)*x", (expr(1) + 2) * X),
        ("--x", Neg(-X)),
        ("+x", X),
        (".5*x + 1.e-1", 0.5 * X + 0.1),
        ("pi*x", pi * X),
        ("x^2*3", X**2 * 3),
        ("-x^-x", -(X**-X)),
        ("e*x", exp(1) * X),
        ("1 - e**-x", 1 - exp(-X)),
        ("(1 + e)^x", (1 + exp(1)) ** X),
        ("ln(x)", log(X)),
        ("|x|", abs_(X)),
        ("x/(1 + |x|)", X / (1 + abs_(X))),
        ("||x| - 1|*|x|", abs_(abs_(X) - 1) * abs_(X)),
        ("torch.tanh(x)", tanh(X)),
        ("np.tanh(x) + math.exp(x)", tanh(X) + exp(X)),
        (
            "x*torch.nn.functional.softplus(x)*nn.functional.sigmoid(x)*F.sigmoid(x)",
            ((X * softplus(X)) * sigmoid(X)) * sigmoid(X),
        ),
        ("torch.special.erf(x)*torch.pi", erf(X) * pi),
        ("where(x<=0, 0, x)", where(X <= 0, 0, X)),
        ("where(x + 1 > 2*x, x, 1)", where(Compare(">", X + 1, 2 * X), X, 1)),
        ("x*sigmoid(beta*x)", X * sigmoid(ParamRef("beta") * X)),
        ("value*sigmoid(gate)", Input("value") * sigmoid(Input("gate"))),
        ("  x\n+ 1 ", X + 1),
    ],
)
def test_the_grammar_binds_as_python_does(source, tree):
    assert parse(source, params=("beta",)) == tree


def test_a_parameter_may_be_called_e():
    assert parse("e*x", params=("e",)) == ParamRef("e") * X
    assert parse("e**x", params=("e",)) == ParamRef("e") ** X


def test_an_activation_may_be_called_with_its_module():
    assert parse("F.gelu(x) + nn.functional.leaky_relu(x)", names=NAMES) == parse(
        "gelu(x) + leaky_relu(x)", names=NAMES
    )


def test_an_activation_is_a_function_with_parameters():
    assert parse("gelu(2*x)", names=NAMES) == NAMES["gelu"](2 * X)
    assert parse("swish(x, beta=2) + LeakyReLU(x)", names=NAMES) == NAMES["swish"](X, beta=2) + NAMES["leaky_relu"](X)
    assert parse("softplus(x, beta=2)", names=NAMES) == NAMES["softplus"](X, beta=2)
    assert parse("glu(x, 2*x)", names=NAMES) == NAMES["glu"](X, 2 * X)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "cannot read the formula '': it is empty."),
        ("   ", "it is empty."),
        ("x +", "cannot read the formula 'x +': it ends too early."),
        ("x x", "found 'x' where the formula should end (at character 3)."),
        ("x = 1", "found '=' where the formula should end"),
        ("x == 1", "found '==' where the formula should end"),
        ("geluu(x)", "there is no function 'geluu'; did you mean 'gelu'? (at character 1)."),
        ("x*bate", "'bate' is neither the input x, pi, nor a parameter with a value (give one at the end: ; bate=1.0)"),
        ("sigmoid", "'sigmoid' is a function and needs an argument: sigmoid(x)"),
        ("gelu*2", "'gelu' is a function and needs an argument: gelu(x)"),
        ("sigmoid(x, x)", "sigmoid takes 1 argument, got 2"),
        ("max(x)", "max takes 2 arguments, got 1"),
        ("glu(x)", "glu takes 2 arguments, got 1"),
        ("log(x, beta=2)", "log has no parameters"),
        ("softmax(x)", "softmax acts along an axis and cannot be part of a formula"),
        ("where(x, 1, 2)", "where needs a comparison first"),
        ("where(x > 0, 1)", "found ')' where ',' belongs"),
        ("x > 0", "found '>' where the formula should end"),
        ("(x", "it ends too early."),
        ("x)", "found ')' where the formula should end"),
        ("*x", "found '*' where a number, a name or '(' belongs (at character 1)."),
        ("x; y", "';' means nothing in one."),
        ("x.real", "'.' means nothing in one. Write a function without its module: tanh(x)."),
        ("jax.nn.gelu(x)", "'.' means nothing in one. Write a function without its module: tanh(x)."),
        ("torch.tanh", "'tanh' is a function and needs an argument: tanh(x) (at character 1)."),
        ("torch.x", "'torch.x' is neither a function nor a constant (at character 1)."),
        ("2*F.geluu(x)", "there is no function 'geluu'; did you mean 'gelu'? (at character 3)."),
        ("np.sinc(x)", "np.sinc(x) is sin(pi*x)/(pi*x), which is written sinc(pi*x) (at character 1)."),
        ("|x", "it ends too early."),
        ("||", "it ends too early."),
        ("λ*x", "'λ' means nothing in one."),
        ("1e999*x", "the number 1e999 is out of range"),
        ("x + 1/0", "the constant 1/0 has no finite value in double precision."),
        ("x + log(-1)", "the constant log(-1) has no finite value in double precision."),
        ("x + 9**9**9**9", "the constant 9**9**9**9 has no finite value in double precision."),
    ],
)
def test_an_invalid_formula_is_refused_with_the_reason(source, message):
    with pytest.raises(BadFormula) as raised:
        parse(source, names=NAMES)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_parameter_that_an_activation_lacks_is_refused():
    with pytest.raises(BadParam, match=r"^swish has no parameter 'alpha'; it has beta\.$"):
        parse("swish(x, alpha=2)", names=NAMES)


HOSTILE = {
    "10 MB": "x+" * 5_000_000 + "x",
    "10 MB of spaces": " " * 10_000_000,
    "10,000 brackets": "(" * 10_000 + "x" + ")" * 10_000,
    "many brackets": "(" * 1_900 + "x" + ")" * 1_900,
    "many signs": "-" * 3_900 + "x",
    "many powers": "x" + "**x" * 1_300,
    "power tower": "x+" + "9**" * 900 + "9",
    "import": "__import__('os').system('true')",
    "attribute": "x.__class__",
    "lambda": "(lambda: x)()",
    "bars": "|" * 3_900,
    "many bars": "|" * 1_900 + "x" + "|" * 1_900,
    "modules": "torch." * 600 + "x",
    "doubling": "gelu(" * 99 + "x" + ")" * 99,
    "long number": "9" * 3_900 + "*x",
    "long name": "a" * 3_900,
    "nested calls": "max(x," * 600 + "x" + ")" * 600,
    "null": "x\0",
}


@pytest.mark.timeout(5)
@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_costs_no_more_than_a_friendly_one(source):
    with pytest.raises(BadFormula) as raised:
        parse(source, names=NAMES)
    assert len(str(raised.value)) < 400
    assert "\n" not in str(raised.value)


def test_the_bounds_admit_what_lies_within_them():
    assert parse("(" * (DEEPEST - 1) + "x" + ")" * (DEEPEST - 1)) == X
    assert parse("x" + " " * (LONGEST - 1)) == X
    long = parse("x" + "+x" * 500)
    assert long.size == 1001


def test_constants_are_read_exactly():
    assert constant_value(parse("0.1")) == 0.1
    assert parse("x*log(2)") == X * log(2)
