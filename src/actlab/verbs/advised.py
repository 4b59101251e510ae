"""The main job: which activation to use for a task."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actlab.catalog.own_file import from_own_file, names_own_file
from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.jsonable import plain
from actlab.verbs.task_choice import named_task

if TYPE_CHECKING:
    from actlab.diagnosis.report import Report
    from actlab.study.comparison import Comparison
    from actlab.train.task import Task


@dataclass(frozen=True)
class Advice:
    """Which activation to use for a task, how sure that is, and what it rests on.

    Attributes:
        comparison: all that was planned and measured.
        report: the path of the HTML report, where one was written.
        diagnosis: what was found about the control before the comparison; None where it was not diagnosed.
    """

    comparison: Comparison
    report: Path | None = None
    diagnosis: Report | None = None

    @property
    def verdict(self) -> str:
        """What to do, in words."""
        return self.comparison.verdict

    def to_json(self) -> dict[str, Any]:
        """Task, arms, verdict, report, diagnosis, and all that was planned and measured."""
        found = self.comparison.to_json()
        return {
            "task": found.pop("task"),
            "arms": [_arm(row) for row in found.pop("arms")],
            "verdict": found.pop("verdict"),
            "report": None if self.report is None else str(self.report),
            "diagnosis": None if self.diagnosis is None else _diagnosis(self.diagnosis),
            **found,
        }

    def lines(self) -> list[str]:
        """What was found about the control, the table of arms, the verdict, where the report lies."""
        from actlab.report.terminal import comparison_lines

        lines = comparison_lines(self.comparison)
        if self.diagnosis is not None:
            lines = [*_diagnosis_lines(self.diagnosis, control=self.comparison.control.activation), "", *lines]
        return lines if self.report is None else [*lines, "", f"Report: {self.report}"]


def _diagnosis(report: Report) -> dict[str, Any]:
    """A diagnosis in JSON: the findings, what was not seen, and the numbers of its pictures."""
    from actlab.report.health_facts import health

    found = health(report.quantities)
    return {
        "findings": [finding.to_json() for finding in report.findings],
        "unseen": plain(report.unseen),
        "health": None if found is None else found.to_json(),
    }


def _diagnosis_lines(report: Report, *, control: str) -> list[str]:
    """A diagnosis for reading."""
    from actlab.report.finding_table import FindingTable, table_lines
    from actlab.rules.remedies import REMEDIES

    steps = 0 if report.quantities is None else report.quantities.steps
    watched = f", watched for {steps} training steps" if steps else ""
    table = FindingTable(report.findings, report.unseen, REMEDIES, Path.cwd())
    return [f"What the activations do with {control}{watched}:", "", *table_lines(table)]


def _arm(row: dict[str, Any]) -> dict[str, Any]:
    """An arm in JSON: its `p` is the one that the verdict rests on, after Holm."""
    difference = row["difference"]
    if difference is None:
        return row
    raw, adjusted = difference["p"], difference["adjusted_p"]
    return {**row, "difference": {**difference, "p": adjusted, "unadjusted_p": raw}}


def advise(
    data: str | Path | Task | None = None,
    *,
    target: str | None = None,
    task: str | None = None,
    activations: Sequence[str | Activation] | None = None,
    report: str | Path | None = None,
    command: str = "",
    **options: Any,
) -> Advice:
    """Which activation to use for a task: the main job, on a table, a task file, a built-in task or a `Task`.

    Args:
        data: a table's path, `file.py:function`, or a `Task`.
        target: the table's column that is to be predicted.
        task: the name of a built-in task; without it and `data`, the first.
        activations: the candidates: names, formulas, `file.py:name`, or activations; eight common ones if left out.
        report: where the HTML report goes; none is written if left out.
        command: what was typed, for the report.
        options: as for `actlab.study.advise.advise`: seeds, budget, jobs, seed, init, store, resume, diagnose, ...

    Raises:
        BadTask, BadTable, BadStudy, UnknownActivation, BadFormula: the message says what to mend.
    """
    from actlab.report.written import check_place
    from actlab.study import advise as journey

    if report is not None:
        check_place(Path(report))
    chosen = named_task(data, target=target, task=task, purpose="advise on")
    candidates = None if activations is None else [_candidate(one) for one in activations]
    found = journey.advise(chosen, activations=candidates, **options)
    if report is None:
        return Advice(found.comparison, None, found.diagnosis)
    from actlab.report.diagnosis import diagnosis
    from actlab.report.page import write_report

    own = {one.name: one for one in candidates or () if isinstance(one, Activation)}
    shown = None if found.diagnosis is None else diagnosis(found.diagnosis, root=Path.cwd())
    path = write_report(found.comparison, Path(report), provenance=_provenance(command), own=own, diagnosis=shown)
    return Advice(found.comparison, path, found.diagnosis)


def _candidate(one: str | Activation) -> str | Activation:
    """A name stays the text that was typed, so that the report calls it so."""
    if not isinstance(one, str) or not names_own_file(one):
        return one
    act = from_own_file(one)
    if isinstance(act, AxisActivation):
        raise BadInput(f"{one} acts along an axis and cannot stand between two layers.")
    return act


def _provenance(command: str) -> dict[str, str]:
    """Where a report comes from, for its last lines."""
    versions = ", ".join(f"{package} {version(package)}" for package in ("actlab", "torch", "numpy"))
    made = {"Versions": f"Python {platform.python_version()}, {versions}", "Machine": platform.platform()}
    asked = {"Command": command} if command else {}
    return {**asked, **made, "Date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"}
