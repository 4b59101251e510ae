"""Recommend an activation for a task."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from actlab.catalog.own_file import names_own_file
from actlab.diagnosis.report import Report
from actlab.errors import BadInput, BadParam
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.jsonable import plain
from actlab.report.diagnosis import diagnosis
from actlab.report.finding_table import FindingTable, table_lines
from actlab.report.health_facts import health
from actlab.report.page import write_report
from actlab.report.terminal import comparison_lines
from actlab.report.written import check_place
from actlab.rules.remedies import REMEDIES
from actlab.study.advise import advise as advised
from actlab.study.compare import Progress
from actlab.study.comparison import Comparison
from actlab.study.options import AdviseOptions, lists_options, task_options
from actlab.study.runner import Runner
from actlab.study.secrets import command_without_secrets
from actlab.train.task import Task
from actlab.verbs.activation_lookup import activation_named
from actlab.verbs.task_lookup import task_named


@dataclass(frozen=True)
class Advice:
    """The recommended activation for a task, and the evidence for it.

    Attributes:
        comparison: everything that was planned and measured.
        report: the path of the HTML report, if one was written.
        diagnosis: the findings about the control before the comparison, if it was diagnosed.
    """

    comparison: Comparison
    report: Path | None = None
    diagnosis: Report | None = None

    @property
    def verdict(self) -> str:
        """The recommendation, in words."""
        return self.comparison.verdict

    def to_json(self) -> dict[str, Any]:
        """Return task, arms, verdict, report, diagnosis, and everything that was planned and measured."""
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
        """Return the findings about the control, the table of arms, the verdict, and the path of the report."""
        lines = comparison_lines(self.comparison)
        if self.diagnosis is not None:
            lines = [*_diagnosis_lines(self.diagnosis, control=self.comparison.control.activation), "", *lines]
        return lines if self.report is None else [*lines, "", f"Report: {self.report}"]


def _diagnosis(report: Report) -> dict[str, Any]:
    """Return a diagnosis as JSON, with the numbers of its charts."""
    found = health(report.quantities)
    return {
        "findings": [finding.to_json() for finding in report.findings],
        "unseen": plain(report.unseen),
        "health": None if found is None else found.to_json(),
    }


def _diagnosis_lines(report: Report, *, control: str) -> list[str]:
    steps = 0 if report.quantities is None else report.quantities.steps
    watched = f", watched for {steps} training step{'' if steps == 1 else 's'}" if steps else ""
    table = FindingTable(report.findings, report.unseen, REMEDIES, Path.cwd())
    return [f"Diagnosis of the model with {control}{watched}:", "", *table_lines(table)]


def _arm(row: dict[str, Any]) -> dict[str, Any]:
    """Return an arm as JSON, with the p after Holm's correction, which the verdict uses, as `p`."""
    difference = row["difference"]
    if difference is None:
        return row
    raw, adjusted = difference["p"], difference["adjusted_p"]
    return {**row, "difference": {**difference, "p": adjusted, "unadjusted_p": raw}}


@lists_options
def advise(
    data: str | Path | Task | None = None,
    *,
    target: str | None = None,
    task: str | None = None,
    report: str | Path | None = None,
    command: str = "",
    params: Mapping[str, float] | None = None,
    say: Callable[[str], None] = lambda line: None,
    warn: Callable[[str], None] | None = None,
    progress: Progress | None = None,
    runner: Runner | None = None,
    **options: Any,
) -> Advice:
    """Recommend an activation for a task: diagnose the model, compare candidates fairly, judge, report.

    Args:
        data: A table's path, `file.py:name`, or a `Task`.
        target: The table column to predict.
        task: The name of a built-in task; the default without `data` is the built-in example.
        {options}
        report: Path of the HTML report; none is written by default.
        command: The command line, for the report.
        params: Values for the parameters of candidates that are typed as formulas, such as `{"beta": 1.0}`.
        say: Called with each sentence about the plan, before the run.
        warn: Called with each warning about the plan, before the run; `say` by default.
        progress: Called after every training step of the diagnosis and every trial.
        runner: Runs the trials; this machine by default.

    Raises:
        BadTask, BadTable, BadStudy, UnknownActivation, BadFormula: the message says what to change.
    """
    if report is not None:
        check_place(Path(report))
    chosen = task_named(data, target=target, task=task, verb="advise", options=task_options(options))
    typed = AdviseOptions(**options)
    candidates = None if typed.activations is None else _candidates(typed.activations, params or {})
    options_of_study = replace(typed, activations=candidates)
    found = advised(chosen, options_of_study, say=say, warn=warn, progress=progress, runner=runner)
    if report is None:
        return Advice(found.comparison, None, found.diagnosis)
    own = {one.name: one for one in candidates or () if isinstance(one, Activation)}
    shown = None if found.diagnosis is None else diagnosis(found.diagnosis, root=Path.cwd())
    path = write_report(found.comparison, Path(report), provenance=_provenance(command), own=own, diagnosis=shown)
    return Advice(found.comparison, path, found.diagnosis)


def _candidates(activations: Sequence[str | Activation], params: Mapping[str, float]) -> list[str | Activation]:
    """Return the candidates; a name stays text, so that the report shows it as typed.

    Raises:
        BadParam: no candidate has one of the parameters.
    """
    words = {word for one in activations if isinstance(one, str) for word in re.findall(r"[A-Za-z_]\w*", one)}
    for name in params:
        if name not in words:
            raise BadParam(f"no candidate is a formula with the parameter '{name}'.")
    return [_candidate(one, params) for one in activations]


def _candidate(one: str | Activation, params: Mapping[str, float]) -> str | Activation:
    own = {
        name: value
        for name, value in params.items()
        if isinstance(one, str) and re.search(rf"\b{re.escape(name)}\b", one)
    }
    if not isinstance(one, str) or not (own or names_own_file(one)):
        return one
    act = activation_named(one, **own)
    if isinstance(act, AxisActivation):
        raise BadInput(f"{one} acts along an axis; an element-wise activation is required.")
    return act


def _provenance(command: str) -> dict[str, str]:
    """Return command, versions, machine and date, for the end of the report."""
    versions = ", ".join(f"{package} {version(package)}" for package in ("actlab", "torch", "numpy"))
    environment = {"Versions": f"Python {platform.python_version()}, {versions}", "Machine": platform.platform()}
    typed = {"Command": command_without_secrets(command)} if command else {}
    return {**typed, **environment, "Date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"}
