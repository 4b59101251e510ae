"""What is wrong with a model's activations: findings, against a baseline, for reading, as JSON, as SARIF."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actlab.errors import BadInput
from actlab.jsonable import plain
from actlab.verbs.task_choice import named_subject

if TYPE_CHECKING:
    from actlab.diagnosis.report import Report
    from actlab.rules.finding import Finding
    from actlab.train.subject import Subject
    from actlab.train.task import Task

NEVER = "never"


@dataclass(frozen=True)
class Checked:
    """What is wrong with a model's activations, where, and how that is known.

    Attributes:
        report: all that was found.
        new: the findings that no baseline accepts; without a baseline, all of them.
        accepted: those that the baseline accepts.
        gone: how many entries of the baseline were not found again.
        fail_on: the mildest severity that counts as a fault; "never" where none does.
        root: the folder that paths are told from.
        defined_at: file and line of what was checked.
        was_stopped: whether Ctrl-C ended the training run; what was measured until then is told.
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
        """Whether nothing new was found that counts as a fault."""
        from actlab.rules.finding import SEVERITIES

        if self.fail_on == NEVER:
            return True
        mildest = SEVERITIES.index(self.fail_on)
        return all(SEVERITIES.index(finding.severity) > mildest for finding in self.new)

    def to_json(self) -> dict[str, Any]:
        """Findings, what is accepted, what was not seen."""
        return {
            "findings": [finding.to_json() for finding in self.new],
            "accepted": [finding.to_json() for finding in self.accepted],
            "unseen": plain(self.report.unseen),
        }

    def to_sarif(self) -> dict[str, Any]:
        """A SARIF 2.1.0 log; what is accepted stands in it as suppressed."""
        from actlab.report.sarif import sarif

        return sarif(
            self.report.findings,
            self.report.unseen,
            root=self.root,
            version=version("actlab"),
            whole=self.defined_at,
            accepted=self.accepted,
        )

    def write_sarif(self, path: Path) -> Path:
        """The path, once the SARIF log lies there.

        Raises:
            BadInput: the place cannot be written.
        """
        from actlab.report.written import write_whole

        return write_whole(path, json.dumps(self.to_sarif(), indent=2, allow_nan=False).encode())

    def accept_all(self, path: Path) -> int:
        """How many findings are accepted, once the baseline lies there; those of the old baseline stay accepted.

        Raises:
            BadInput: the place cannot be written.
        """
        from actlab.report.baseline import write_baseline

        write_baseline(self.report.findings, path)
        return len(self.report.findings)

    def lines(self) -> list[str]:
        """A table of the findings, what was not seen, the count."""
        from actlab.report.finding_table import FindingTable, table_lines
        from actlab.rules.remedies import REMEDIES

        table = table_lines(
            FindingTable(
                self.new,
                self.report.unseen,
                REMEDIES,
                self.root,
                nothing="nothing new found" if self.accepted else "nothing found",
                last=self._last(),
            )
        )
        return [*table, *self.report.notes]

    def _last(self) -> str:
        """After the count: of how many sites, how many are accepted, how many are gone."""
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
    """What is wrong with the activations of a task's model, or of a model with a batch and a loss.

    Args:
        data: `file.py:name` or `package.module:name` of a `Task`, or of a model, a batch and a loss; a table's path;
            a `Task` or a `Subject` itself.
        target: the table's column that is to be predicted.
        task: the name of a built-in task.
        train_steps: for how many steps a copy is trained and watched; 0 tells what one batch can tell.
        baseline: a file of accepted findings.
        fail_on: the mildest severity that counts as a fault: error, warning, information or never.
        progress: is told after every step.

    Raises:
        BadTask, BadTable, BadInput: the message says what to mend.
    """
    from actlab.diagnosis.report import StoppedEarly
    from actlab.report.baseline import Divided, divided
    from actlab.rules.finding import SEVERITIES
    from actlab.study.control_diagnosis import diagnosed
    from actlab.train.subject import defined_at

    if fail_on not in (*SEVERITIES, NEVER):
        raise BadInput(f"--fail-on takes {', '.join(SEVERITIES)} or {NEVER}; got '{fail_on}'.")
    if train_steps < 0:
        raise BadInput(f"--train-steps counts training steps, 0 or more; got {train_steps}.")
    if baseline is not None:
        divided((), baseline)  # a file that is none is refused before anything is run
    subject = named_subject(data, target=target, task=task, purpose="check")
    try:
        report, was_stopped = diagnosed(subject, train_steps=train_steps, progress=progress), False
    except StoppedEarly as stopped:
        report, was_stopped = stopped.report, True
    found = Divided(report.findings, (), 0) if baseline is None else divided(report.findings, baseline)
    return Checked(report, found.new, found.accepted, found.gone, fail_on, Path.cwd(), defined_at(subject), was_stopped)


@dataclass(frozen=True)
class Located:
    """Where a model applies an activation, and where one could not look."""

    sites: tuple[Any, ...]
    unseen: tuple[Any, ...]
    root: Path

    def to_json(self) -> dict[str, Any]:
        """One object a site, and what was not seen."""
        return {
            "sites": [plain(site.to_json()) for site in self.sites],
            "unseen": plain(self.unseen),
        }

    def lines(self) -> list[str]:
        """A table of the sites, then what was not seen."""
        from actlab.report.site_table import site_lines

        return site_lines(self.sites, self.unseen, root=self.root)


def sites(
    data: str | Path | Task | Subject | None = None, *, target: str | None = None, task: str | None = None
) -> Located:
    """Where a task's model, or a model with a batch, applies an activation, however that is spelled.

    Args:
        data: as for `check`.
        target: the table's column that is to be predicted.
        task: the name of a built-in task.

    Raises:
        BadTask, BadTable, BadInput: the message says what to mend.
    """
    from actlab.study.control_diagnosis import located

    found = located(named_subject(data, target=target, task=task, purpose="look into"))
    return Located(tuple(found), tuple(found.unseen), Path.cwd())
