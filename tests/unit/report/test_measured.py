"""What was measured on request: tables in the terminal and on the page, a chart, and rows of CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from actlab.measure.energy import Energy, estimated
from actlab.report.chart import Compared
from actlab.report.charts import input_noise, step_cost
from actlab.report.csv_rows import arms_csv, measured_csv
from actlab.report.measured import measured_tables
from actlab.report.page import page
from actlab.report.terminal import comparison_lines
from actlab.study.arm_cost import ArmCost, ArmEnergy, Timing
from actlab.study.comparison import Comparison
from actlab.study.measured import ArmValue, Measured, ShownDifference
from unit.report.comparisons import errors, made

TIMED = Timing(0.002, 1.25, 1.1, 1.4)


def measured() -> Comparison:
    """Return a comparison with noise, calibration, cost and energy."""
    plain = made()
    names = [arm.activation for arm in plain.arms]

    def of(measure: str, name: str, level: float | None, values: list[float]) -> Measured:
        arms = tuple(
            ArmValue(
                arm,
                (value,) * 8,
                value,
                None if arm == names[0] or level == 0 else ShownDifference(-1.5, -2.0, 0.25, 8),
                -5.0 if level else None,
                ShownDifference(0.75, 0.5, 1.0, 8) if level and arm != names[0] else None,
            )
            for arm, value in zip(names, values, strict=True)
        )
        return Measured(measure, name, "points", measure == "noise", level, arms)

    cost = replace(
        plain.cost,
        seconds_to_target={"relu": 0.5},
        arms=tuple(ArmCost(arm, TIMED, TIMED, 12345, 2114, 4096, 12 * n) for n, arm in enumerate(names, start=1)),
        energy=(
            *(ArmEnergy(arm, estimated(watts=65.0, seconds=0.002)) for arm in names[:-1]),
            ArmEnergy(names[-1], Energy("unavailable", None, "<no> counter")),
        ),
    )
    return replace(
        plain,
        cost=cost,
        measured=(
            of("noise", "accuracy", 0.0, [70.0, 91.0, 70.5, 71.0, 61.0]),
            of("noise", "accuracy", 0.3, [60.0, 50.0, 60.5, 61.0, 51.0]),
            of("calibration", "expected calibration error", None, [2.0, 3.0, 2.5, 2.25, 9.0]),
        ),
        arms=tuple(replace(arm, missed_target=number) for number, arm in enumerate(plain.arms)),
    )


def test_there_is_a_table_for_each_thing_that_was_measured() -> None:
    noise, change, calibration, costs, energy = measured_tables(measured())
    assert noise.heads == ("activation", "no noise", "noise 0.3")
    relu = noise.rows[1]
    assert [cell.text for cell in relu] == ["relu", "91.00", "50.00"]
    assert relu[2].small == "−1.50 (−2.00 to +0.25)"
    assert noise.rows[0][2].small == noise.rows[1][1].small == ""
    assert (change.heads, change.rows[0][1].small) == (("activation", "noise 0.3"), "")
    assert (change.rows[1][1].text, change.rows[1][1].small) == ("−5.00", "+0.75 (+0.50 to +1.00)")
    assert calibration.rows[1][1].text == "3.00"
    assert [cell.text for cell in costs.rows[1][1:]] == ["2 ms", "2 ms", "12.3 kB", "2,114", "4,096", "24†"]
    assert costs.rows[-1][-1].text == "60"  # softplus is the worst and takes the most operations
    assert [cell.text for cell in energy.rows[1][1:]] == ["130 mJ", "160 J", "estimated"]
    assert [cell.text for cell in energy.rows[-1][1:]] == ["–", "–", "unavailable"]
    assert "65 W as named" in energy.about
    assert measured_tables(made()) == ()


@pytest.mark.parametrize("width", [60, 80, 140])
def test_the_terminal_shows_them_within_its_width(width: int) -> None:
    lines = comparison_lines(measured(), width)
    assert max(map(len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    for part in ("Noise in the inputs", "Calibration", "Cost in detail", "Energy", "shown, not tested"):
        assert part in text
    assert not any("Noise in the inputs" in line for line in comparison_lines(made(), width))


def test_the_page_shows_them_escaped_and_nothing_without_a_request() -> None:
    text = page(measured(), provenance={})
    for part in ('id="noise-table"', 'id="calibration-table"', 'id="costs-table"', 'id="energy-table"', 'id="noise"'):
        assert part in text
    assert "<no> counter" not in text
    assert "&lt;no&gt; counter" in text
    assert "<small>500 ms</small><small>1 of 8 never</small>" in text
    without = page(made(), provenance={})
    assert "Noise in the inputs" not in without
    assert "never" not in without.partition("</table>")[0]


def test_the_chart_of_noise_has_a_line_for_each_arm() -> None:
    lines = input_noise.facts(Compared(measured()))
    assert lines.levels == (0.0, 0.3)
    assert {line.arm: line.means for line in lines.arms}["relu"] == (91.0, 50.0)
    (picture,) = input_noise.CHART.draw(lines)
    assert b"<svg" in picture.svg
    assert "relu: 91.00 without noise, 50.00 with noise of size 0.3" in picture.alt_text
    assert input_noise.CHART.draw(input_noise.facts(Compared(made()))) == ()


def test_the_front_joins_the_arms_that_nobody_beats() -> None:
    assert step_cost.facts(Compared(made())).front == ("sigmoid", "relu")
    assert step_cost.facts(Compared(errors())).front == ("sigmoid", "relu")  # less is better, and relu is best
    assert measured().fronts["operations"] == ("sigmoid", "relu")


def test_rows_of_csv_hold_every_value() -> None:
    rows = list(csv.DictReader(io.StringIO(measured_csv(measured()))))
    relu = [row for row in rows if row["activation"] == "relu"]
    noise = next(row for row in relu if row["level"] == "0.3")
    assert (noise["measure"], noise["value"], noise["difference_low"], noise["pairs"]) == ("noise", "50.0", "-2.0", "8")
    change = next(row for row in relu if row["name"] == "change of accuracy")
    assert (change["value"], change["difference_low"], change["level"]) == ("-5.0", "0.5", "0.3")
    assert {row["name"] for row in relu if row["measure"] == "cost"} >= {"forward", "backward", "parameters"}
    energy = next(row for row in relu if row["measure"] == "energy")
    assert (energy["name"], energy["value"], energy["source"]) == (
        "estimated",
        "0.13",
        "65 W as named, times the measured seconds",
    )
    none = next(row for row in rows if row["activation"] == "softplus" and row["measure"] == "energy")
    assert (none["name"], none["value"]) == ("unavailable", "")
    arms = list(csv.DictReader(io.StringIO(arms_csv(measured()))))
    assert [(row["missed_target"], row["on_front"]) for row in arms[:3]] == [("0", "1"), ("1", "1"), ("2", "0")]
