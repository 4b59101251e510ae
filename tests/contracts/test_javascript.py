"""Is the JavaScript right? Run by the browser's own engine, compared with the formula at 50 digits and its limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import pytest
from mpmath import mp, mpf

import browser
import oracles
import tolerances
from actlab.catalog.index import CATALOG, get
from actlab.formula.activation import Activation, activation
from actlab.formula.atoms import exp, log, where
from actlab.formula.expr import Expr, Input, Number, exactly
from actlab.formula.param import Param
from actlab.formula.substitute import substitute
from actlab.lower.straight_line import program
from actlab.theory.bounded_mpmath import Undefined
from actlab.theory.limits import limit_far
from actlab.theory.multiprecision import SPELLING, with_real_powers
from actlab.verbs.program import program_of

POINTWISE = [act for act in CATALOG.values() if isinstance(act, Activation)]

# Far from a root, a value may be off by this share of itself.
RELATIVE = 1e-12
_BITS = 200
# A typed formula may square its input.
OVERFLOWS = 1e150
_LARGEST = 1.7976931348623157e308

# mpmath refuses erfc of 1e300; it is 0 there to more digits than there are.
_ERFC = """
def far_erfc(x):
    return mp.erfc(x) if abs(x) < 1e6 else mp.mpf(0 if x > 0 else 2)
