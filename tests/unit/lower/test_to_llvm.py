"""Formulas as vector code: what is spelled, what is refused, how often a part is written, and the numbers."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from mpmath import mp

import oracles
from actlab.catalog.index import get
from actlab.errors import CannotLower
from actlab.formula.activation import Activation
from actlab.formula.expr import Expr, Input, ParamRef
from actlab.lower import polynomials
from actlab.lower.arithmetic import Arithmetic, Num
from actlab.lower.to_llvm import Lowering, exact_constant, half_turns
from actlab.lower.vector import Block
from machine_code import RECIPES, computed, memory_of

X = Input("x")
ROOT = Path(__file__).parents[3]


def formula(text: str, **params: float) -> Expr:
    act = get(text, **params)
    assert isinstance(act, Activation)
    return act.with_references()


def written(text: str) -> list[str]:
    """The instructions for the formula."""
    block = Block(lanes=16, label="body")
    arithmetic = Arithmetic(block, replace(RECIPES["plain float"], scalef=True))
    Lowering(arithmetic, {X: Num(block.real(0.5, arithmetic.kind))}).number(formula(text))
    return block.lines


def evaluated(text: str) -> Callable[[Arithmetic, Sequence[Num]], list[Num]]:
    return lambda arithmetic, given: [Lowering(arithmetic, {X: given[0]}).number(formula(text))]


def test_a_part_that_occurs_twice_is_written_once() -> None:
    once, twice = written("exp(x*x)"), written("exp(x*x) * exp(x*x)")
    assert len(twice) <= len(once) + 2
    shared = written("x/(1 + x*x) + sin(x/(1 + x*x))")
    assert sum(" fdiv " in line for line in shared) == 1


def test_mish_needs_neither_logarithm_nor_a_second_exponential() -> None:
    exponentials = [sum("roundeven" in line for line in written(text)) for text in ("exp(x)", "tanh(softplus(x))")]
    assert exponentials == [1, 1]
    assert not any("ashr" in line for line in written("tanh(softplus(x))"))  # how a logarithm takes a float apart
    assert any("ashr" in line for line in written("log(x)"))
    for text in ("sigmoid(2*softplus(x))", "sigmoid(-(2*softplus(x)))"):
        assert sum("roundeven" in line for line in written(text)) == 1


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(
    "text",
    [
        "x*normal_cdf(x)",
        "x*tanh(softplus(x))",
        "where(x > 0.5, x**3, where(x <= -1, exp(x) - 1, x/(2 + x*x)))",
        "max(0.1*x, min(x, 6))",
        "sqrt(1 + x*x) - x",
        "(1 + x*x)**0.5 * (2 + x*x)**(-3)",
        "x*sin(x) + abs(x)*sign(x)",
        "softplus(3*x)/3",
        "sigmoid(-(2*softplus(x))) + atan(x*x)",
        "log(1 + exp(sin(x))) + log1p(x*x) + erf(x)",
    ],
)
def test_the_numbers_are_the_formulas(text: str, recipe: str) -> None:
    dtype = torch.float32 if memory_of(RECIPES[recipe]) == "float" else torch.float64
    x = torch.linspace(-6, 6, 97, dtype=dtype)
    (found,) = computed(evaluated(text), [x], recipe=RECIPES[recipe], outputs=1)
    exact = oracles.exact([formula(text)], [X])
    with mp.workdps(50):
        wanted = torch.tensor([float(exact(place)[0]) for place in x.tolist()], dtype=torch.float64)
    bound = {"plain": 8, "tabled": 8, "firm": 6, "light": 6, "paired": 2, "short": 1}[recipe.split()[0]] * torch.finfo(
        dtype
    ).eps
    # a sum may cancel: errors of what it adds up, none of which is larger than 20 here
    torch.testing.assert_close(found.double(), wanted, rtol=bound, atol=bound)


@pytest.mark.parametrize(
    ("recipe", "text", "low"),
    [
        ("firm float", "exp(x*x)", 5),
        *(
            (recipe, text, low)
            for recipe in ("light float", "light double", "tabled light float")
            for text, low in (("exp(x*x)", 5), ("sin(3.1*x)", 25), ("cos(3.1*x)", 25))
        ),
    ],
)
def test_light_arithmetic_writes_arguments_with_their_rounding_errors(text: str, low: float, recipe: str) -> None:
    # each of these functions magnifies the error of its argument by fifty and more
    dtype = torch.float32 if "float" in recipe else torch.float64
    x = torch.linspace(low, low + 2, 401, dtype=dtype)
    exact = oracles.exact([formula(text)], [X])
    with mp.workdps(50):
        wanted = torch.tensor([float(exact(place)[0]) for place in x.tolist()], dtype=torch.float64)
    size = wanted.abs().clamp(min=1)
    off, kind = {}, recipe.split()[-1]
    for name, used in {"light": recipe, "plain": f"plain {kind}", "paired": f"paired {kind}"}.items():
        (found,) = computed(evaluated(text), [x], recipe=RECIPES[used], outputs=1)
        off[name] = ((found.double() - wanted).abs() / size).max().item() / torch.finfo(dtype).eps
    assert off["paired"] < 0.7
    assert off["light"] < 2 < 10 < off["plain"]


def test_a_product_with_a_derivative_that_is_zero_is_zero_whatever_comes_in() -> None:
    def body(a: Arithmetic, given: Sequence[Num]) -> list[Num]:
        low = Lowering(a, {X: given[0]})
        return [
            low.product(given[1], formula("where(x > 0, 1, 0)")),
            low.product(given[1], formula("where(x > 0, x, 2)")),
        ]

    x, dy = torch.tensor([1.0, -1.0, -1.0, -1.0]), torch.tensor([math.inf, math.inf, math.nan, 3.0])
    step, slope = computed(body, [x, dy], recipe=RECIPES["plain float"], outputs=2)
    assert step.tolist() == [math.inf, 0.0, 0.0, 0.0]
    assert slope[:2].tolist() == [math.inf, math.inf]
    assert slope[2].isnan()
    assert slope[3] == 6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x**x", "a kernel cannot spell a power whose exponent varies."),
        ("x**0.3", "a kernel cannot spell the power 0.3."),
        ("x**65", "a kernel cannot spell the power 65.0."),
    ],
)
def test_what_cannot_be_spelled_is_an_error(text: str, message: str) -> None:
    with pytest.raises(CannotLower) as error:
        written(text)
    assert str(error.value) == message


def test_a_leaf_outside_the_arguments_is_named() -> None:
    block = Block(lanes=16, label="body")
    arithmetic = Arithmetic(block, RECIPES["plain float"])
    with pytest.raises(CannotLower, match="the formula mentions 'beta', which is not an argument of the kernel"):
        Lowering(arithmetic, {X: Num(block.real(0.5, "float"))}).number(X * ParamRef("beta"))


CONSTANTS: Mapping[str, Callable[[], object]] = {
    "2/3 - 1/7": lambda: mp.mpf(2) / 3 - mp.mpf(1) / 7,
    "sqrt(2/pi)": lambda: mp.sqrt(2 / mp.pi),
    "exp(-1)/log(7)": lambda: mp.exp(-1) / mp.log(7),
    "-(3**5)": lambda: mp.mpf(-243),
}


@pytest.mark.parametrize("text", CONSTANTS)
def test_constants_have_sixty_digits(text: str) -> None:
    (constant,) = [part for part in formula(f"x*({text})").children if part != X]
    assert isinstance(constant, Expr)
    found = exact_constant(constant)
    with mp.workdps(70):
        true = CONSTANTS[text]()
        assert abs(mp.mpf(found.numerator) / found.denominator - true) < abs(true) * mp.mpf(10) ** -55


def test_constants_without_a_rule_are_those_of_double_precision() -> None:
    (constant,) = [part for part in formula("x*tanh(0.5)").children if part != X]
    assert isinstance(constant, Expr)
    assert exact_constant(constant) == Fraction(math.tanh(0.5))


def test_the_polynomials_are_those_that_the_tool_prints() -> None:
    tool = [sys.executable, str(ROOT / "tools" / "fit_polynomials.py")]
    printed = subprocess.run(tool, capture_output=True, text=True, check=True).stdout
    assert printed == (Path(polynomials.__file__).parent / polynomials.DATA).read_text(encoding="utf-8")


def test_polynomials_keep_every_digit_and_are_read_only_for_kernels() -> None:
    second = polynomials.polynomial("single", "exp_sixteenth")[1]
    assert second == Fraction("0.1666686244012251329721780003975789678610")
    assert all(len(row) == 16 for row in (polynomials.normal_tail().centers, *polynomials.normal_tail().coefficients))
    show = "import sys, actlab.verbs as v; v.show('gelu'); assert 'actlab.lower.polynomials' not in sys.modules"
    subprocess.run([sys.executable, "-c", show], check=True)


@pytest.mark.parametrize(
    ("text", "turns"),
    [
        ("pi*x", 1),
        ("x*pi", 1),
        ("2*pi*x", 2),
        ("pi/4*x", Fraction(1, 4)),
        ("3*pi*x", None),
        ("3.14159265*x", None),
        ("x*x", None),
    ],
)
def test_an_angle_in_half_turns_is_known(text: str, turns: Fraction | None) -> None:
    found = half_turns(formula(text))
    assert (None if found is None else found[0]) == turns
