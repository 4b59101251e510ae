"""Diagnose a model's activations."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from actlab.diagnosis.report import Report, StoppedEarly
from actlab.errors import BadInput
from actlab.jsonable import plain
from actlab.report.baseline import Divided, divided, write_baseline
from actlab.report.finding_table import FindingTable, table_lines
from actlab.report.sarif import sarif
from actlab.report.written import write_whole
from actlab.rules.finding import SEVERITIES, Finding
from actlab.rules.remedies import REMEDIES
from actlab.study.control_diagnosis import diagnosed
from actlab.train.subject import Subject, defined_at
from actlab.train.task import Task
from actlab.verbs.task_lookup import subject_named

NEVER = "never"


@dataclass(frozen=True)
class Checked:
    """The findings about a model, with the evidence for each.

    Attributes:
        report: everything that was found.
        new: the findings that the baseline does not accept; without a baseline, all of them.
        accepted: the findings that the baseline accepts.
        gone: how many entries of the baseline were not found again.
        fail_on: the minimum severity that counts as a fault, or "never".
        root: the folder that paths are relative to.
        defined_at: file and line of the model or task.
        was_stopped: whether Ctrl-C ended the training run early.
    """

    report: Report
    new: tuple[Finding, ...]
    accepted: tuple[Finding, ...]
    gone: int
    fail_on: str
    root: Path
    defined_at: tuple[str, int]
    was_stopped: bool = False

    @property
    def is_well(self) -> bool:
        """Whether no new finding reaches the severity `fail_on`."""
        if self.fail_on == NEVER:
            return True
        least = SEVERITIES.index(self.fail_on)
        return all(SEVERITIES.index(finding.severity) > least for finding in self.new)

    def to_json(self) -> dict[str, Any]:
        """Return the findings, those accepted by the baseline, and the parts that could not be inspected."""
        return {
            "findings": [finding.to_json() for finding in self.new],
            "accepted": [finding.to_json() for finding in self.accepted],
            "unseen": plain(self.report.unseen),
        }

    def to_sarif(self) -> dict[str, Any]:
        """Return a SARIF 2.1.0 log, in which accepted findings are suppressed results."""
        return sarif(
            self.report.findings,
            self.report.unseen,
            root=self.root,
            version=version("actlab"),
            whole=self.defined_at,
            accepted=self.accepted,
        )

    def write_sarif(self, path: Path) -> Path:
        """Write the SARIF log and return its path.

        Raises:
            BadInput: the file cannot be written.
        """
        return write_whole(path, json.dumps(self.to_sarif(), indent=2, allow_nan=False).encode())

    def accept_all(self, path: Path) -> int:
        """Write all findings to a baseline, including those of the old one, and return their number.

        Raises:
            BadInput: the file cannot be written.
        """
        write_baseline(self.report.findings, path)
        return len(self.report.findings)

    def lines(self) -> list[str]:
        """Return a table of the findings, the parts that could not be inspected, and a count."""
        return table_lines(
            FindingTable(
                self.new,
                self.report.unseen,
                REMEDIES,
                self.root,
                nothing="nothing new found" if self.accepted else "nothing found",
                last=self._last(),
            )
        )

    def _last(self) -> str:
        sites = len(self.report.sites)
        parts = [f" at {sites} site{'' if sites == 1 else 's'} of an activation"]
        parts += [f"; {len(self.accepted)} accepted by the baseline"] * bool(self.accepted)
        parts += [f"; {self.gone} of the baseline not found again"] * bool(self.gone)
        return "".join(parts)


def check(
    data: str | Path | Task | Subject | None = None,
    *,
    target: str | None = None,
    task: str | None = None,
    train_steps: int = 0,
    baseline: Path | None = None,
    fail_on: str = "warning",
    progress: Callable[[int, int, float | None, str], None] | None = None,
) -> Checked:
    """Diagnose the activations of a task's model, or of a model with a batch and a loss.

    Args:
        data: `file.py:name` or `package.module:name` of a `Task`, or of a model, a batch and a loss; a table's path;
            a `Task` or a `Subject`.
        target: the table column to predict.
        task: the name of a built-in task.
        train_steps: training steps of a watched copy; 0 checks one batch only.
        baseline: a file of accepted findings.
        fail_on: the minimum severity that counts as a fault: error, warning, information or never.
        progress: called after every training step.

    Raises:
        BadTask, BadTable, BadInput: the message says what to change.
    """
    if fail_on not in (*SEVERITIES, NEVER):
        raise BadInput(f"--fail-on must be {', '.join(SEVERITIES)} or {NEVER}; got '{fail_on}'.")
    if train_steps < 0:
        raise BadInput(f"--train-steps must be 0 or a positive integer; got {train_steps}.")
    if baseline is not None:
        divided((), baseline)  # a file that cannot be read is refused before anything is run
    subject = subject_named(data, target=target, task=task, verb="check")
    try:
        report, was_stopped = diagnosed(subject, train_steps=train_steps, progress=progress), False
    except StoppedEarly as stopped:
        report, was_stopped = stopped.report, True
    found = Divided(report.findings, (), 0) if baseline is None else divided(report.findings, baseline)
    return Checked(report, found.new, found.accepted, found.gone, fail_on, Path.cwd(), defined_at(subject), was_stopped)
