"""The text of JavaScript modules, and what runs of it that the contracts do not cover."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from mpmath import mp, mpf

import browser
import strategies
from actlab.catalog.index import CATALOG, get
from actlab.errors import ActlabError, CannotLower
from actlab.formula.activation import activation
from actlab.formula.along_axis import REDUCTIONS as ALL_REDUCTIONS
from actlab.formula.along_axis import AxisActivation
from actlab.formula.atoms import ATOMS as ALL_ATOMS
from actlab.formula.atoms import exp, where
from actlab.formula.expr import Call, Expr, Input, Neg, Number, Over, ParamRef, number
from actlab.formula.param import Param
from actlab.lower import to_js, to_numpy
from actlab.lower.standalone import standalone
from actlab.lower.to_js import ATOMS, ERF, HELPERS, REDUCTIONS, SCALED_ERFC, Function, function_name, module, safe_names

X, A = Input("x"), ParamRef("a")

CALL = """
async ([text, name, args]) => {
  const module = await import(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
  return name === "rows" ? args[0].map((x) => module.f(x)) : module[name](...args);
}
"""


@pytest.fixture(scope="module")
def call() -> Iterator[Callable[..., Any]]:
    """A function that calls a function of a module in the browser."""
    with browser.empty_page() as page:
        yield lambda text, name, *args: page.evaluate(CALL, [text, name, list(args)])


def written(*outputs: Expr, args: tuple[Input | ParamRef, ...] = (X,)) -> str:
    return module([Function("f", outputs, args)])


def body(*outputs: Expr, args: tuple[Input | ParamRef, ...] = (X,)) -> str:
    """The lines between the function's brackets."""
    return written(*outputs, args=args).partition("{\n")[2].partition("\n}")[0]


def test_every_atom_and_every_reduction_has_a_spelling():
    assert set(ATOMS) == set(ALL_ATOMS)
    assert set(REDUCTIONS) == set(ALL_REDUCTIONS)


def test_a_simple_formula_is_one_line():
    text = written(where(X <= 0, 0, X))
    assert text == "export function f(x) {\n  return x <= 0 ? 0 : x;\n}\n"


def test_several_outputs_are_an_array():
    assert body(2 * X, X / 4) == "  return [2 * x, x / 4];"


@pytest.mark.parametrize(
    ("formula", "line"),
    [
        (-(X**2), "-(x * x)"),
        ((-X) ** 2, "(-x) * (-x)"),
        ((-X) ** 4, "Math.pow(-x, 4)"),
        (-(X**4), "-Math.pow(x, 4)"),
        (X ** Number(number("0.5").value), "Math.pow(x, 0.5)"),
        (Neg(Neg(X)), "-(-x)"),
        (3 - (X - 2), "3 - (x - 2)"),
        (X - number("-3"), "x - -3"),
        (2 / (3 / X), "2 / (3 / x)"),
        (2 * (X + 1), "2 * (x + 1)"),
        (where(X < 1, where(X < 0, 1, 2), 3), "x < 1 ? (x < 0 ? 1 : 2) : 3"),
        (where(X < 1, 1, where(X < 2, 2, 3)), "x < 1 ? 1 : x < 2 ? 2 : 3"),
        (1 + where(X < 1, 1, X), "1 + (x < 1 ? 1 : x)"),
    ],
)
def test_precedence(formula, line):
    assert line in body(formula)


def test_a_shared_part_is_computed_once():
    part = exp(X)
    assert body(part * part + part).count("Math.exp") == 1


def test_a_chosen_branch_is_computed_alone(call):
    calls = written(where(A <= 0, X, X / A), args=(X, A))
    assert call(calls, "f", 3, 0) == 3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0.1", "0.1"),
        ("3", "3"),
        ("0.00001", "1e-05"),
        ("1e22", "1e+22"),
        ("1.0507009873554804934193349852946", "1.0507009873554805"),
        ("5e-324", "5e-324"),
    ],
)
def test_constants_keep_every_digit_of_a_double(call, value, text):
    assert f"{text} * x" in body(number(value) * X)
    assert call(written(number(value) * X), "f", 1) == float(value)


def test_names_that_mean_something_in_javascript_are_changed(call):
    names = [
        "new",
        "new_",
        "class",
        "t1",
        "s2",
        "Math",
        "NaN",
        "logistic",
        "limitFar",
        "f",
        "arguments",
        "eval",
        "let",
        "i",
    ]
    params = [ParamRef(name) for name in names]
    formula = sum(params[1:], start=X * params[0])
    assert call(written(formula, args=(X, *params)), "f", 1, *([2] * len(params))) == 2 * len(params)
    assert len(set(safe_names([*names, "x"], frozenset({"f"})))) == len(names) + 1


@pytest.mark.parametrize("name", ["x); alert(1", "a b", "", "1a", "a\nb", "a*/", "a;b", "${a}", "a.b"])
def test_a_name_that_is_no_identifier_is_refused(name):
    with pytest.raises(CannotLower, match="must be an identifier"):
        written(X * ParamRef(name), args=(X, ParamRef(name)))
    with pytest.raises(CannotLower, match="must be an identifier"):
        module([Function(name, (X,), (X,))])


def test_a_comment_cannot_end_early(call):
    text = module([Function("f", (2 * X,), (X,), summary="a */ throw 1; /* b\u2028 throw 2 */")])
    assert call(text, "f", 2) == 4


def test_a_typed_formula_in_the_comment_runs_nothing(call):
    act = get("x*(2)")
    assert call(standalone(act, "javascript"), "activation", 4) == 8


