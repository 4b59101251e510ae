"""The answer of `check`: what counts as a fault, and its text."""

from __future__ import annotations

from pathlib import Path

import pytest

from actlab.diagnosis.report import Report
from actlab.rules.finding import SEVERITIES, Severity
from actlab.verbs.check import NEVER, Checked
from actlab.verbs.explain import explain, kinds
from unit.report.findings import finding


def checked(*severities: Severity, fail_on: str, accepted: bool = False) -> Checked:
    found = tuple(finding("AL101", severity) for severity in severities)
    new, old = ((), found) if accepted else (found, ())
    return Checked(Report(found), new, old, 0, fail_on, Path("/data"), ("/data/net.py", 3))


@pytest.mark.parametrize("found", SEVERITIES)
@pytest.mark.parametrize("fail_on", [*SEVERITIES, NEVER])
def test_it_fails_from_the_severity_of_fail_on(found: Severity, fail_on: str) -> None:
    order = [*SEVERITIES, NEVER]
    fails = fail_on != NEVER and order.index(found) <= order.index(fail_on)
    assert checked(found, fail_on=fail_on).is_well is not fails


def test_an_accepted_finding_never_fails_and_is_counted() -> None:
    answer = checked("error", "warning", fail_on="information", accepted=True)
    assert answer.is_well
    assert answer.lines()[-1].startswith("Nothing new found")
    assert "2 accepted by the baseline" in answer.lines()[-1]
    assert [one["id"] for one in answer.to_json()["accepted"]] == ["AL101", "AL101"]
    assert answer.to_json()["findings"] == []


def test_an_explanation_fits_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = [*kinds().lines(), *(line for kind in kinds().kinds for line in explain(kind.id).lines())]
    assert max(map(len, lines)) <= 80
