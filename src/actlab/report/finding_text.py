"""Counts and order of findings."""

from __future__ import annotations

from collections.abc import Sequence

from actlab.rules.finding import SEVERITIES, Finding

# "Information" has no plural.
_COUNTED = {
    "error": ("error", "errors"),
    "warning": ("warning", "warnings"),
    "information": ("informational", "informational"),
}


def by_severity(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings by severity, errors first, otherwise in their order."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def count_text(findings: Sequence[Finding], *, nothing: str = "nothing found") -> str:
    """Return the number of findings of each severity.

    Example:
        >>> count_text(())
        'nothing found'
    """
    parts = []
    for severity in SEVERITIES:
        count = sum(finding.severity == severity for finding in findings)
        if count:
            one, more = _COUNTED[severity]
            parts.append(f"{count} {one if count == 1 else more}")
    return ", ".join(parts) or nothing