def test_an_argument_that_is_missing_is_refused():
    with pytest.raises(CannotLower, match="mentions 'a', which is not an argument"):
        written(X * A)


def test_an_unknown_atom_is_refused():
    with pytest.raises(CannotLower, match="uses lambert_w, which target 'javascript' cannot spell"):
        written(Call("lambert_w", (X,)))
    with pytest.raises(CannotLower, match="uses median, which target 'javascript' cannot spell"):
        written(Over("median", X))


def test_an_exported_name_with_a_meaning_is_refused_and_can_be_changed():
    with pytest.raises(CannotLower, match="the name 'class' has a meaning in JavaScript"):
        module([Function("class", (X,), (X,))])
    assert function_name("class") == "class_"


def test_a_deep_formula_runs(call):
    deep: Expr = X
    for _ in range(400):
        deep = (deep + 1) * 1
    nested: Expr = X
    for k in range(400):
        nested = where(k > X, nested, k)
    assert call(written(deep), "f", 2) == 402
    assert call(written(nested), "f", -1.5) == -1.5


def test_generated_formulas_equal_numpy(call):
    found: list[Expr] = []

    @given(strategies.formulas)
    def collect(formula):
        found.append(formula)

    collect()
    places = [-50.5, -2.25, -0.75, 0.0, 0.375, 1.875, 7.0]
    compared = 0
    for formula in found:
        try:
            text, program = written(formula, -formula), to_numpy.program([formula, X], [X])
        except ActlabError:
            continue  # a constant part has no finite value
        with np.errstate(all="ignore"):
            values = program.function(np.array(places))[0]
        wanted = [[value, -value] for value in np.broadcast_to(values, len(places)).tolist()]
        answers = np.array(call(text, "rows", places), dtype=float)
        np.testing.assert_allclose(answers, wanted, rtol=1e-9, atol=1e-12, err_msg=text)
        compared += 1
    assert compared > 80


def test_helpers_are_added_only_where_used():
    assert "function" not in body(X * 2)
    text = written(Call("erf", (X,)))
    used = {name for name in HELPERS if f"function {name}(" in text}
    assert used == {"errorFunction", "errorFunctionTail", "scaledTail", "expMinusSquare", "polynomial"}


def test_parameters_are_arguments_with_their_values_as_defaults(call):
    @activation(source="nowhere", known={})
    def scaled(x, new=Param(1.5)):
        """The input, scaled."""
        return new * x

    text = standalone(scaled, "javascript")
    assert "export function scaled(x, new_ = 1.5)" in text
    assert call(text, "scaled", 2) == 3
    assert call(text, "scaled", 2, 5) == 10
    assert call(text, "scaled_derivative", 2) == 1.5


@pytest.mark.parametrize("name", CATALOG)
def test_every_program_is_a_module_with_value_and_derivative(call, name):
    act = CATALOG[name]
    text = standalone(act, "javascript")
    count = 3 if isinstance(act, AxisActivation) or len(act.inputs) == 2 else 2
    assert text.count("export function") == count
    one = [0.3, -1.25, 2.0] if isinstance(act, AxisActivation) else 0.3
    assert call(text, name, *([one] * len(act.inputs))) is not None


@pytest.mark.parametrize("act", [act for act in CATALOG.values() if isinstance(act, AxisActivation)], ids=str)
def test_activations_along_an_axis_equal_numpy(call, act):
    generator = np.random.default_rng(5)
    text = standalone(act, "javascript")
    for size in (1, 2, 7, 40):
        x, v = generator.normal(size=(2, size)) * 2
        y = to_numpy.program([act.expression], [X]).function(x, 0)
        np.testing.assert_allclose(call(text, act.name, x.tolist()), y, rtol=1e-13, atol=1e-15)
        for part, formula in (("jvp", act.jvp), ("vjp", act.vjp)):
            wanted = to_numpy.program([formula], [Input("y"), Input("v")]).function(y, v, 0)
            answer = call(text, f"{act.name}_{part}", y.tolist(), v.tolist())
            np.testing.assert_allclose(answer, wanted, rtol=1e-12, atol=1e-14)


def interpolated(function: Callable[[Any], Any], low: Any, high: Any, count: int) -> list[float]:
    """The polynomial through the function's values at the Chebyshev nodes."""
    nodes = [(low + high) / 2 + (high - low) / 2 * mp.cos(mp.pi * (2 * k + 1) / (2 * count)) for k in range(count)]
    powers = mp.matrix(count, count)
    for row, node in enumerate(nodes):
        for column in range(count):
            powers[row, column] = node**column
    return [float(each) for each in mp.lu_solve(powers, mp.matrix([function(node) for node in nodes]))]


def test_the_coefficients_of_the_error_function_are_those_of_its_recipe():
    with mp.workdps(60):
        erf = interpolated(lambda u: mp.erf(mp.sqrt(u)) / mp.sqrt(u), mpf(0), mpf(1) / 4, len(ERF))

        def scaled(t):
            x = 3 * (1 + t) / (1 - t)
            return (1 + 2 * x) * mp.exp(x * x) * mp.erfc(x)

        scaled_erfc = interpolated(scaled, -mpf(5) / 7, mpf(1), len(SCALED_ERFC))
    assert tuple(erf) == ERF
    np.testing.assert_allclose(scaled_erfc, SCALED_ERFC, rtol=1e-15)


def test_the_target_is_named():
    assert to_js.TARGET == "javascript"
    assert math.isclose(ERF[0], 2 / math.sqrt(math.pi))
