"""The answer of `check`: what counts as a fault, and its text."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from actlab.diagnosis.report import Report
from actlab.rules.finding import SEVERITIES, Severity
from actlab.rules.kind import FindingKind
from actlab.verbs.check import Checked
from actlab.verbs.configuration import NEVER
from actlab.verbs.explain import CODE, Explained, explain, kinds
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


def test_an_explanation_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = [*kinds().lines(), *(line for kind in kinds().kinds for line in explain(kind.id).lines())]
    assert max(len(line) for line in lines if not line.startswith(" " * CODE)) <= 80


def test_an_explanation_has_sections() -> None:
    documented = SimpleNamespace(
        id="AL999",
        title="a title",
        name="a-name",
        severity="error",
        what="What is reported.\n\nMore.",
        why="Why.",
        how="How.",
        explanation="",
        example="model = nn.ReLU()\nloss = None\n",
        fix="model = nn.GELU()",
        thresholds={"growth": "by how much"},
        defaults={"growth": 0.1},
        source="A paper",
        remedies=(),
    )
    page = "\n".join(Explained(cast(FindingKind, documented)).lines())
    titles = [
        "What it is",
        "Why it matters",
        "How it is detected",
        "Example",
        "Use instead",
        "Thresholds",
        "References",
    ]
    assert [line for line in page.split("\n") if line in titles] == titles
    assert "\nWhat it is\nWhat is reported.\n\nMore.\n\nWhy it matters\n" in page
    assert "\n    model = nn.ReLU()\n    loss = None\n" in page
    assert "growth = 0.1: by how much" in page
    assert "Fixes" not in page  # it has none
