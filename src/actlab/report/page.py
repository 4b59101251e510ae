"""A comparison as one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from types import MappingProxyType

from actlab.formula.activation import Activation
from actlab.report.chart import Compared
from actlab.report.diagnosis import Diagnosis
from actlab.report.earlier_text import earlier_head, earlier_sentences
from actlab.report.guide_text import hint_sentence
from actlab.report.measured import measured_tables
from actlab.report.sections import sections
from actlab.report.table import rows, tone
from actlab.report.template import rendered
from actlab.report.wording import STEP_TIMES, number_text, places_of, seconds_text, with_minus_signs
from actlab.report.written import write_whole
from actlab.sites.site_text import name_text
from actlab.study.comparison import Comparison
from actlab.study.earlier import Earlier
from actlab.study.guide import Hint
from actlab.train.kinds import after_number


def write_report(
    comparison: Comparison,
    path: Path,
    *,
    provenance: Mapping[str, str],
    own: Mapping[str, Activation] = MappingProxyType({}),
    diagnosis: Diagnosis | None = None,
    guide: Sequence[Hint] = (),
    earlier: Earlier | None = None,
) -> Path:
    """Write the report atomically and return its path.

    Args:
        comparison: the comparison to report.
        path: the file to write; its folder must exist.
        provenance: the page's provenance in order: versions, command, date.
        own: the user's own activations, by the names of their arms.
        diagnosis: findings about the control; the page has no such section if left out.
        guide: what is usual for such a network and such a loss.
        earlier: what earlier runs showed on similar tasks.

    Raises:
        BadInput: the file cannot be written.
    """
    text = page(comparison, provenance=provenance, own=own, diagnosis=diagnosis, guide=guide, earlier=earlier)
    return write_whole(path, text.encode())


def page(
    comparison: Comparison,
    *,
    provenance: Mapping[str, str],
    own: Mapping[str, Activation] = MappingProxyType({}),
    diagnosis: Diagnosis | None = None,
    guide: Sequence[Hint] = (),
    earlier: Earlier | None = None,
) -> str:
    """Return the report as HTML: the same text for the same comparison and provenance."""
    plan, metric, words = comparison.plan, comparison.metric, words_of(comparison)
    charts = sections("comparison", Compared(comparison, own), words=words)
    return rendered(
        "comparison.html.j2",
        comparison=comparison,
        plan=plan,
        metric=metric,
        tone=tone(comparison),
        rows=rows(comparison),
        verdict=with_minus_signs(comparison.verdict),
        notes=[with_minus_signs(note) for note in comparison.notes],
        summary=summary_of(comparison),
        step_times=STEP_TIMES,
        diagnosis=diagnosis,
        guide=[hint_sentence(hint) for hint in guide],
        earlier_head="" if earlier is None else earlier_head(earlier),
        earlier=[] if earlier is None else earlier_sentences(earlier),
        measured=measured_tables(comparison),
        charts=[list(group) for _, group in groupby(charts, key=lambda chart: chart.is_half)],
        target=number_text(comparison.target, _places(comparison)),
        target_sentence=f" ({comparison.target_sentence})" if comparison.target_sentence else "",
        region=words["region"],
        alpha=f"{plan.alpha:g}",
        provenance={**provenance, "Seed": str(plan.seed), "Task digest": plan.fingerprint[:16]},
    )


def _places(comparison: Comparison) -> int:
    return places_of(comparison.metric, region=comparison.region)


def words_of(comparison: Comparison) -> dict[str, str]:
    """Return the values for the fields of the charts' texts."""
    metric = comparison.metric
    return {
        "metric": metric.name,
        "unit": metric.unit,
        "better": "Up" if metric.larger_is_better else "Down",
        "control": name_text(comparison.control.activation),
        "region": f"{comparison.region:.3g}{after_number(metric.unit)}",
        "baseline": number_text(comparison.baseline, _places(comparison)),
    }


def summary_of(comparison: Comparison) -> tuple[tuple[str, str], ...]:
    """Return how much was compared, and how long it took: labels and values."""
    seeds = comparison.plan.looks[comparison.look].seeds
    runs = sum(arm.runs for arm in comparison.arms)
    summary = (
        ("activations", str(len(comparison.arms))),
        ("seeds for each", str(seeds)),
        ("training runs", f"{runs:,}"),
        (comparison.baseline_name.removeprefix("the "), number_text(comparison.baseline, _places(comparison))),
    )
    took = comparison.cost.seconds
    return (*summary, ("total time", seconds_text(took))) if took > 0 else summary
