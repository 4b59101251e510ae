"""The facts of an activation as lines."""

from __future__ import annotations

import pytest

from actlab.report.shown import shown_lines
from actlab.verbs.show import show


def lines_of(name: str) -> list[str]:
    return shown_lines(show(name).to_json())


def test_a_mode_without_a_correct_digit_says_what_it_loses_and_where() -> None:
    certificate = {"forward": {"max_ulp": 9e15, "at": [1e300, -800.0]}, "backward": {"max_ulp": 2.0, "at": [1.0, 1.0]}}
    facts = show("swiglu").to_json() | {"exactness": {"fast": {"float64": certificate}}}
    (line,) = [line.strip() for line in shown_lines(facts) if "loses the tail" in line]
    assert line == (
        "fast mode loses the tail where an intermediate result overflows or underflows: "
        "float64 forward at value = 1e+300, gate = -8e+02"
    )


@pytest.mark.parametrize("name", ["relu", "silu", "softmax"])
def test_a_mode_with_correct_digits_says_nothing_of_tails(name: str) -> None:
    assert not [line for line in lines_of(name) if "loses the tail" in line]


def test_many_unknown_properties_are_counted() -> None:
    (line,) = [line for line in lines_of("swiglu") if "two inputs" in line]
    assert "properties, among them domain, range, limits: it has two inputs" in line
    assert len(line) < 100


def test_limits_of_which_none_is_known_have_no_line() -> None:
    assert not [line for line in lines_of("swiglu") if line.strip().startswith("limits")]
    assert [line for line in lines_of("silu") if line.strip().startswith("limits")]
