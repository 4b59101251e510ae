"""A comparison as a table for a paper: in Markdown, or in LaTeX with booktabs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from actlab.report.table import Row, rows
from actlab.report.wording import NOTHING
from actlab.sites.site_text import name_text
from actlab.study.comparison import Comparison
from actlab.study.plan import FIXED, OWN, PER_SEED
from actlab.train.kinds import after_number

HEADINGS = ("Activation", "Test", "Difference", "Interval", "p (Holm)", "Verdict")

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~$&])")
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "−": "$-$",
    "±": r"$\pm$",
    "∞": r"$\infty$",
    "–": "--",
    "…": r"\ldots{}",
    **{each: f"\\{each}" for each in "&%$#_{}"},
}


def markdown_table(comparison: Comparison) -> str:
    """Return a table with a caption that says what was compared, how often, and by which test."""
    names = [
        f"**{markdown_text(row.full_name)}**" if _in_group(row, comparison) else markdown_text(row.full_name)
        for row in rows(comparison)
    ]
    cells = [[name, *map(markdown_text, each[1:])] for name, each in zip(names, _cells(comparison), strict=True)]
    align = [":--", *["--:"] * 4, ":--"]
    lines = [HEADINGS, align, *cells]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{table}\n\n{markdown_text(caption(comparison))}\n"


def latex_table(comparison: Comparison) -> str:
    """Return a `table` environment; it requires the package booktabs."""
    lines = []
    for row, each in zip(rows(comparison), _cells(comparison), strict=True):
        name = latex_text(each[0])
        lines.append(
            " & ".join([f"\\textbf{{{name}}}" if _in_group(row, comparison) else name, *map(latex_text, each[1:])])
        )
    label = re.sub(r"[^A-Za-z0-9]+", "-", comparison.task).strip("-") or "task"
    body = "".join(f"    {line} \\\\\n" for line in lines)
    return (
        "% requires \\usepackage{booktabs}\n"
        "\\begin{table}\n"
        "  \\centering\n"
        f"  \\caption{{{latex_text(caption(comparison))}}}\n"
        f"  \\label{{tab:activations-{label}}}\n"
        "  \\begin{tabular}{lrrrrl}\n"
        "    \\toprule\n"
        f"    {' & '.join(HEADINGS)} \\\\\n"
        "    \\midrule\n"
        f"{body}"
        "    \\bottomrule\n"
        "  \\end{tabular}\n"
        "\\end{table}\n"
    )


_SPLITS = {
    PER_SEED: "each with its own split of the rows",
    FIXED: "all with the same split of the rows",
    OWN: "on the data of the training itself",
}


def caption(comparison: Comparison) -> str:
    """Return the caption: what was measured, the number of replicates, the test and its correction."""
    plan, metric = comparison.plan, comparison.metric
    look = plan.looks[comparison.look]
    rates = (
        f"with each seed, the learning rate was chosen among {len(comparison.rates)} on validation data"
        if len(comparison.rates) > 1
        else f"the learning rate was {comparison.rates[0]:.2g}"
    )
    correction = f" with Holm's correction for {plan.comparisons} comparisons" if plan.comparisons > 1 else ""
    intervals = "simultaneous intervals" if plan.comparisons > 1 else "intervals"
    task, control = name_text(comparison.task), name_text(comparison.control.activation)
    better = "more" if metric.larger_is_better else "less"
    labels = f" {plan.measuring.label_sentence}" if plan.measuring.label_noise else ""
    budget = "" if plan.budget is None else f" {plan.budget.sentence(plan.arms)}"
    return (
        f"{task}: test {metric.name} in {metric.unit} ({better} is better), mean ± standard deviation over"
        f" n = {look.seeds} paired seeds, {_SPLITS[plan.splits]}; {rates}.{labels}{budget} Differences are from"
        f" {control}. p-values and {intervals} come from the exact two-sided signed-rank test{correction}, at a total"
        f" error of {plan.alpha:g}. Differences within ±{comparison.region:.3g}{after_number(metric.unit)} do not"
        " matter. Bold: not distinguishable from the best."
    )


def latex_text(text: str) -> str:
    """Return a text in which LaTeX reads every character as itself.

    Example:
        >>> latex_text("50% of x_1 & −2")
        '50\\\\% of x\\\\_1 \\\\& $-$2'
    """
    return "".join(_LATEX.get(character, character) for character in text)


def _cells(comparison: Comparison) -> Sequence[tuple[str, ...]]:
    return [
        (
            row.activation,
            f"{row.test} ± {row.spread}",
            row.difference,
            row.interval if row.interval == NOTHING else f"{row.interval} ({row.level})",
            row.p,
            row.verdict,
        )
        for row in rows(comparison)
    ]


def _in_group(row: Row, comparison: Comparison) -> bool:
    return row.full_name in comparison.group


def markdown_text(text: str) -> str:
    """Return a text on one line in which Markdown reads every character as itself."""
    return _MARKDOWN.sub(r"\\\1", name_text(text, limit=len(text) + 1))
