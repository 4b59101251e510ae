"""A diagnosis as it stands on the page: findings as rows, pictures, what was not seen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import final

from actlab.diagnosis.report import Report
from actlab.report.alt_text import moments_in_words
from actlab.report.finding_text import (
    MARKS,
    by_severity,
    count_text,
    evidence_text,
    place_text,
    sentence_text,
    unseen_text,
)
from actlab.report.health_facts import Health, health
from actlab.report.health_figures import gradient_svg, share_svg
from actlab.report.inline import inline
from actlab.rules.remedies import REMEDIES


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
class Panel:
    """One picture of a diagnosis, with the name that stands above it."""

    name: str
    svg: str


@final
@dataclass(frozen=True)
class Diagnosis:
    """A diagnosis as the page shows it.

    Attributes:
        count: how many findings there are, by severity.
        rows: the findings, the gravest first.
        panels: the pictures; none where no training step was measured.
        sites: the names of the sites along the pictures' axes, with their numbers.
        steps: training steps that were watched.
        first, last: the steps of the palest and of the darkest line.
        unseen: what could not be looked into.
    """

    count: str
    rows: tuple[FindingRow, ...]
    panels: tuple[Panel, ...]
    sites: tuple[str, ...]
    steps: int
    first: int
    last: int
    unseen: tuple[str, ...]


def diagnosis(report: Report, *, root: Path) -> Diagnosis:
    """The report of a watched run, made ready for the page; paths are told from the folder `root`."""
    found = health(report.quantities)
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
        panels=() if found is None else _panels(found),
        sites=() if found is None else found.sites,
        steps=0 if found is None else found.steps,
        first=0 if found is None else found.gradients[0].step,
        last=0 if found is None else found.gradients[-1].step,
        unseen=tuple(unseen_text(one) for one in report.unseen),
    )


def _panels(found: Health) -> tuple[Panel, ...]:
    pictures = (
        ("size of the gradient", found.gradients, gradient_svg(found.gradients)),
        ("dead units", found.dead, share_svg(found.dead, of="share of units")),
        ("saturated units", found.saturated, share_svg(found.saturated, of="share of units")),
    )
    return tuple(
        Panel(name, inline(svg, prefix=f"health{number}-", label=moments_in_words(moments, of=name.capitalize())))
        for number, (name, moments, svg) in enumerate(pictures)
    )
