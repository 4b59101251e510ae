"""What the report of a comparison shows, as plain values: its texts, its tables, and the numbers of its pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from actlab.jsonable import plain
from actlab.report.axis_limits import padded
from actlab.report.chart import Chart, Compared
from actlab.report.charts import differences, learning_curves, step_cost
from actlab.report.earlier_text import earlier_head, earlier_sentences
from actlab.report.measured import measured_tables
from actlab.report.page import summary_of, words_of
from actlab.report.suite_page import suite_tone
from actlab.report.suite_table import arm_rows, task_rows
from actlab.report.table import rows, tone
from actlab.report.wording import MARKS, STEP_TIMES, with_minus_signs
from actlab.study.comparison import Comparison
from actlab.study.earlier import Earlier
from actlab.study.over_tasks import SCALE_SENTENCE, Overall


def comparison_facts(comparison: Comparison, *, earlier: Earlier | None = None) -> dict[str, Any]:
    """Return what the page of a comparison shows, for a page that draws its pictures itself.

    Args:
        comparison: the comparison.
        earlier: what earlier runs showed on similar tasks.
    """
    data, words = Compared(comparison), words_of(comparison)
    gaps, prices, courses = differences.facts(data), step_cost.facts(data), learning_curves.facts(data)
    facts: dict[str, Any] = plain(
        {
            "tone": tone(comparison),
            "verdict": with_minus_signs(comparison.verdict),
            "marks": MARKS,
            "summary": summary_of(comparison),
            "rows": rows(comparison),
            "step_times": STEP_TIMES,
            "measured": measured_tables(comparison),
            "notes": [with_minus_signs(note) for note in comparison.notes],
            "earlier": _earlier(earlier),
            "differences": {
                **_texts(differences.CHART, words),
                **_values(gaps),
                "seeds": comparison.plan.seeds[: len(comparison.control.tests)],
                "legend": [key.text.format_map(words) for key in differences.CHART.legend(gaps)],
                "alt_text": differences.alt_text(gaps),
            },
            "cost": {
                **_texts(step_cost.CHART, words),
                **_values(prices),
                "axes": _cost_axes(prices),
                "notes": step_cost.notes(prices),
                "alt_text": step_cost.alt_text(prices),
            },
            "learning": {
                **_texts(learning_curves.CHART, words),
                **_values(courses),
                "shows_baseline": courses.shows_baseline,
                "each": {
                    arm.activation: [[epoch.valid for epoch in curve] for curve in arm.curves]
                    for arm in comparison.arms
                },
                "alt_texts": [learning_curves.alt_text(each, courses) for each in courses.arms if each.epochs],
            },
        }
    )
    return facts


def suite_facts(overall: Overall, comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Return what the page of a comparison on several tasks shows: its texts, and the tables of arms and of tasks."""
    facts: dict[str, Any] = plain(
        {
            "tone": suite_tone(overall),
            "verdict": with_minus_signs(overall.verdict),
            "marks": MARKS,
            "scale": SCALE_SENTENCE,
            "rows": arm_rows(overall),
            "arms": [arm.activation for arm in overall.arms],
            "tasks": task_rows(overall, comparisons),
            "notes": [with_minus_signs(note) for note in overall.notes],
        }
    )
    return facts


def _earlier(earlier: Earlier | None) -> dict[str, Any] | None:
    if earlier is None or not earlier.runs:
        return None
    return {"head": earlier_head(earlier), "sentences": earlier_sentences(earlier)}


def _texts(chart: Chart[Any, Any], words: Mapping[str, str]) -> dict[str, str]:
    return {"title": chart.title.format_map(words), "caption": chart.caption.format_map(words)}


def _values(facts: object) -> dict[str, Any]:
    """Return the facts of a chart as plain values; the metric without the user's function."""
    values: dict[str, Any] = plain(facts)
    values["metric"].pop("function")
    return values


def _cost_axes(prices: step_cost.Prices) -> dict[str, tuple[float, float]]:
    """Return the limits of the axes, by which every error bar is inside."""
    if not prices.arms:
        return {}
    return {
        "x": padded([end for price in prices.arms for end in price.limits]),
        "y": padded([price.test + side * price.spread for price in prices.arms for side in (-1, 1)]),
    }
