"""Recommend an activation for a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actlab.diagnosis.report import Report
from actlab.jsonable import plain
from actlab.report.diagnosis import diagnosis
from actlab.report.earlier_text import earlier_lines
from actlab.report.finding_table import FindingTable, table_lines
from actlab.report.guide_text import guide_lines
from actlab.report.health_facts import health
from actlab.report.page import write_report
from actlab.report.terminal import comparison_lines
from actlab.report.written import check_place
from actlab.rules.remedies import REMEDIES
from actlab.study.advise import advise as advised
from actlab.study.compare import Progress
from actlab.study.comparison import Comparison
from actlab.study.control_diagnosis import signal_if_it_runs
from actlab.study.earlier import Earlier
from actlab.study.guide import Hint, guide
from actlab.study.next_seeds import seeds_to_settle
from actlab.study.options import AdviseOptions, lists_options, task_options
from actlab.study.runner import Runner, start_early
from actlab.train.task import Learnable, Task
from actlab.verbs.comparing import own_activations, provenance, with_activations
from actlab.verbs.runner_lookup import runner_named
from actlab.verbs.task_lookup import task_named


@dataclass(frozen=True)
class Advice:
    """The recommended activation for a task, and the evidence for it.

    Attributes:
        comparison: everything that was planned and measured.
        report: the path of the HTML report, if one was written.
        diagnosis: the findings about the control before the comparison, if it was diagnosed.
        guide: what is usual for such a network and such a loss; a measurement outranks it.
        earlier: what earlier runs in the store showed on similar tasks; a measurement outranks it too.
    """

    comparison: Comparison
    report: Path | None = None
    diagnosis: Report | None = None
    guide: tuple[Hint, ...] = ()
    earlier: Earlier | None = None

    @property
    def verdict(self) -> str:
        """The recommendation, in words."""
        return self.comparison.verdict

    @property
    def seeds_to_settle(self) -> int | None:
        """The number of seeds in all that should settle what is undecided, if adding seeds can."""
        return seeds_to_settle(self.comparison)

    @property
    def next_step(self) -> str:
        """The call that should settle what is undecided, in words; empty if nothing is, or if it cannot."""
        seeds = self.seeds_to_settle
        return f"The same call with the same store, seeds={seeds} and resume=True." if seeds is not None else ""

    def to_json(self) -> dict[str, Any]:
        """Return task, arms, verdict, report, diagnosis, and everything that was planned and measured."""
        found = self.comparison.to_json()
        return {
            "task": found.pop("task"),
            "arms": [_arm(row) for row in found.pop("arms")],
            "verdict": found.pop("verdict"),
            "report": None if self.report is None else str(self.report),
            "diagnosis": None if self.diagnosis is None else _diagnosis(self.diagnosis),
            "guide": plain(self.guide),
            "earlier": None if self.earlier is None else plain(self.earlier),
            "error_rate": self.comparison.plan.error_rate,
            "seeds_to_settle": self.seeds_to_settle,
            "next_step": self.next_step,
            **found,
        }

    def lines(self) -> list[str]:
        """Return the findings about the control, the table of arms, the verdict, and the path of the report."""
        lines = comparison_lines(self.comparison)
        if self.diagnosis is not None:
            lines = [*_diagnosis_lines(self.diagnosis, control=self.comparison.control.activation), "", *lines]
        if self.guide:
            lines += ["", *guide_lines(self.guide)]
        known = earlier_lines(self.earlier)
        if known:
            lines += ["", *known]
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
    data: str | Path | Learnable | None = None,
    *,
    target: str | None = None,
    task: str | None = None,
    report: str | Path | None = None,
    command: str = "",
    params: Mapping[str, float] | None = None,
    say: Callable[[str], None] = lambda line: None,
    warn: Callable[[str], None] | None = None,
    progress: Progress | None = None,
    runner: str | Runner | None = None,
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
        progress: Called after every training step of the diagnosis and every trial, and at times while several train
            together.
        runner: Where the trials run: local (the default), ray or ray://HOST:PORT for a Ray cluster, or a runner.

    Raises:
        BadTask, BadTable, BadStudy, UnknownActivation, BadFormula: the message says what to change.
    """
    where = runner_named(runner)
    if report is not None:
        check_place(Path(report))
    if where is None and options.get("jobs", 1) > 1:
        start_early()
    chosen = task_named(data, target=target, task=task, verb="advise", options=task_options(options))
    asked = with_activations(AdviseOptions(**options), params or {})
    found = advised(chosen, asked, say=say, warn=warn, progress=progress, runner=where)
    hints = guide(chosen) if isinstance(chosen, Task) else ()
    if report is None:
        return Advice(found.comparison, None, found.diagnosis, hints, found.earlier)
    signal = signal_if_it_runs(chosen) if isinstance(chosen, Task) and found.diagnosis is not None else None
    shown = None if found.diagnosis is None else diagnosis(found.diagnosis, root=Path.cwd(), signal=signal)
    path = write_report(
        found.comparison,
        Path(report),
        provenance=provenance(command),
        own=own_activations(asked),
        diagnosis=shown,
        guide=hints,
        earlier=found.earlier,
    )
    return Advice(found.comparison, path, found.diagnosis, hints, found.earlier)
