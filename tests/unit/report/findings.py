"""Findings with chosen contents, for the tests of reports."""

from __future__ import annotations

from typing import Any

from actlab.catalog.index import get
from actlab.rules.finding import Finding, Severity
from actlab.sites.site import Site


def site(
    path: str = "head", *, file: str = "net.py", line: int = 12, index: int = 0, spelling: str = "nn.Softmax"
) -> Site:
    """Return a site of a softmax."""
    return Site("softmax", {}, path, spelling, file, line, index, (8, 3), "float32", get("softmax"))


def finding(
    kind: str = "AL201",
    severity: Severity = "error",
    *,
    message: str = "Softmax before cross-entropy: the loss takes softmax itself.",
    where: Site | None = None,
    evidence: dict[str, Any] | None = None,
    remedies: tuple[str, ...] = (),
) -> Finding:
    """Return a finding, by default without a site."""
    return Finding(kind, severity, message, where, evidence or {}, remedies)
