"""Findings as a table and as a picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from actlab.display.picture import Picture, Series
from actlab.display.table import Table
from actlab.rules.finding import Finding
from actlab.rules.finding_text import place_text, sentence_text, title_text
from actlab.rules.remedies import REMEDIES
from actlab.sites.site import Unseen
from actlab.sites.site_text import place_name, unseen_text
from actlab.telemetry.quantities import Quantities

COLUMNS = ("severity", "id", "finding", "where", "message", "fix")


def finding_table(findings: Sequence[Finding], unseen: Sequence[Unseen], *, notes: Sequence[str] = ()) -> Table:
    """Return a row for each finding; what could not be inspected and the notes stand below."""
    rows = tuple(
        (
            finding.severity,
            finding.id,
            title_text(finding),
            place_text(finding, root=Path.cwd()),
            sentence_text(finding.message),
            " ".join(REMEDIES.get(remedy, remedy) for remedy in finding.remedies),
        )
        for finding in findings
    )
    count = f"{len(rows)} finding{'' if len(rows) == 1 else 's'}"
    return Table(count, COLUMNS, rows, (*(f"Not inspected: {unseen_text(each)}" for each in unseen), *notes))


def diagnosis_picture(findings: Sequence[Finding], quantities: Quantities | None) -> Picture | None:
    """Return the dead and saturated shares of every site in the last measured step; without one, findings by kind.

    None if there is neither a measurement nor a finding.
    """
    measured = [site for site in quantities.sites if site.points] if quantities is not None else []
    if measured:
        last = [site.points[-1] for site in measured]
        return Picture(
            title=f"Units that pass no gradient, step {max(point.step for point in last)}",
            series=(
                Series("dead", [point.dead_share for point in last], kind="bar"),
                Series("saturated", [point.saturated_share for point in last], kind="dots"),
            ),
            y_label="share of the units",
            limits=(-0.03, 1.03),
            names=tuple(f"{place_name(site.site)}: {site.site.activation}" for site in measured),
        )
    counts = Counter((finding.id, title_text(finding)) for finding in findings)
    if not counts:
        return None
    return Picture(
        title="Findings",
        series=(Series("", list(counts.values()), kind="bar"),),
        y_label="number",
        names=tuple(f"{name} {title}" for name, title in counts),
    )
