from __future__ import annotations

from dataclasses import replace

import pytest

from actlab.report.chart import Compared
from actlab.report.charts import step_cost
from actlab.report.page import page
from actlab.report.table import rows
from actlab.report.terminal import comparison_lines
from actlab.report.wording import p_text, with_minus_signs
from actlab.sites.site_text import name_text
from actlab.study.comparison import Cost
from unit.report.comparisons import TESTS, errors, made


def test_a_row_holds_the_results_of_an_arm():
    relu = rows(made())[1]
    assert (relu.activation, relu.verdict) == ("relu", "better")
    assert (relu.test, relu.spread, relu.valid) == ("91.25", "0.93", "91.50")
    assert (relu.difference, relu.interval, relu.level) == ("+21.00", "+18.00 to +24.00", "98.8 %")
    assert relu.p == "0.031"  # four comparisons, each 2/2**8
    assert (relu.rate, relu.diverged, relu.steps, relu.step_time) == ("0.01", "0 of 16", "1,234", "≈1.1×†")


def test_the_control_comes_first_and_has_no_difference():
    control = rows(made())[0]
    assert control.activation == "sigmoid"
    assert {control.difference, control.interval, control.p, control.steps} == {"–"}


def test_the_best_comes_first_if_less_is_better_too():
    assert [row.activation for row in rows(errors())] == ["sigmoid", "relu", "tanh", "gelu", "elu"]


def test_an_arm_that_was_not_timed_has_a_dash():
    assert rows(made(costs={}))[1].step_time == "–"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("relu", "relu"),
        ("two\nlines\tand more", "two lines and more"),
        ("bell\x07\u202eback", "bell\ufffd\ufffdback"),
        ("x" * 50, "x" * 39 + "…"),
    ],
)
def test_a_name_fits_on_one_line(name, shown):
    assert name_text(name) == shown


def test_a_tiny_p_is_a_bound():
    assert (p_text(9.9e-5), p_text(1e-4)) == ("< 0.0001", "0.0001")


def test_sentences_have_minus_signs_in_their_numbers_and_names_keep_their_hyphens():
    softplus = rows(made())[-1]
    assert "−9.00 against sigmoid" in softplus.sentence
    assert with_minus_signs("my-2x is worse: -2.5") == "my-2x is worse: −2.5"


def test_step_times_are_no_more_exact_than_they_are():
    assert [row.step_time for row in rows(made())] == ["1×†", "≈1.1×†", "≈1.3×", "≈1.2×", "≈1.4×"]


def test_step_times_have_their_interval_and_a_star_if_it_is_wide():
    names = ("sigmoid", "relu", "gelu")
    comparison = made({name: TESTS[name] for name in names})
    cost = Cost(
        1.0,
        dict.fromkeys(names, 0.001),
        {"sigmoid": 1.0, "relu": 1.2, "gelu": 0.8},
        {"sigmoid": 1.0, "relu": 1.15, "gelu": 0.7},
        {"sigmoid": 1.0, "relu": 1.25, "gelu": 0.82},
    )
    comparison = replace(comparison, cost=cost)
    shown = {row.activation: row.step_time for row in rows(comparison)}
    assert shown == {"sigmoid": "1×", "relu": "1.20× (1.15–1.25)†", "gelu": "0.80× (0.70–0.82)*†"}
    lines = "\n".join(comparison_lines(comparison, width=220))
    assert "0.80× (0.70–0.82)*" in lines
    assert "* marks one that is wider than ±10 %" in lines
    text = page(comparison, provenance={})
    assert text.count("0.80× (0.70–0.82)*") == 1  # in the description of the chart
    assert "<td>0.80×<small>(0.70–0.82)*†</small></td>" in text
    assert step_cost.facts(Compared(comparison)).arms[1].limits == (1.15, 1.25)
