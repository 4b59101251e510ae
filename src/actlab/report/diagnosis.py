"""A diagnosis as pages show it: findings, charts, and what could not be inspected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import final

from actlab.diagnosis.report import Report
from actlab.report.finding_text import by_severity, count_text
from actlab.report.folding import Block, fixes, folded, folded_unseen, pattern, where_lines, without_numbers
from actlab.report.moments import drawn_steps
from actlab.report.sections import Section, sections
from actlab.rules.finding_text import sentence_text
from actlab.rules.remedies import REMEDIES
from actlab.sites.site import Site
from actlab.sites.site_text import place_name, unseen_text
from actlab.telemetry.quantities import Quantities
from actlab.telemetry.signal.answer import Signal

MARKS = {"error": "✖", "warning": "▲", "information": "●"}
"""Severities differ in shape as well as in color."""


@final
@dataclass(frozen=True)
class FindingRow:
    """One finding, or several that are alike, as a page shows it."""

    severity: str
    id: str
    title: str
    message: str
    places: tuple[str, ...]
    evidence: str
    fixes: tuple[str, ...]


@final
@dataclass(frozen=True)
class Diagnosis:
    """A diagnosis as pages show it.

    Attributes:
        count: how many findings there are, by severity.
        rows: the findings, errors first.
        charts: the charts; none if no training step was measured.
        sites: the sites along the charts' axes, with their numbers.
        steps: training steps that were watched.
        unseen: what could not be inspected.
        signal: the charts of the signal before training; none if it was not followed.
        signal_sites: the sites along their axes, with their numbers.
    """

    count: str
    rows: tuple[FindingRow, ...]
    charts: tuple[Section, ...]
    sites: tuple[str, ...]
    steps: int
    unseen: tuple[str, ...]
    signal: tuple[Section, ...] = ()
    signal_sites: tuple[str, ...] = ()


def diagnosis(report: Report, *, root: Path, signal: Signal | None = None) -> Diagnosis:
    """Make a report ready for a page, with the signal in the model if it was followed; paths are relative to `root`."""
    quantities = report.quantities
    charts = _sections(quantities)
    return Diagnosis(
        count=count_text(report.findings),
        rows=tuple(_row(block, root=root) for block in folded(by_severity(report.findings))),
        charts=charts,
        sites=numbered([site.site for site in quantities.sites]) if quantities and charts else (),
        steps=quantities.steps if quantities and charts else 0,
        unseen=tuple(unseen_text(one.first, place=one.places) for one in folded_unseen(report.unseen)),
        signal=() if signal is None else sections("signal", signal, words={}),
        signal_sites=() if signal is None else numbered([each.site for each in signal.sites if each.is_measured]),
    )


def numbered(sites: Sequence[Site]) -> tuple[str, ...]:
    """Return the places of sites with their numbers, counted from 1; runs of alike places are one entry."""
    entries = []
    number = 1
    for _, run in groupby(map(place_name, sites), key=without_numbers):
        names = list(run)
        last = number + len(names) - 1
        entries.append(f"{number} = {names[0]}" if len(names) == 1 else f"{number}–{last} = {_run(names)}")
        number = last + 1
    return tuple(entries)


def _run(names: Sequence[str]) -> str:
    common = pattern(names)
    return common if any(map(str.isalpha, common)) else f"{names[0]} … {names[-1]}"  # a flat `nn.Sequential`


def _row(block: Block, *, root: Path) -> FindingRow:
    return FindingRow(
        severity=block.severity,
        id=block.id,
        title=block.title,
        message=sentence_text(block.message),
        places=tuple(where_lines(block, root=root)),
        evidence=block.evidence,
        fixes=tuple(fixes(block, REMEDIES)),
    )


def _sections(quantities: Quantities | None) -> tuple[Section, ...]:
    steps = () if quantities is None else drawn_steps(quantities)
    if not steps:
        return ()
    return sections("diagnosis", quantities, words={"first": str(steps[0]), "last": str(steps[-1])})
