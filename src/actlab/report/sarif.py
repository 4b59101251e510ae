"""Findings as SARIF 2.1.0, which code-scanning services and editors read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from actlab.jsonable import plain
from actlab.remedy.patch import Patch, replacements
from actlab.report.finding_text import by_severity
from actlab.report.fingerprint import fingerprints
from actlab.rules.finding import Finding
from actlab.rules.finding_text import evidence_text, sentence_text
from actlab.rules.kind import FindingKind
from actlab.rules.registry import kinds
from actlab.rules.remedies import REMEDIES
from actlab.sites.site import Unseen

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
LEVELS = {"error": "error", "warning": "warning", "information": "note"}
ROOT_NAME = "SRCROOT"
"""The base of relative paths, under the name that other tools use."""

_ADDRESS = re.compile(r"(?P<url>https://[^\s,;)]+)|arXiv:(?P<arxiv>\d{4}\.\d{4,5})|doi:(?P<doi>10\.\d+/[^\s,;)]+)")

FINGERPRINT = "actlabPlace/v1"


def sarif(
    findings: Sequence[Finding],
    unseen: Sequence[Unseen] = (),
    *,
    root: Path,
    version: str,
    whole: tuple[str, int] = ("", 0),
    accepted: Sequence[Finding] = (),
    in_source: Sequence[Finding] = (),
    patches: Mapping[int, Patch] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return a SARIF log with one run.

    Args:
        findings: the results, in the order in which they were found.
        unseen: parts that could not be inspected; these become notifications of the run.
        root: the folder that the files' URIs are relative to.
        version: of actlab.
        whole: file and line for findings about the model as a whole; code-scanning services hide results without one.
        accepted: the findings in a baseline; they are marked as suppressed.
        in_source: the findings that a comment suppresses; likewise.
        patches: verified patches, by the index of the finding that each removes; they become the results' `fixes`.
    """
    digests = dict(zip(map(id, findings), fingerprints(findings), strict=True))
    suppressed = {id(finding): {"kind": "external", "status": "accepted"} for finding in accepted}
    suppressed |= {id(finding): {"kind": "inSource"} for finding in in_source}
    fixes = {id(findings[at]): {"fixes": [_fix(patch, root=root)]} for at, patch in patches.items() if patch.texts}
    results = [
        _result(finding, digest=digests[id(finding)], place=_location(finding, whole=whole, root=root))
        | ({"suppressions": [suppressed[id(finding)]]} if id(finding) in suppressed else {})
        | fixes.get(id(finding), {})
        for finding in by_severity(findings)
    ]
    driver = {"name": "actlab", "version": version, "rules": [_rule(kind) for kind in kinds().values()]}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {ROOT_NAME: {"uri": f"{root.resolve().as_uri()}/"}},
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": _notifications(unseen)}],
        "results": results,
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(kind: FindingKind) -> dict[str, Any]:
    address = address_in(kind.source)
    return {
        "id": kind.id,
        "name": "".join(word.capitalize() for word in kind.name.split("-")),
        "shortDescription": {"text": kind.title},
        "fullDescription": {"text": f"{kind.explanation} Source: {kind.source}"},
        "help": {"text": "\n".join(f"- {REMEDIES[remedy]}" for remedy in kind.remedies)},
        "defaultConfiguration": {"level": LEVELS[kind.severity]},
        **({"helpUri": address} if address else {}),
    }


def address_in(source: str) -> str | None:
    """Return the first address that a source names, or None.

    Example:
        >>> address_in("Lu et al. 2019, arXiv:1903.06733"), address_in("Hochreiter 1991")
        ('https://arxiv.org/abs/1903.06733', None)
    """
    found = _ADDRESS.search(source)
    if found is None:
        return None
    return found["url"] or (
        f"https://arxiv.org/abs/{found['arxiv']}" if found["arxiv"] else f"https://doi.org/{found['doi']}"
    )


def _result(finding: Finding, *, digest: str, place: dict[str, Any]) -> dict[str, Any]:
    message = sentence_text(finding.message)
    if finding.evidence:
        message += f" Evidence: {evidence_text(finding.evidence)}."
    rule = {"ruleIndex": list(kinds()).index(finding.id)} if finding.id in kinds() else {}
    return {
        "ruleId": finding.id,
        **rule,
        "level": LEVELS[finding.severity],
        "message": {"text": message},
        "locations": [place],
        "partialFingerprints": {FINGERPRINT: digest},
        "properties": {"evidence": plain(dict(finding.evidence)), "remedies": list(finding.remedies)},
    }


def _fix(patch: Patch, *, root: Path) -> dict[str, Any]:
    """Return a patch as SARIF describes it: for each file, regions and what replaces them."""
    changes = [
        {
            "artifactLocation": _artifact(file, root=root),
            "replacements": [
                {
                    "deletedRegion": {
                        "startLine": each.start,
                        "startColumn": 1,
                        "endLine": each.end[0],
                        "endColumn": each.end[1],
                    },
                    "insertedContent": {"text": each.text},
                }
                for each in replacements(patch.old_texts[file], new)
            ],
        }
        for file, new in patch.texts.items()
    ]
    return {
        "description": {"text": "A change that removes the finding, as measured on a copy."},
        "artifactChanges": changes,
    }


def _location(finding: Finding, *, whole: tuple[str, int], root: Path) -> dict[str, Any]:
    name = "model" if finding.site is None else finding.site.name
    file, line = (*finding.lines, whole)[0]
    named = {"logicalLocations": [{"fullyQualifiedName": name, "kind": "member"}]}
    artifact = _artifact(file, root=root)
    if artifact is None:
        return named
    # Lines count from 1; a file whose line is unknown is named as a whole.
    region = {"region": {"startLine": line}} if line >= 1 else {}
    return {"physicalLocation": {"artifactLocation": artifact, **region}, **named}


def _artifact(file: str, *, root: Path) -> dict[str, str] | None:
    """Return a file's location, relative to the root if possible; None for code without a file, such as `<stdin>`."""
    path = Path(file)
    if not file or file.startswith("<"):
        return None
    whole = path if path.is_absolute() else root.resolve() / path
    if whole.is_relative_to(root.resolve()):
        return {"uri": quote(whole.relative_to(root.resolve()).as_posix()), "uriBaseId": ROOT_NAME}
    return {"uri": whole.as_uri()}


def _notifications(unseen: Iterable[Unseen]) -> list[Mapping[str, Any]]:
    return [
        {
            "level": "note",
            "message": {"text": f"Not inspected: {one.what}: {one.why}"},
            "locations": [{"logicalLocations": [{"fullyQualifiedName": one.path or "model", "kind": "member"}]}],
        }
        for one in unseen
    ]
