"""Properties of formulas just typed, their JSON, and the data that is kept for the catalog."""

from __future__ import annotations

import json
import math

import pytest

from actlab.catalog.index import CATALOG
from actlab.errors import UnknownActivation
from actlab.formula.activation import Activation, typed
from actlab.formula.along_axis import AxisActivation
from actlab.formula.parser import parse
from actlab.theory.compute_properties import established
from actlab.theory.properties import properties, stored
from actlab.theory.record import Extremum, Properties, Span, Unknown

INF = math.inf


def of(text: str) -> Properties:
    return established(typed(text, parse(text)))


def test_a_formula_just_typed() -> None:
    known = of("x*sigmoid(1.702*x)")
    assert isinstance(known.minimum, Extremum)
    assert known.minimum.at == pytest.approx(-1.2784645427610738 / 1.702)
    assert (known.range.lower_attained, known.range.upper, known.monotone, known.kinks) == (True, INF, False, ())
    assert known.saturates == ("left",)


def test_poles_and_gaps() -> None:
    known = of("1/(x*x - 1)")
    assert known.domain == (Span(-INF, -1.0), Span(-1.0, 1.0), Span(1.0, INF))
    assert (known.range.lower, known.range.upper, known.maxima) == (-INF, INF, (Extremum(0.0, -1.0),))
    assert isinstance(known.monotone, Unknown)
    assert known.value_at_zero == -1.0
    known = of("log(x)")
    assert (known.domain, known.monotone, known.concave, known.lipschitz) == ((Span(0.0, INF),), True, True, INF)
    assert known.value_at_zero is None
    assert isinstance(known.limits.left, Unknown)


def test_jump_to_a_pole_is_neither_monotone_nor_concave() -> None:
    known = of("where(x <= 0, 0, log(x))")
    assert (known.monotone, known.concave, known.convex, known.range.lower) == (False, False, False, -INF)


def test_constant_pieces() -> None:
    known = of("where(x <= 0, 2, where(x <= 1, 3, 1))")
    assert (known.range.lower, known.range.upper, known.lipschitz, known.smoothness) == (1.0, 3.0, INF, -1.0)
    assert known.flat == ("left", "right")
    assert isinstance(known.kinks, tuple)
    assert [kink.at for kink in known.kinks] == [0.0, 1.0]
    assert known.roots == ()


def test_a_kink_without_a_condition_is_found() -> None:
    known = of("sqrt(x*x)")
    assert isinstance(known.kinks, tuple)
    assert [(kink.at, kink.left_slope, kink.right_slope) for kink in known.kinks] == [(0.0, -1.0, 1.0)]
    assert known.homogeneous is True


@pytest.mark.parametrize("text", ["sqrt(x*x)", "exp(log(x))", "(x**3)**(1/3)"])
def test_cancellation_is_not_mistaken_for_curvature(text: str) -> None:
    assert of(text).convex is not False


@pytest.mark.parametrize("text", ["1/(1 + exp(-x - 700))", "sigmoid(x + 50)", "tanh(x + 2000)"])
def test_a_function_that_is_flat_at_the_samples_is_not_even(text: str) -> None:
    assert of(text).even is False


def test_an_even_function_that_cancels_on_one_side_is_even() -> None:
    assert of("sigmoid(x) - sigmoid(x)**2").even is True


def test_narrow_feature_far_out_is_not_missed() -> None:
    known = of("exp(-(x - 500)**2)")
    assert known.maximum == Extremum(500.0, 1.0)
    assert known.lipschitz == pytest.approx(math.sqrt(2 / math.e))
    assert known.convex is False
    known = of("exp(-1000*(x - 5000.03)**2)")  # too narrow for any sample: only the bounds can tell
    assert known.convex is not True
    assert known.monotone is not True
    assert known.range.upper == pytest.approx(1.0)


@pytest.mark.parametrize(
    "text",
    [
        "sin(1/x)", "x*sin(x)", "exp(exp(exp(x)))", "sin(x)/cos(x)", "x**x", "sign(sin(x))", "x**1000", "1e300*x",
        "log(log(x))", "erf(x)*sin(30*x)", "where(sin(x) > 0, x, 0)", "x*log(abs(x))", "x/x", "tanh(1e20*x)",
        "exp(-1/(x*x))", "atan(1/x)", "(x*x)**0.3", "sqrt(1 - x*x)",
    ],
)  # fmt: skip
def test_nasty_formulas_get_answers_or_reasons(text: str) -> None:
    known = of(text).to_json()
    assert json.loads(json.dumps(known, allow_nan=False)) == known
    unknown = known["unknown"]
    assert isinstance(unknown, dict)
    assert all(reason for reason in unknown.values())