"""
_ATOMS = {name: spelled.replace("mp.erfc(", "far_erfc(") for name, spelled in SPELLING.atoms.items()}
ORACLE = replace(SPELLING, atoms=_ATOMS, preambles={**SPELLING.preambles, "far_erfc": _ERFC})

RUN = """
async ([text, rows]) => {
  const module = await import(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
  return rows.map((row) => module.f(...row));
}
"""


@dataclass(frozen=True)
class Case:
    """An activation with parameter values, and the program that its own default values give."""

    act: Activation
    text: str
    largest: float = math.inf

    def __str__(self) -> str:
        return self.act.label

    @cached_property
    def outputs(self) -> list[Expr]:
        """What the program answers: the value, and both derivatives of one input or one by each of two."""
        if len(self.act.inputs) == 1:
            return [self.act.formula, self.act.derivative(), self.act.derivative(times=2)]
        return [self.act.formula, *(self.act.derivative(name) for name in self.act.inputs)]

    @cached_property
    def inputs(self) -> list[Input]:
        return [Input(name) for name in self.act.inputs]

    @cached_property
    def rows(self) -> list[tuple[float, ...]]:
        """The inputs, for a gated activation each against each; NaN only with ordinary ones."""
        points = [*oracles.points_for(self.act, largest=self.largest), -math.inf, math.inf]
        points = [point for point in points if not math.isnan(point)]
        if len(self.inputs) == 1:
            return [*((point,) for point in points), (math.nan,)]
        some = [*points[::6], -math.inf, -600.0, -1.7, 0.0, 6.5, math.inf]
        return [*((value, gate) for value in some for gate in some), (math.nan, 0.5), (0.5, math.nan)]

    @cached_property
    def exact(self) -> list[Callable[..., mpf]]:
        return [program([with_real_powers(output)], self.inputs, spelling=ORACLE).function for output in self.outputs]  # type: ignore[misc]  # mpmath carries no types


def case_of(act: Activation, *, declared: Activation | None = None, largest: float = math.inf) -> Case:
    return Case(act, program_of(declared or act).text, largest)


def other_value(param: Param) -> float:
    """A value within the bounds that is not the default, a multiple of 1/8: exact as a decimal and as a double."""
    tried = [math.floor((param.value * 1.5 + 0.375) * 8) / 8, (param.value + param.most) / 2]
    return next(value for value in tried if param.admits(value) and value != param.value)


def cases() -> Iterator[Case]:
    yield from (case_of(act) for act in POINTWISE)
    for act in POINTWISE:
        if act.params:
            yield case_of(act.bind(**{param.name: other_value(param) for param in act.params}), declared=act)
    for name, values in (
        ("soft_exponential", {"alpha": -0.5}),
        ("soft_exponential", {"alpha": 0.0}),
        ("swish", {"beta": -1.25}),
        ("swish", {"beta": 0.0}),
        ("leaky_relu", {"negative_slope": 0.0}),
        ("prelu", {"weight": -0.5}),
        ("dynamic_tanh", {"alpha": 0.0}),
        ("hard_tanh", {"min_val": -0.5, "max_val": 2.0}),
    ):
        yield case_of(CATALOG[name].bind(**values), declared=CATALOG[name], largest=OVERFLOWS)
    for text, values in (
        ("x*sigmoid(beta*x)", {"beta": 1.75}),
        ("where(x < a, sin(x)**2, log1p(x**2)/x)", {"a": 0.5}),
        ("x**3 - x", {}),
        ("max(x, 2*x) - 0*x", {}),
        ("where(x*normal_cdf(x) < -0.125, x/3, x)", {}),
        ("-x**2 + 2**-x", {}),
        ("|x|**p", {"p": 1.5}),
        ("erfc(x) - erf(x/3)", {}),
        ("max(x, 0.125*x) + min(x, k)", {"k": 1.5}),
        ("sinc(pi*x)*exp(-x^2)", {}),
        ("atan(x)*normal_pdf(x - 1)", {}),
        ("value*erf(gate)/(1 + exp(-gate))", {}),
        ("x*erfc(-x)/new", {"new": 2.0}),
    ):
        yield case_of(get(text, **values), largest=OVERFLOWS)


CASES = list(cases())

Run = Callable[..., list[list[float]]]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """A function that gives a case's answers, one list for each row, from the browser."""
    with browser.empty_page() as page:

        def answers(case: Case, rows: Sequence[tuple[float, ...]] | None = None) -> list[list[float]]:
            values = [param.value for param in case.act.params]
            found: list[list[float]] = page.evaluate(RUN, [case.text, [[*row, *values] for row in rows or case.rows]])
            return found

        yield answers


def refuse_inexact(case: Case, answers: Sequence[Sequence[float]]) -> None:
    """Every finite input, 0, tiny and huge ones too."""
    with mp.workprec(_BITS):
        for row, answer in zip(case.rows, answers, strict=True):
            if all(map(math.isfinite, row)):
                for got, exact in zip(answer, case.exact, strict=True):
                    at = tuple(map(mpf, row))
                    wanted = value_of(exact, at)
                    assert is_near(got, wanted) or is_explained(case, exact, at, got, wanted), (
                        f"{case} at {row}: {got!r}, exact {wanted and float(wanted)!r}"
                    )


def value_of(exact: Callable[..., mpf], at: tuple[mpf, ...]) -> mpf | None:
    """The value to many digits; None where the formula has no finite real one."""
    try:
        return exact(*at)
    except (Undefined, ZeroDivisionError):
        return None


def is_near(got: float, wanted: mpf | None) -> bool:
    if wanted is None:
        return not math.isfinite(got)
    if abs(wanted) > _LARGEST:
        return got == math.copysign(math.inf, mp.sign(wanted))
    return math.isfinite(got) and abs(got - wanted) <= RELATIVE * abs(wanted) + tolerances.UNDERFLOW


def is_explained(case: Case, exact: Callable[..., mpf], at: tuple[mpf, ...], got: float, wanted: mpf | None) -> bool:
    """Near a root the answer may be that of an input some rounding errors away, on the side that has no kink."""
    if wanted is None or not math.isfinite(got):
        return False
    # a second derivative is a difference of terms as large as the first
    felt = abs(case.exact[1](*at)) if len(at) == 1 and exact is case.exact[2] else mpf(0)
    for place in range(len(at)):
        moved = [
            exact(*(x * (1 + step) if k == place else x for k, x in enumerate(at)))
            for step in (mpf(10) ** -40, -(mpf(10) ** -40))
        ]
        felt += min(abs(value - wanted) for value in moved) * mpf(10) ** 40
    if case.act.name in tolerances.CANCELS:
        felt += max(1, *map(abs, at))
    return bool(abs(got - wanted) <= tolerances.ROUNDINGS * tolerances.EPSILON * felt)


def refuse_wrong_limits(case: Case, answers: Sequence[Sequence[float]]) -> None:
    """Every infinite input: the limit where there is one, NaN elsewhere."""
    for row, answer in zip(case.rows, answers, strict=True):
        if not any(map(math.isinf, row)):
            continue
        for got, output in zip(answer, case.outputs, strict=True):
            wanted = limit_at(case, output, row)
            allowed = RELATIVE * abs(wanted or 0) + tolerances.UNDERFLOW
            near = math.isnan(got) if wanted is None else got == wanted or abs(got - wanted) <= allowed
            assert near, f"{case} at {row}: {got!r}, limit {wanted}"


def limit_at(case: Case, output: Expr, row: Sequence[float]) -> float | None:
    """The limit of an output where the inputs that are infinite tend to that; None if there is none."""
    ends = [k for k, x in enumerate(row) if math.isinf(x)]
    if len(ends) == 2:
        return joint_limit(case, output, row)
    (end,) = ends
    exchange: dict[Expr, Expr] = {
        leaf: Input("x") if k == end else Number(exactly(row[k])) for k, leaf in enumerate(case.inputs)
    }
    found = limit_far(substitute(output, exchange), round(math.copysign(1, row[end])))
    return found if isinstance(found, float) else None


def joint_limit(case: Case, output: Expr, row: Sequence[float]) -> float | None:
    """The limit of two inputs on their way to infinity, if it is the same however fast each goes."""
    exact = case.exact[case.outputs.index(output)]
    ways = [("1e30", "1e30"), ("20", "1e30"), ("1e30", "20"), ("1e900", "20"), ("1e900", "1e30")]
    with mp.workprec(_BITS):
        signs = [math.copysign(1, x) for x in row]
        values = [exact(*(sign * mpf(place) for sign, place in zip(signs, way, strict=True))) for way in ways]
        if max(map(abs, values)) < 1e-6:
            return 0.0
        if max(values) - min(values) <= 1e-6 * abs(values[-1]):
            return float(values[-1])
        same_sign = min(values) > 0 or max(values) < 0
        return math.copysign(math.inf, mp.sign(values[0])) if same_sign and min(map(abs, values)) > 15 else None


def refuse_lost_nan(case: Case, answers: Sequence[Sequence[float]]) -> None:
    for row, answer in zip(case.rows, answers, strict=True):
        if any(map(math.isnan, row)):
            assert math.isnan(answer[0]), f"{case} hides a NaN at {row}: {answer[0]!r}"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_value_and_derivatives_equal_the_formula(case: Case, run: Run) -> None:
    answers = run(case)
    refuse_inexact(case, answers)
    refuse_wrong_limits(case, answers)
    refuse_lost_nan(case, answers)


@pytest.mark.parametrize(
    ("text", "largest"),
    [
        ("erf(x)", 6.0),
        ("erfc(x)", 26.0),
        ("normal_cdf(x)", 37.0),
        ("normal_pdf(x)", 37.0),
        ("sigmoid(x)", 700.0),
        ("log_sigmoid(x)", 700.0),
        ("softplus(x)", 700.0),
        ("sinc(x)", 3.0),
    ],
)
def test_each_function_of_ours_keeps_fifteen_digits(run: Run, text: str, largest: float) -> None:
    case = case_of(get(text))
    rows = [(largest * (k / 300.0 - 1.001),) for k in range(600)]
    answers = run(case, rows)
    with mp.workprec(_BITS):
        errors = [
            float(abs(answer[0] / case.exact[0](mpf(row[0])) - 1)) for row, answer in zip(rows, answers, strict=True)
        ]
    assert max(errors) < 2e-15, f"{text} at {rows[errors.index(max(errors))]}: relative error {max(errors)}"


@pytest.mark.parametrize(
    "text", ["softplus(x) - (x + 0.875)", "(exp(x) - exp(-x))/(exp(x) + exp(-x))", "x*(1 - tanh(x))"]
)
def test_limits_of_formulas_that_cancel(run: Run, text: str) -> None:
    case = case_of(get(text))
    refuse_wrong_limits(case, run(case))


def test_a_formula_that_cancels_is_found(run: Run) -> None:
    @activation(source="nowhere", known={})
    def cancelling(x):
        """softplus, its left tail lost."""
        return log(2 + 2 * exp(x)) - log(2)

    case = case_of(cancelling, largest=40)
    with pytest.raises(AssertionError, match=r"cancelling at .*, exact "):
        refuse_inexact(case, run(case))


def test_a_formula_that_hides_nan_is_found(run: Run) -> None:
    @activation(source="nowhere", known={})
    def hiding(x):
        """relu, 0 at NaN."""
        return where(x > 0, x, 0)

    case = case_of(hiding)
    with pytest.raises(AssertionError, match="hiding hides a NaN"):
        refuse_lost_nan(case, run(case))


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("gelu", "0.12964515870285032", "0.12964515970285032"),
        ("erf", "-0.37612638903183476", "-0.37612639003183476"),
        ("gelu", "(x - high) * (x + high)", "0"),
        ("softplus", "x > 0 ? x + Math.log1p(Math.exp(-x)) : ", ""),
        ("sinc", "let term = 1;", "let term = 1 + 1e-11;"),
    ],
)
def test_a_wrong_spelling_is_found(run: Run, name: str, right: str, wrong: str) -> None:
    case = case_of(CATALOG[name])
    assert right in case.text
    broken = replace(case, text=case.text.replace(right, wrong))
    with pytest.raises(AssertionError, match=rf"{name}.* at .*, exact "):
        refuse_inexact(broken, run(broken))


@pytest.mark.parametrize("name", ["gelu", "swiglu", "rational", "snake"])
def test_a_lost_limit_is_found(run: Run, name: str) -> None:
    case = case_of(CATALOG[name])
    broken = replace(
        case, text=case.text.replace("function limitFar(inputs, f, swings) {", "function limitFar() { return NaN;")
    )
    assert broken.text != case.text
    with pytest.raises(AssertionError, match=rf"{name}.* at .*inf.*: nan, limit "):
        refuse_wrong_limits(broken, run(broken))
