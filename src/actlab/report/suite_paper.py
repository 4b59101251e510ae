"""A comparison over tasks as a table for a paper, in Markdown or LaTeX, and as CSV tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from actlab.report.csv_rows import (
    MEASURED_COLUMNS,
    REPLICATE_COLUMNS,
    csv_table,
    measured_rows,
    replicate_rows,
)
from actlab.report.paper import latex_text, markdown_text
from actlab.report.suite_table import arm_rows, task_rows
from actlab.report.wording import NOTHING
from actlab.sites.site_text import name_text
from actlab.study.comparison import Comparison
from actlab.study.over_tasks import Overall

OVERALL_COLUMNS = (
    *("activation", "verdict", "in_group", "recommended", "tasks", "gain_mean", "gain_estimate", "gain_low"),
    *("gain_high", "level", "p", "p_holm", "wins", "ties", "losses"),
)
TASK_COLUMNS = (*("task", "study", "metric", "unit", "region", "seeds", "activation", "test_mean", "gain", "verdict"),)
MATRIX_COLUMNS = ("activation", "other", "gain", "wins", "ties", "losses", "p")


def suite_markdown(overall: Overall, comparisons: Sequence[Comparison]) -> str:
    """Return a table with a row for each task and a column for each arm, and a caption that says the test."""
    headings, body, foot = _rows(overall, comparisons, escaped=markdown_text, bold=lambda text: f"**{text}**")
    align = [":--", *["--:"] * len(overall.arms)]
    lines = [headings, align, *body, *foot]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{table}\n\n{markdown_text(caption(overall, comparisons))}\n"


def suite_latex(overall: Overall, comparisons: Sequence[Comparison]) -> str:
    """Return a `table` environment with a row for each task; it requires the package booktabs."""
    headings, body, foot = _rows(overall, comparisons, escaped=latex_text, bold=lambda text: f"\\textbf{{{text}}}")

    def lines(rows: Sequence[Sequence[str]]) -> str:
        return "".join(f"    {' & '.join(row)} \\\\\n" for row in rows)

    return (
        "% requires \\usepackage{booktabs}\n"
        "\\begin{table}\n"
        "  \\centering\n"
        f"  \\caption{{{latex_text(caption(overall, comparisons))}}}\n"
        "  \\label{tab:activations-over-tasks}\n"
        f"  \\begin{{tabular}}{{l{'r' * len(overall.arms)}}}\n"
        "    \\toprule\n"
        f"{lines([headings])}"
        "    \\midrule\n"
        f"{lines(body)}"
        "    \\midrule\n"
        f"{lines(foot)}"
        "    \\bottomrule\n"
        "  \\end{tabular}\n"
        "\\end{table}\n"
    )


def caption(overall: Overall, comparisons: Sequence[Comparison]) -> str:
    """Return the caption: what was measured, the scale that the tasks share, the test and its correction."""
    compared = len(overall.arms) - 1
    correction = f" with Holm's correction for {compared} comparisons" if compared > 1 else ""
    seeds = sorted({task.seeds for task in overall.tasks})
    each = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    metrics = "; ".join(
        f"{name_text(task.task)}: {task.metric} in {task.unit}, {'more' if task.larger_is_better else 'less'} is"
        f" better, region ±{task.region:.3g}"
        for task in overall.tasks
    )
    plan = comparisons[0].plan
    labels = f" {plan.measuring.label_sentence}" if plan.measuring.label_noise else ""
    budget = "" if plan.budget is None else f" On each task, all arms have equal {plan.budget.equal}."
    return (
        f"Test metrics, mean ± standard deviation over n = {each} paired seeds, on {len(overall.tasks)} tasks"
        f" ({metrics}).{labels}{budget} Bold: not distinguishable from the best on that task. Below: the mean gain over"
        f" {name_text(overall.control)} in regions of practical equivalence, p-values of the exact two-sided"
        f" signed-rank test over the tasks{correction} at an error of {overall.alpha:g}, and the tasks won, tied and"
        " lost by more than the region."
    )


def suite_csv(overall: Overall, comparisons: Sequence[Comparison]) -> dict[str, str]:
    """Return the tables by file name: arms over all, arms on each task, pairs of arms, replicates, measures."""
    arms = [
        (
            arm.activation,
            arm.verdict,
            int(arm.activation in overall.group),
            int(arm.activation == overall.recommended),
            len(overall.tasks),
            arm.gain,
            *(
                (found.estimate, found.low, found.high, found.level, found.p, found.adjusted_p)
                if (found := arm.difference)
                else (None,) * 6
            ),
            *(arm.wins, arm.ties, arm.losses),
        )
        for arm in overall.arms
    ]
    tasks = [
        (task.task, task.study, task.metric, task.unit, task.region, task.seeds, arm.activation, mean, gain, verdict)
        for task in overall.tasks
        for arm, mean, gain, verdict in zip(overall.arms, task.means, task.gains, task.verdicts, strict=True)
    ]
    pairs = [
        (each.arm, each.other, each.gain, each.wins, each.ties, each.losses, each.p)
        for pair in overall.pairs
        for each in (pair, pair.turned())
    ]
    tables = {
        "overall.csv": csv_table(OVERALL_COLUMNS, arms),
        "tasks.csv": csv_table(TASK_COLUMNS, tasks),
        "matrix.csv": csv_table(MATRIX_COLUMNS, pairs),
        "replicates.csv": csv_table(REPLICATE_COLUMNS, _of_all(overall, comparisons, rows=replicate_rows)),
    }
    if not any(found.is_measured for found in comparisons):
        return tables
    return {**tables, "measured.csv": csv_table(MEASURED_COLUMNS, _of_all(overall, comparisons, rows=measured_rows))}


def _of_all(
    overall: Overall, comparisons: Sequence[Comparison], *, rows: Callable[[Comparison], Iterable[Sequence[Any]]]
) -> Iterable[Sequence[Any]]:
    """Yield the rows of all comparisons, each with the name of its task among them."""
    for task, found in zip(overall.tasks, comparisons, strict=True):
        for row in rows(found):
            yield task.task, *row[1:]


Rows = list[list[str]]


def _rows(
    overall: Overall,
    comparisons: Sequence[Comparison],
    *,
    escaped: Callable[[str], str],
    bold: Callable[[str], str],
) -> tuple[list[str], Rows, Rows]:
    """Return headings, a row for each task, and the rows over all."""
    headings = ["Task", *(escaped(name_text(arm.activation)) for arm in overall.arms)]
    body = [
        [escaped(row.task), *(bold(escaped(cell.text)) if cell.is_best else escaped(cell.text) for cell in row.cells)]
        for row in task_rows(overall, comparisons)
    ]
    by_name = {row.full_name: row for row in arm_rows(overall)}
    rows = [by_name[arm.activation] for arm in overall.arms]
    foot = [
        [escaped("Gain (regions)"), *(escaped(row.gain) for row in rows)],
        [escaped("p (Holm)"), *(escaped(row.p) for row in rows)],
        [escaped("Wins/ties/losses"), *(escaped(row.counts) for row in rows)],
        [escaped("Verdict"), *(escaped(NOTHING if row.verdict == "control" else row.verdict) for row in rows)],
    ]
    return headings, body, foot
