"""The findings of a check or of a watched run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from actlab.deprecation import warn_renamed
from actlab.diagnosis.finding_display import diagnosis_picture, finding_table
from actlab.display.answer import Displayed
from actlab.display.picture import Picture
from actlab.display.table import Table
from actlab.errors import ActlabError, BadInput
from actlab.jsonable import plain
from actlab.rules.finding import SEVERITIES, Finding
from actlab.rules.finding_text import finding_lines
from actlab.rules.registry import kinds
from actlab.rules.running.al111_loss_does_not_move import blamed_on
from actlab.sites.site import Site, Unseen
from actlab.sites.site_text import unseen_text
from actlab.telemetry.quantities import Quantities


class FindingsFound(ActlabError, AssertionError):
    """Raised by `Report.raise_if_found`."""


@final
class StoppedEarly(KeyboardInterrupt):
    """Ctrl-C during a trial run.

    Attributes:
        report: the findings so far.
    """

    def __init__(self, report: Report) -> None:
        self.report = report
        super().__init__()


@final
@dataclass(frozen=True)
class Report(Displayed):
    """The findings about a model.

    Attributes:
        findings: errors first, then warnings, then information.
        unseen: the parts of the model that could not be inspected.
        sites: where the model applies activations.
        quantities: the measurements of a training run; None without one.
        notes: choices that were left to actlab, such as the optimizer of a trial run.
        raised: what the model, the loss or a training step raised; the findings are of what ran before.
    """

    findings: tuple[Finding, ...]
    unseen: tuple[Unseen, ...] = ()
    sites: tuple[Site, ...] = ()
    quantities: Quantities | None = None
    notes: tuple[str, ...] = ()
    raised: ActlabError | None = None

    @property
    def ok(self) -> bool:
        """Whether there is neither an error nor a warning, and nothing was raised."""
        return self.raised is None and not self.alarms

    @property
    def alarms(self) -> tuple[Finding, ...]:
        """The errors and warnings."""
        return tuple(finding for finding in self.findings if finding.severity != "information")

    @property
    def remarks(self) -> tuple[str, ...]:
        """The notes, and where the check ended if something was raised."""
        return self.notes if self.raised is None else (f"Ended early: {self.raised}.", *self.notes)

    @property
    def is_well(self) -> bool:
        """The old name of `ok`; deprecated."""
        warn_renamed("Report.is_well", "Report.ok")
        return self.ok

    def merged_with(self, trial: Report) -> Report:
        """Return this report of one batch together with the report of a trial run of the same model.

        What is not finite (AL107, AL112) is reported once: in training it is a consequence, unless only the trial run
        names the place. A backward pass that fails (AL113) is reported once, too. A loss plateau (AL111) without a
        cause in the trial run is attributed to the first error of this report.

        Args:
            trial: the report of the trial run; its `quantities` are taken over.
        """
        new = [finding for finding in trial.findings if not self._explains(finding)]
        error = next((finding for finding in self.alarms if finding.severity == "error" or finding.id == "AL114"), None)
        if error is not None:
            new = [blamed_on(finding, error) if _lacks_cause(finding) else finding for finding in new]
        findings, notes = ordered([*self.findings, *new]), (*self.notes, *trial.notes)
        return replace(self, findings=findings, quantities=trial.quantities, notes=notes, raised=trial.raised)

    def _explains(self, later: Finding) -> bool:
        """Return whether a finding of a trial run is a consequence of one of this report."""
        same = _NOT_FINITE if later.id in _NOT_FINITE else {"AL113"} & {later.id}
        first = next((finding for finding in self.findings if finding.id in same), None)
        return first is not None and (first.site is not None or later.site is None or later.id == "AL113")

    def raise_if_found(self, *prefixes: str) -> None:
        """Raise `FindingsFound` for an error or a warning whose id has one of the prefixes (without prefixes: any id).

        Raises:
            FindingsFound: the message lists these findings.
            BadInput: no finding has such an id, so the test could never fail.
        """
        for prefix in prefixes:
            if not any(name.startswith(prefix) for name in kinds()):
                raise BadInput(f"no finding's id begins with '{prefix}'; `actlab explain` lists them all.")
        selected = [finding for finding in self.alarms if finding.id.startswith(prefixes or ("",))]
        if selected:
            lines = (line for finding in selected for line in finding_lines(finding, root=Path.cwd()))
            raise FindingsFound("\n".join(lines))

    def to_json(self) -> dict[str, Any]:
        """Return the findings and the parts that could not be inspected as plain values."""
        return {
            "findings": [finding.to_json() for finding in self.findings],
            "unseen": plain(self.unseen),
            "notes": list(self.remarks),
        }

    def table(self) -> Table:
        """Return a row for each finding."""
        notes = self.remarks if self.findings else (self._nothing(), *self.remarks)
        return finding_table(self.findings, self.unseen, notes=notes)

    def picture(self) -> Picture | None:
        """Return the dead and saturated shares of every site; without a training run, the findings by kind."""
        return diagnosis_picture(self.findings, self.quantities)

    def lines(self) -> list[str]:
        """Return the findings for reading, then what could not be inspected, then notes."""
        lines = [line for finding in self.findings for line in finding_lines(finding, root=Path.cwd())]
        hidden = [f"not inspected: {unseen_text(each)}" for each in self.unseen]
        return [*(lines or [self._nothing()]), *hidden, *self.remarks]

    def _nothing(self) -> str:
        if self.quantities is not None and self.quantities.measured == 0:
            return (
                "nothing was measured: no training step of this module was recorded. Watch the module that the training"
                " step calls; passes in evaluation mode count with evaluation=True."
            )
        return f"nothing found at {len(self.sites)} site{'' if len(self.sites) == 1 else 's'}."


def ordered(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Sort findings by severity, errors first, and then by id."""
    return tuple(sorted(findings, key=lambda finding: (SEVERITIES.index(finding.severity), finding.id)))


_NOT_FINITE = {"AL107", "AL112"}


def _lacks_cause(finding: Finding) -> bool:
    return finding.id == "AL111" and finding.evidence["likely_cause"] is None
