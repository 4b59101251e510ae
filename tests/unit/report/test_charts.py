"""The numbers behind the charts, and that a chart is one file."""

from __future__ import annotations

import math
import sys

import pytest

from actlab.catalog.index import get
from actlab.report import charts as folder
from actlab.report.chart import Compared
from actlab.report.charts import differences, functions, learning_curves, step_cost
from actlab.report.page import page
from actlab.report.sections import charts
from actlab.report.table import tone
from unit.report.comparisons import ERRORS, TESTS, errors, made


def compared(*args, **options):
    return Compared(made(*args, **options))


def of(things, name):
    return next(thing for thing in things.arms if thing.arm == name)


def test_learning_curve_gives_median_quartiles_and_extremes_of_the_seeds():
    seeds = {name: [[10.0, 20.0]] * 8 for name in TESTS} | {"relu": [[10.0, float(value)] for value in range(8)]}
    course = of(learning_curves.facts(compared(curves=seeds)), "relu")
    assert course.epochs == (1, 2)
    assert course.median == (10.0, 3.5)
    assert course.inner == ((10.0, 10.0), (1.75, 5.25))
    assert course.outer == ((10.0, 10.0), (0.0, 7.0))


def test_a_seed_that_diverged_counts_as_the_best_constant_answer_from_there_on():
    ended = {name: [[50.0, 60.0, 70.0]] * 8 for name in TESTS} | {"relu": [[50.0]] * 5 + [[50.0, 60.0, 90.0]] * 3}
    course = of(learning_curves.facts(compared(curves=ended)), "relu")
    assert course.ended == 5
    assert course.median == (50.0, 10.0, 10.0)
    assert course.outer[-1] == (10.0, 90.0)


def test_a_seed_that_reached_its_plateau_stays_at_its_last_value():
    curves = {name: [[50.0, 60.0, 70.0]] * 8 for name in TESTS} | {"relu": [[90.0]] * 8}
    course = of(learning_curves.facts(compared(curves=curves, plateaus=True)), "relu")
    assert course.ended == 0
    assert course.median == (90.0, 90.0, 90.0)


def test_no_epoch_leaves_no_curve():
    found = learning_curves.facts(compared(curves={name: [[]] * 8 for name in TESTS}))
    assert [course.epochs for course in found.arms] == [()] * 5
    assert all(math.isfinite(end) for end in found.limits)


def test_an_error_that_explodes_does_not_flatten_the_other_curves():
    curves = {name: [[150.0, 100.0]] * 8 for name in ERRORS} | {"relu": [[150.0, 1e9]] * 8}
    low, high = learning_curves.facts(Compared(errors(curves=curves))).limits
    assert low < 100.0
    assert 150.0 < high < 300.0


def test_differences_leave_out_the_control_and_start_with_the_best():
    found = differences.facts(compared())
    assert [gap.arm for gap in found.arms] == ["relu", "tanh", "gelu", "softplus"]
    relu = found.arms[0]
    assert relu.each == (21.0, 20.0, 23.0, 19.0, 22.0, 24.0, 18.0, 21.0)
    assert (relu.estimate, relu.low, relu.high, relu.verdict) == (21.0, 18.0, 24.0, "better")
    assert found.region == 0.5
    # From -12 to 24, with 6 % of these 36 on either side.
    assert found.limits == pytest.approx((-14.16, 26.16))


def test_the_smallest_error_comes_first():
    assert [gap.arm for gap in differences.facts(Compared(errors())).arms] == ["relu", "tanh", "gelu", "elu"]


def test_infinite_intervals_leave_the_limits_finite():
    found = differences.facts(compared({name: values[:7] for name, values in TESTS.items()}))
    assert (found.arms[0].low, found.arms[0].high) == (-math.inf, math.inf)
    assert all(math.isfinite(end) for end in found.limits)


def test_prices_give_mean_and_spread_at_the_relative_cost():
    price = of(step_cost.facts(compared()), "relu")
    assert (price.relative_step, price.test) == (1.1, 91.25)
    # Squared deviations from 91.25 sum to 6.
    assert price.spread == pytest.approx(math.sqrt(6 / 7))


def test_arms_that_were_not_timed_are_named():
    found = step_cost.facts(compared(costs={"sigmoid": 1.0, "relu": 1.1}))
    assert [price.arm for price in found.arms] == ["sigmoid", "relu"]
    assert found.missing == ("gelu", "tanh", "softplus")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("sigmoid", "relu", "softplus"), "better"),
        (("sigmoid", "gelu"), "equivalent"),
        (("sigmoid", "softplus"), "worse"),
        (("sigmoid", "gelu", "softplus"), "undecided"),
        (("sigmoid", "tanh"), "undecided"),
    ],
)
def test_the_tone_follows_the_verdict_of_the_whole_comparison(names, expected):
    assert tone(made({name: TESTS[name] for name in names})) == expected


def test_formulas_are_drawn_and_the_rest_is_named_with_its_reason():
    names = ("relu", "x*sigmoid(1.702*x)", "MyOwnModule", "softmax", "glu")
    found = functions.facts(compared(dict.fromkeys(names, TESTS["relu"])))
    assert [one.arm for one in found.arms] == ["relu", "x*sigmoid(1.702*x)"]
    assert found.missing == (
        ("MyOwnModule", "not in the catalog"),
        ("softmax", "not a function of one number"),
        ("glu", "not a function of one number"),
    )


def test_the_users_own_activation_is_preferred_to_the_catalogs():
    data = Compared(made({name: TESTS[name] for name in ("sigmoid", "relu")}), {"relu": get("tanh")})
    assert [(one.arm, one.label) for one in functions.facts(data).arms] == [("sigmoid", "sigmoid"), ("relu", "tanh")]


@pytest.mark.parametrize("kind", ["comparison", "diagnosis"])
def test_charts_are_in_order_and_their_names_are_unique(kind):
    found = charts(kind)
    assert [chart.order for chart in found] == sorted(chart.order for chart in found)
    assert len({chart.name for chart in found}) == len(found) >= 3


NEW_CHART = """
from actlab.report.chart import Chart, Key, Picture
from actlab.report.style import axes, image, look

def facts(data):
    return tuple(arm.rate for arm in data.comparison.arms)

def svg(rates):
    with look(points=9, text_as="none"):
        figure, ax = axes(400, 200)
        ax.plot(rates)
        return image(figure, "svg")

CHART = Chart("rates", "Rates by {metric}", "One for each arm.", 15, "comparison", facts,
              lambda rates: (Picture(svg(rates), f"The rates are {rates}."),), lambda rates: (Key("", "rate"),))
"""


def test_one_new_file_is_a_new_chart_on_the_page(tmp_path, monkeypatch):
    (tmp_path / "planted.py").write_text(NEW_CHART)
    before = [chart.name for chart in charts("comparison")]
    monkeypatch.setattr(folder, "__path__", [*folder.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "actlab.report.charts.planted", raising=False)
    try:
        comparison = made({name: TESTS[name] for name in ("sigmoid", "relu")})
        assert [chart.name for chart in charts("comparison")] == [before[0], "rates", *before[1:]]
        text = page(comparison, provenance={})
    finally:
        sys.modules.pop("actlab.report.charts.planted", None)
    assert '<h2 id="rates">Rates by accuracy</h2>' in text
    assert 'aria-label="The rates are (0.01, 0.01)."' in text
