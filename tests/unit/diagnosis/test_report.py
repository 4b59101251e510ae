"""One report of a batch and one of a trial run become one."""

from __future__ import annotations

from typing import Any

from actlab.diagnosis.report import Report
from actlab.rules.finding import Finding, Severity
from unit.report.findings import finding, site
from unit.report.quantities import quantities


def plateau(cause: str | None = None) -> Finding:
    evidence: dict[str, Any] = {"likely_cause": cause}
    severity: Severity = "information" if cause is None else "warning"
    return finding("AL111", severity, message="The loss did not move.", evidence=evidence)


def test_findings_of_both_are_sorted_and_the_quantities_are_those_of_the_trial_run() -> None:
    batch, trial = (
        Report((finding("AL201"),)),
        Report((finding("AL103", "warning"), finding("AL102")), (), (), quantities()),
    )
    merged = batch.merged_with(trial)
    assert [one.id for one in merged.findings] == ["AL102", "AL201", "AL103"]
    assert merged.quantities is trial.quantities
    assert [one.id for one in batch.findings] == ["AL201"]


def test_a_lost_loss_is_reported_once_unless_the_trial_run_names_the_activation() -> None:
    batch = Report((finding("AL107"),))
    assert batch.merged_with(Report((finding("AL107"),))).findings == batch.findings
    named = finding("AL107", where=site())
    assert batch.merged_with(Report((named,))).findings == (*batch.findings, named)


def test_a_plateau_without_a_cause_is_attributed_to_the_first_error_of_the_batch() -> None:
    batch = Report((finding("AL201"), finding("AL206")))
    (merged,) = [one for one in batch.merged_with(Report((plateau(),))).findings if one.id == "AL111"]
    assert (merged.severity, merged.evidence["likely_cause"]) == ("warning", "AL201")


def test_a_plateau_keeps_its_own_cause_and_a_warning_does_not_explain_it() -> None:
    known, warned = plateau("AL101"), Report((finding("AL201", "warning"),))
    assert known in Report((finding("AL201"),)).merged_with(Report((known,))).findings
    assert plateau() in warned.merged_with(Report((plateau(),))).findings
