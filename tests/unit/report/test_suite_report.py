"""A comparison over tasks as a page, in the terminal, and as tables."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

import pytest

from actlab.report.paper import markdown_table
from actlab.report.suite_page import suite_page
from actlab.report.suite_paper import suite_csv, suite_latex, suite_markdown
from actlab.report.suite_table import arm_rows, matrix, task_rows
from actlab.report.suite_terminal import suite_lines
from actlab.study.comparison import Comparison
from actlab.study.measuring import Measuring
from actlab.study.over_tasks import Overall, conclude
from actlab.study.plan import Budget
from actlab.train.kinds import ACCURACY, ERROR
from unit.report.comparisons import made

EVIL = "<script>alert(1)</script>"
ARMS = {"relu": 0.0, "gelu": 2.0, "tanh": -2.0, "x*sigmoid(1.702*x)": 0.2}


def several(count: int = 8, *, name: str = "table") -> tuple[Overall, list[Comparison]]:
    found = []
    for number in range(count):
        metric, sign = (ERROR, -1) if number % 2 else (ACCURACY, 1)
        tests = {
            arm: tuple(60.0 + sign * effect * (1 + number / 20) + seed / 100 for seed in range(9))
            for arm, effect in ARMS.items()
        }
        baseline = 100.0 if number % 2 else 10.0
        found.append(made(tests, metric=metric, task=f"{name}-{number}", baseline=baseline, notes=("left out: id.",)))
    names = [each.task for each in found]
    return conclude(found, names=names, studies=range(1, count + 1), operations={}), found


def page(count: int = 8, **changes: str) -> str:
    return suite_page(*several(count, **changes), provenance={"Command": "actlab compare a b"})


def test_the_page_has_the_verdict_the_matrix_and_every_task() -> None:
    overall, _ = several()
    text = page()
    assert overall.verdict.replace("-", "−") in text.replace("-", "−")
    assert text.count('class="heat"') == 4 * 3 + 8 * 4
    assert text.count('class="self"') == 4
    for number in range(8):
        assert f'title="table-{number}"' in text
    assert "smallest p of 8 tasks" in text
    assert re.search(r"<b>\+\d\.\d\d</b><small>8/0/0</small><small>p 0\.0078</small>", text)


def test_colors_say_who_is_better_and_by_how_much() -> None:
    overall, _ = several()
    cells = dict(matrix(overall))
    order = [arm.activation for arm in overall.ranked]
    to_tanh = cells["gelu"][order.index("tanh")]
    of_tanh = cells["tanh"][order.index("gelu")]
    assert to_tanh is not None
    assert of_tanh is not None
    assert (to_tanh.tone, to_tanh.heat, of_tanh.tone, of_tanh.heat) == ("better", 100, "worse", 100)
    assert cells["gelu"][order.index("gelu")] is None


def test_names_from_outside_are_escaped() -> None:
    text = page(name=EVIL)
    assert EVIL not in text
    assert "&lt;script&gt;" in text
    assert page(name=EVIL, count=2) == page(name=EVIL, count=2)


def test_few_tasks_say_that_they_cannot_decide() -> None:
    assert "3 tasks cannot decide: their smallest possible p is 0.25" in page(3)


@pytest.mark.parametrize("width", [50, 80, 120, 200])
def test_the_terminal_is_never_overrun(width: int) -> None:
    lines = suite_lines(*several(), width=width)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "table-7" in text
    has_pairs = any(line.startswith("pair ") for line in lines)
    assert has_pairs == (width < 80)  # a line for each pair, if the matrix is too wide
    assert any("▲" in line for line in lines)
    assert any(line.startswith("Note: table-3: left out: id.") for line in lines)


@pytest.mark.parametrize(("width", "hidden"), [(200, ()), (90, ("metrics",)), (50, ("metrics", "standard deviations"))])
def test_the_terminal_says_what_it_hides(width: int, hidden: tuple[str, ...]) -> None:
    text = " ".join("\n".join(suite_lines(*several(), width=width)).split())
    said = f"Hidden in this width: {', '.join(hidden)}." if hidden else ""
    assert said in text
    assert ("Hidden in this width" in text) == bool(hidden)
    assert ("± standard deviation" in text) == ("standard deviations" not in hidden)


def test_the_tables_of_a_paper_have_a_row_for_each_task() -> None:
    overall, found = several()
    markdown, latex = suite_markdown(overall, found), suite_latex(overall, found)
    rows = [line for line in markdown.splitlines() if line.startswith("| table-")]
    assert len(rows) == 8
    assert rows[0].startswith("| table-0 | 60.04 ± 0.03 | **62.04 ± 0.03** |")
    assert "| Wins/ties/losses | – | 8/0/0 | 0/0/8 | 0/8/0 |" in markdown
    assert latex.count("\\midrule") == 2
    assert "table-0 & 60.04 $\\pm$ 0.03 & \\textbf{62.04" in latex
    assert "signed-rank test over the tasks with Holm's correction for 3 comparisons at an error of 0.04" in latex


def test_the_caption_says_what_else_was_the_same() -> None:
    overall, found = several()
    plan = replace(
        found[0].plan,
        measuring=Measuring(label_noise=0.1),
        budget=Budget("seconds", dict.fromkeys(found[0].plan.arms, 1.0), dict.fromkeys(found[0].plan.arms, 3)),
    )
    changed = [replace(each, plan=plan) for each in found]
    for text in (suite_markdown(overall, changed), suite_latex(overall, changed).replace("\\", "")):
        assert "With each seed, 10 % of the training and validation labels are wrong" in text
        assert "On each task, all arms have equal seconds." in text
    assert "labels are wrong" not in suite_markdown(overall, found)
    assert "Equal seconds: the arms train for as long as" in markdown_table(changed[0])
    assert "on the data of the training itself" in markdown_table(replace(found[0], plan=replace(plan, splits="own")))


def test_the_csv_tables_hold_unrounded_numbers() -> None:
    overall, found = several()
    tables = {name: list(csv.DictReader(text.splitlines())) for name, text in suite_csv(overall, found).items()}
    assert {name: len(rows) for name, rows in tables.items()} == {
        "overall.csv": 4,
        "tasks.csv": 8 * 4,
        "matrix.csv": 4 * 3,
        "replicates.csv": 8 * 4 * 9,
    }
    assert float(tables["overall.csv"][1]["gain_mean"]) == overall.arms[1].gain
    assert float(tables["tasks.csv"][5]["gain"]) == overall.tasks[1].gains[1]
    assert tables["replicates.csv"][-1]["task"] == "table-7"


def test_rows_are_the_control_and_then_the_best_first() -> None:
    overall, found = several()
    assert [row.full_name for row in arm_rows(overall)] == ["relu", "gelu", "x*sigmoid(1.702*x)", "tanh"]
    assert [cell.verdict for cell in task_rows(overall, found)[0].cells][:3] == ["control", "better", "worse"]


def test_the_page_needs_nothing_from_outside(tmp_path: Path) -> None:
    text = page()
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", text)
    assert "<script" not in text