def test_endless_oscillation_is_unknown_with_its_reason() -> None:
    known = of("x*cos(x)")
    assert isinstance(known.limits.right, Unknown)
    assert (known.range.lower, known.range.upper, known.monotone, known.lipschitz) == (-INF, INF, False, INF)
    assert isinstance(known.minima, Unknown)
    assert known.minimum is None


def test_rounding_does_not_count_as_attaining_a_limit() -> None:
    known = of("1/(1 + exp(-x))")
    assert known.range.upper == 1.0
    assert known.range.upper_attained is not True


def test_json_says_infinity_in_words_and_null_with_its_reason() -> None:
    known = of("sin(x)").to_json()
    assert known["limits"] == {"left": None, "right": None}
    assert known["unknown"]["limits.left"] == "it oscillates"  # type: ignore[index]  # JSON is not typed
    known = properties("relu").to_json()
    assert known["range"] == {"lower": 0.0, "upper": "inf", "lower_attained": True, "upper_attained": False}
    assert known["minimum"] == {"at": 0.0, "value": 0.0}
    assert known["limits"] == {"left": 0.0, "right": "inf"}


@pytest.mark.parametrize("text", ["x*sigmoid(x)", "sin(x)", "1/x", "where(x <= 0, 0, 1)"])
def test_json_comes_back(text: str) -> None:
    known = of(text)
    assert Properties.from_json(json.loads(json.dumps(known.to_json()))) == known


def test_gated_and_axis_activations_have_a_range_and_a_reason() -> None:
    known = properties("clamped_swiglu")
    assert isinstance(known.lipschitz, Unknown)
    assert known.lipschitz.reason == "it has two inputs"
    known = properties("softmax")
    assert (known.range.lower, known.range.upper) == (0.0, 1.0)
    assert isinstance(known.monotone, Unknown)
    assert known.monotone.reason == "it acts along an axis"


def test_a_parameter_makes_another_formula() -> None:
    assert properties("swish", beta=2.0).minimum != properties("swish").minimum
    assert properties("swish", beta=2.0).formula == "swish(beta=2)"
    with pytest.raises(UnknownActivation):
        properties("swsh")


def apart(kept: object, fresh: object, path: str = "") -> list[str]:
    """Where two JSON values differ by more than the tolerance of a place or a value."""
    if isinstance(kept, dict) and isinstance(fresh, dict) and kept.keys() == fresh.keys():
        return [line for name in kept for line in apart(kept[name], fresh[name], f"{path}.{name}")]
    if isinstance(kept, list) and isinstance(fresh, list) and len(kept) == len(fresh):
        return [line for at, pair in enumerate(zip(kept, fresh, strict=True)) for line in apart(*pair, f"{path}.{at}")]
    if isinstance(kept, float) and isinstance(fresh, float):
        return [] if math.isclose(kept, fresh, rel_tol=1e-9, abs_tol=1e-9) else [f"{path}: {kept} is now {fresh}"]
    return [] if kept == fresh else [f"{path}: {kept} is now {fresh}"]


def drift(act: Activation | AxisActivation) -> list[str]:
    fresh = json.loads(json.dumps(established(act).to_json()))
    return apart({**stored()[act.key], "formula": ""}, {**fresh, "formula": ""})


REGENERATE = "run python -m actlab.theory.generate"


def test_every_activation_has_stored_properties() -> None:
    missing = [act.name for act in CATALOG.values() if act.key not in stored()]
    assert not missing, f"{missing}: {REGENERATE}"
    unused = stored().keys() - {act.key for act in CATALOG.values()}
    assert not unused, f"{unused}: {REGENERATE}"


# Every seventh by key: another sample whenever a formula changes, the same on every machine until then.
SAMPLE = [act for act in CATALOG.values() if int(act.key, 16) % 7 == 0]


@pytest.mark.parametrize("act", SAMPLE, ids=str)
def test_stored_properties_equal_computed_ones(act: Activation | AxisActivation) -> None:
    assert not drift(act), REGENERATE


@pytest.mark.slow
@pytest.mark.parametrize("act", CATALOG.values(), ids=str)
def test_all_stored_properties_equal_computed_ones(act: Activation | AxisActivation) -> None:
    assert not drift(act), REGENERATE


def test_outdated_stored_properties_are_detected() -> None:
    kept = dict(stored()[CATALOG["gelu"].key])
    assert apart(kept, {**kept, "lipschitz": kept["lipschitz"] + 1e-6})
    assert apart(kept, {**kept, "monotone": True})


def test_a_tiny_derivative_is_not_0() -> None:
    found = properties("1e-300*x")
    assert found.lipschitz == 1e-300
    assert found.limits.right == math.inf
