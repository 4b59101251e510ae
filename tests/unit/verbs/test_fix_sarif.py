"""The findings of a repair as SARIF: those that the kept changes remove carry the diff."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from actlab.remedy.edit import RemoveActivation
from actlab.remedy.handover import Handover
from actlab.remedy.patch import patched
from actlab.verbs.fix import Fixed
from unit.report.findings import finding, site


def test_findings_that_the_diff_removes_carry_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "net.py"
    file.write_text("from torch import nn\nnet = nn.Sequential(nn.Linear(4, 2), nn.Softmax(1))\n", encoding="utf-8")
    patch = patched([RemoveActivation(str(file), 2, "nn.Softmax")])
    found = (finding("AL201", where=site(file=str(file), line=2)), finding("AL101", "warning"))
    tried = [SimpleNamespace(finding="AL201", kept=True), SimpleNamespace(finding="AL101", kept=False)]
    start = SimpleNamespace(origin=SimpleNamespace(file=str(file)))
    outcome: Any = SimpleNamespace(before=SimpleNamespace(findings=found), tried=tried, start=start)
    path = Fixed(outcome, Handover(patch)).write_sarif(tmp_path / "found.sarif")
    results = {each["ruleId"]: each for each in Fixed(outcome, Handover(patch)).to_sarif()["runs"][0]["results"]}
    (change,) = results["AL201"]["fixes"][0]["artifactChanges"]
    assert change["artifactLocation"]["uri"] == "net.py"
    assert change["replacements"][0]["insertedContent"]["text"] == "net = nn.Sequential(nn.Linear(4, 2))\n"
    assert "fixes" not in results["AL101"]
    assert path.read_text(encoding="utf-8").count('"fixes"') == 1
