"""A comparison over tasks as one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actlab.report.suite_table import MATRIX_SENTENCE, arm_rows, matrix, task_rows
from actlab.report.template import rendered
from actlab.report.wording import seconds_text, with_minus_signs
from actlab.study.comparison import Comparison
from actlab.study.over_tasks import SCALE_SENTENCE, Overall
from actlab.study.verdict import BETTER, UNDECIDED


def suite_page(overall: Overall, comparisons: Sequence[Comparison], *, provenance: Mapping[str, str]) -> str:
    """Return the report as HTML: the same text for the same conclusion and provenance.

    Args:
        overall: the conclusion over all tasks.
        comparisons: the comparison on each task.
        provenance: the page's provenance in order: versions, command, date.
    """
    plan = comparisons[0].plan
    runs = sum(arm.runs for found in comparisons for arm in found.arms)
    summary = [
        ("tasks", str(len(overall.tasks))),
        ("activations", str(len(overall.arms))),
        ("training runs", f"{runs:,}"),
        (f"smallest p of {len(overall.tasks)} tasks", f"{overall.smallest_p:.2g}"),
    ]
    if overall.seconds > 0:
        summary.append(("total time", seconds_text(overall.seconds)))
    return rendered(
        "suite.html.j2",
        overall=overall,
        tone=suite_tone(overall),
        verdict=with_minus_signs(overall.verdict),
        summary=summary,
        scale=SCALE_SENTENCE,
        arms=arm_rows(overall),
        tasks=task_rows(overall, comparisons),
        matrix=matrix(overall),
        matrix_sentence=MATRIX_SENTENCE,
        plan=plan,
        notes=[
            (task.task, [with_minus_signs(note) for note in found.notes])
            for task, found in zip(overall.tasks, comparisons, strict=True)
            if found.notes
        ],
        provenance={**provenance, "Seed": str(plan.seed)},
    )


def suite_tone(overall: Overall) -> str:
    """Return the verdict of the whole: the control can be improved on, matched, or neither is known."""
    verdicts = {arm.verdict for arm in overall.arms[1:]}
    if BETTER in verdicts:
        return BETTER
    return verdicts.pop() if len(verdicts) == 1 else UNDECIDED
