from __future__ import annotations

from dataclasses import replace

import pytest
from rich.cells import cell_len

from actlab.report.terminal import Column, comparison_lines, fitting
from unit.report.comparisons import TESTS, errors, made


@pytest.mark.parametrize("width", [60, 80, 100, 140])
@pytest.mark.parametrize("comparison", [made(), errors()], ids=["accuracy", "error"])
def test_no_line_is_wider_than_the_terminal(comparison, width):
    assert max(map(cell_len, comparison_lines(comparison, width))) <= width


def test_eighty_columns_show_verdict_difference_interval_and_p():
    lines = comparison_lines(made(), 80)
    relu = next(line for line in lines if line.startswith("relu"))
    for part in ("▲ better", "91.25 ± 0.93", "+21.00", "+18.00 to +24.00", "0.031"):
        assert part in relu
    assert any(line.startswith("Columns hidden in this width:") for line in lines)


def test_a_wide_terminal_holds_everything():
    lines = comparison_lines(made(), 140)
    assert not any(line.startswith("Columns hidden") for line in lines)
    relu = next(line for line in lines if line.startswith("relu"))
    assert relu.split()[-4:] == ["of", "16", "1,234", "≈1.1×†"]


def test_verdict_and_notes_come_last():
    lines = comparison_lines(made(notes=("2 modules are replaced.",)), 200)
    assert lines[-2].startswith("Replace sigmoid by relu")
    assert lines[-1] == "Note: 2 modules are replaced."


def test_brackets_in_a_name_are_not_markup():
    name = "[red]x[/nothing]"
    lines = comparison_lines(made({"sigmoid": TESTS["sigmoid"], name: TESTS["relu"]}, task="[bold]t"), 120)
    assert any(line.startswith(name) for line in lines)
    assert lines[0].startswith("[bold]t")


def test_a_long_name_is_cut_rather_than_the_table():
    name = "x*sigmoid(1.702*x) + 0.25*sin(3*x) - 0.125*x"
    lines = comparison_lines(made({"sigmoid": TESTS["sigmoid"], name: TESTS["relu"]}), 80)
    row = next(line for line in lines if line.startswith("x*sigmoid(1.702*x) + 0.…"))
    assert "+21.00" in row


def test_the_least_important_column_is_hidden_first():
    every = (Column("aa", ("aa",)), Column("bb", ("bb",), gives_way=2), Column("cc", ("cc",), gives_way=1))
    assert [column.heading for column in fitting(every, 10)] == ["aa", "bb", "cc"]
    assert [column.heading for column in fitting(every, 9)] == ["aa", "cc"]
    assert [column.heading for column in fitting(every, 3)] == ["aa"]


def test_lines_hold_no_escape_codes(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" not in "\n".join(comparison_lines(made(), 80))


def test_a_divergence_is_not_hidden_at_eighty_columns():
    calm = made()
    stormy = replace(calm, arms=(calm.arms[0], *(replace(arm, diverged=3) for arm in calm.arms[1:])))
    assert not any("diverged" in line for line in comparison_lines(calm, 80)[:6])
    assert any("3 of" in line for line in comparison_lines(stormy, 80))
