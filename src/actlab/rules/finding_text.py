"""Findings as short text, the same wherever they are shown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from actlab.catalog.index import NAMES
from actlab.rules.finding import Finding
from actlab.rules.registry import kinds
from actlab.rules.remedies import REMEDIES
from actlab.sites.site_text import line_text, name_text, place_name, place_phrase

WHOLE_MODEL = "the model as a whole"

SHOWN = 4
"""Numbers of a list that are shown before it is cut short."""


def finding_lines(finding: Finding, *, root: Path) -> list[str]:
    """Return a finding for reading: severity, id and title, then place, message and fixes, indented."""
    heading = f"{finding.severity} {finding.id}  {title_text(finding)}".rstrip()
    fixes = [f"fix: {REMEDIES.get(remedy, remedy)}" for remedy in finding.remedies]
    rest = [f"where: {place_text(finding, root=root)}", sentence_text(finding.message), *fixes]
    return [heading, *(f"    {line}" for line in rest)]


def title_text(finding: Finding) -> str:
    """Return what kind of problem it is, in a noun phrase; nothing if the id is unknown."""
    return finding.title or (kinds()[finding.id].title if finding.id in kinds() else "")


def place_text(finding: Finding, *, root: Path) -> str:
    """Return file and line, the place in the model, and how the call is written."""
    lines = lines_text(finding.lines, root=root)
    site = finding.site
    phrase = "" if site is None else place_phrase(place_name(site), site.spelling)
    return ", ".join(part for part in (lines, phrase) if part) or WHOLE_MODEL


def lines_text(lines: Sequence[tuple[str, int]], *, root: Path, limit: int = 3) -> str:
    """Return lines of code by file, the first few of many.

    Example:
        >>> lines_text([("net.py", 4), ("net.py", 9), ("loss.py", 2), ("loss.py", 3)], root=Path("/"))
        'net.py:4, net.py:9, loss.py:2 and 1 more'
    """
    shown = [line_text(file, line, root=root) for file, line in lines[:limit]]
    more = f" and {len(lines) - limit} more" if len(lines) > limit else ""
    return ", ".join(shown) + more


def sentence_text(message: str) -> str:
    """Return a finding's message as a sentence; a name of code at its start keeps its case.

    Example:
        >>> sentence_text("the loss does not move"), sentence_text("relu at 1: 3 of 8 units are dead.")
        ('The loss does not move.', 'relu at 1: 3 of 8 units are dead.')
    """
    first = message.partition(" ")[0]
    is_prose = first.isalpha() and first.lower() not in NAMES
    start = message[:1].upper() if is_prose else message[:1]
    return f"{start}{message[1:].rstrip()}{'' if message.rstrip().endswith(('.', '!', '?')) else '.'}"


def evidence_text(evidence: Mapping[str, Any]) -> str:
    """Return the numbers of a finding in one line, without lines of code, which are part of its place.

    Example:
        >>> evidence_text({"examples": 512, "dead_share": 0.51234, "units": (1, 2, 3, 4, 5, 6)})
        'examples: 512; dead share: 0.512; units: 1, 2, 3, 4 … (6)'
    """
    return "; ".join(
        f"{name.replace('_', ' ')}: {value_text(value)}"
        for name, value in evidence.items()
        if name != "lines" and value is not None and value not in ((), [], {}, "")
    )


def value_text(value: Any) -> str:
    """Return a value of the evidence: three digits of a real number, the first few of many.

    Example:
        >>> value_text(1e-9), value_text(None), value_text(True), value_text({"a": 0.5})
        ('1e-09', '–', 'yes', 'a: 0.5')
    """
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.3g}" if math.isfinite(value) else str(value)
        case Mapping():
            return evidence_text(value)
        case list() | tuple():
            more = f" … ({len(value)})" if len(value) > SHOWN else ""
            return ", ".join(value_text(one) for one in value[:SHOWN]) + more
        case _:
            return name_text(str(value), 80)
