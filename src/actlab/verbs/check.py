"""Diagnose a model's activations."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from actlab.diagnosis.report import Report, StoppedEarly
from actlab.diagnosis.suppression import suppressed
from actlab.errors import BadInput
from actlab.jsonable import plain
from actlab.report.baseline import Divided, divided, write_baseline
from actlab.report.diagnosis_page import write_diagnosis
from actlab.report.finding_table import FindingTable, table_lines
from actlab.report.sarif import sarif
from actlab.report.written import write_whole
from actlab.rules.finding import SEVERITIES, Finding
from actlab.rules.remedies import REMEDIES
from actlab.study.control_diagnosis import diagnosed, signal_if_it_runs
from actlab.train.subject import Subject, defined_at, names_program
from actlab.train.task import Task
from actlab.train.taskfile import parts
from actlab.verbs.configuration import NEVER, Configuration, configuration, prefixes, severity
from actlab.verbs.task_lookup import subject_named


@dataclass(frozen=True)
class Checked:
    """The findings about a model, with the evidence for each.

    Attributes:
        report: everything that was found, but for ids that are not selected.
        new: the findings that count: neither accepted by the baseline nor suppressed by a comment.
        accepted: the findings that the baseline accepts.
        suppressed: the findings that a comment in the source suppresses.
        ignored: how many findings were left out because their ids are not selected.
        gone: how many entries of the baseline were not found again.
        fail_on: the minimum severity that counts as a fault, or "never".
        root: the folder that paths are relative to.
        name: the model or task.
        defined_at: its file and line.
        was_stopped: whether Ctrl-C ended the training run early.
        subject: what was checked; the HTML report follows the signal in it.
    """

    report: Report
    new: tuple[Finding, ...]
    accepted: tuple[Finding, ...]
    gone: int
    fail_on: str
    root: Path
    defined_at: tuple[str, int]
    name: str = "model"
    suppressed: tuple[Finding, ...] = ()
    ignored: int = 0
    was_stopped: bool = False
    subject: Task | Subject | None = field(default=None, repr=False, compare=False)

    @property
    def is_well(self) -> bool:
        """Whether nothing was raised and no new finding reaches the severity `fail_on`."""
        if self.report.raised is not None:
            return False
        if self.fail_on == NEVER:
            return True
        least = SEVERITIES.index(self.fail_on)
        return all(SEVERITIES.index(finding.severity) > least for finding in self.new)

    def to_json(self) -> dict[str, Any]:
        """Return the findings, those accepted or suppressed, and the parts that could not be inspected."""
        return {
            "findings": [finding.to_json() for finding in self.new],
            "accepted": [finding.to_json() for finding in self.accepted],
            "suppressed": len(self.suppressed),
            "ignored": self.ignored,
            "unseen": plain(self.report.unseen),
            "notes": list(self.report.remarks),
        }

    def to_sarif(self) -> dict[str, Any]:
        """Return a SARIF 2.1.0 log, in which accepted and suppressed findings are suppressed results."""
        return sarif(
            self.report.findings,
            self.report.unseen,
            root=self.root,
            version=version("actlab"),
            whole=self.defined_at,
            accepted=self.accepted,
            in_source=self.suppressed,
        )

    def write_sarif(self, path: Path) -> Path:
        """Write the SARIF log and return its path.

        Raises:
            BadInput: the file cannot be written.
        """
        return write_whole(path, json.dumps(self.to_sarif(), indent=2, allow_nan=False).encode())

    def write_report(self, path: Path) -> Path:
        """Write the findings that count, and the signal over depth, to an HTML report and return its path.

        Raises:
            BadInput: the file cannot be written.
        """
        signal = None if self.subject is None else signal_if_it_runs(self.subject)
        return write_diagnosis(replace(self.report, findings=self.new), path, title=self.name, signal=signal)

    def accept_all(self, path: Path) -> int:
        """Write all findings to a baseline, including those of the old one, and return their number.

        Raises:
            BadInput: the file cannot be written.
        """
        write_baseline(self.report.findings, path)
        return len(self.report.findings)

    def lines(self) -> list[str]:
        """Return a table of the findings, the parts that could not be inspected, and a count."""
        table = table_lines(
            FindingTable(
                self.new,
                self.report.unseen,
                REMEDIES,
                self.root,
                nothing="nothing new found" if self.accepted or self.suppressed else "nothing found",
                last=self._last(),
            )
        )
        return [*table, *self.report.remarks]

    def _last(self) -> str:
        sites = len(self.report.sites)
        parts = [f"; {sites} activation{'' if sites == 1 else 's'} inspected"]
        parts += [f"; {len(self.accepted)} accepted by the baseline"] * bool(self.accepted)
        parts += [f"; {self.gone} of the baseline not found again"] * bool(self.gone)
        parts += [f"; {_counted(len(self.suppressed))} suppressed by a comment"] * bool(self.suppressed)
        parts += [f"; {_counted(self.ignored)} left out by select or ignore"] * bool(self.ignored)
        return "".join(parts)


def check(
    data: str | Path | Task | Subject | None = None,
    *,
    target: str | None = None,
    task: str | None = None,
    input: Sequence[str] = (),
    train_steps: int = 0,
    baseline: Path | None = None,
    select: Sequence[str] | None = None,
    ignore: Sequence[str] | None = None,
    fail_on: str | None = None,
    progress: Callable[[int, int, float | None, str], None] | None = None,
) -> Checked:
    """Diagnose the activations of a task's model, or of a model with a batch and a loss.

    What is not passed is read from `[tool.actlab]` in the nearest pyproject.toml, from the folder of the user's file
    upwards, otherwise from the working folder; thresholds can be set only there.

    Args:
        data: `file.py:name` or `package.module:name` of a `Task`, or of a model, a batch and a loss; a table's path;
            a `Task` or a `Subject`.
        target: the table column to predict.
        task: the name of a built-in task.
        input: the shapes of random inputs, such as `["32,4"]` or `["32,16:int64"]`, for a model without a batch.
        train_steps: training steps of a watched copy; 0 checks one batch only.
        baseline: a file of accepted findings.
        select: ids of the findings to report, or their beginnings; all by default.
        ignore: ids of the findings not to report, or their beginnings.
        fail_on: the minimum severity that counts as a fault: error, warning, information or never.
        progress: called after every training step.

    Raises:
        BadTask, BadTable, BadInput: the message says what to change.
    """
    configured = _configured(data, select=select, ignore=ignore, fail_on=fail_on)
    if train_steps < 0:
        raise BadInput(f"--train-steps must be 0 or a positive integer; got {train_steps}.")
    if baseline is not None:
        divided((), baseline)  # a file that cannot be read is refused before anything is run
    subject = subject_named(data, target=target, task=task, verb="check", input=input)
    settings = configured.settings()
    try:
        report = diagnosed(subject, train_steps=train_steps, settings=settings, progress=progress)
        was_stopped = False
    except StoppedEarly as stopped:
        report, was_stopped = stopped.report, True
    found = Divided(report.findings, (), 0) if baseline is None else divided(report.findings, baseline)
    selected = _selected(report.findings, configured)
    new = _selected(found.new, configured)
    hidden = suppressed(new)
    return Checked(
        report=replace(report, findings=selected),
        new=tuple(each for each in new if not any(each is one for one in hidden)),
        accepted=_selected(found.accepted, configured),
        gone=found.gone,
        fail_on=configured.fail_on,
        root=Path.cwd(),
        defined_at=defined_at(subject),
        name=subject.name,
        suppressed=tuple(hidden),
        ignored=len(report.findings) - len(selected),
        was_stopped=was_stopped,
        subject=subject,
    )


def _configured(
    data: object, *, select: Sequence[str] | None, ignore: Sequence[str] | None, fail_on: str | None
) -> Configuration:
    """Return the project's configuration, with what was passed in place of what it sets."""
    typed: dict[str, Any] = {}
    if select is not None:
        typed["select"] = prefixes(select, where="--select")
    if ignore is not None:
        typed["ignore"] = prefixes(ignore, where="--ignore")
    if fail_on is not None:
        typed["fail_on"] = severity(fail_on, where="--fail-on")
    in_file = isinstance(data, str | Path) and (names_program(str(data)) or Path(data).is_file())
    file = parts(str(data))[0] if in_file else None
    folder = file.parent if file is not None and file.is_file() else Path.cwd()
    return replace(configuration(folder), **typed)


def _selected(findings: Sequence[Finding], configured: Configuration) -> tuple[Finding, ...]:
    return tuple(finding for finding in findings if configured.selects(finding.id))


def _counted(findings: int) -> str:
    return f"{findings} finding{'' if findings == 1 else 's'}"
