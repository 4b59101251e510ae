"""A diagnosis as it stands on the page: findings as rows, pictures, what was not seen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import final

from actlab.diagnosis.report import Report
from actlab.report.finding_text import (
    MARKS,
    by_severity,
    count_text,
    evidence_text,
    place_text,
    sentence_text,
    unseen_text,
)
from actlab.report.moments import drawn_steps
from actlab.report.sections import Section, sections
from actlab.rules.remedies import REMEDIES
from actlab.telemetry.quantities import Quantities


@final
@dataclass(frozen=True)
class FindingRow:
    """One finding as the page shows it."""

    severity: str
    mark: str
    id: str
    message: str
    place: str
    evidence: str
    remedies: tuple[str, ...]


@final
@dataclass(frozen=True)
class Diagnosis:
    """A diagnosis as the page shows it.

    Attributes:
        count: how many findings there are, by severity.
        rows: the findings, the gravest first.
        charts: the charts; none if no training step was measured.
        sites: the names of the sites along the charts' axes, in order.
        steps: training steps that were watched.
        unseen: what could not be looked into.
    """

    count: str
    rows: tuple[FindingRow, ...]
    charts: tuple[Section, ...]
    sites: tuple[str, ...]
    steps: int
    unseen: tuple[str, ...]


def diagnosis(report: Report, *, root: Path) -> Diagnosis:
    """The report of a watched run, made ready for the page; paths are told from the folder `root`."""
    quantities = report.quantities
    charts = _sections(quantities)
    return Diagnosis(
        count=count_text(report.findings),
        rows=tuple(
            FindingRow(
                severity=finding.severity,
                mark=MARKS[finding.severity],
                id=finding.id,
                message=sentence_text(finding.message),
                place=place_text(finding, root=root),
                evidence=evidence_text(finding.evidence),
                remedies=tuple(REMEDIES.get(remedy, remedy) for remedy in finding.remedies),
            )
            for finding in by_severity(report.findings)
        ),
        charts=charts,
        sites=tuple(site.site.name for site in quantities.sites) if quantities and charts else (),
        steps=quantities.steps if quantities and charts else 0,
        unseen=tuple(unseen_text(one) for one in report.unseen),
    )


def _sections(quantities: Quantities | None) -> tuple[Section, ...]:
    steps = () if quantities is None else drawn_steps(quantities)
    if not steps:
        return ()
    return sections("diagnosis", quantities, words={"first": str(steps[0]), "last": str(steps[-1])})
