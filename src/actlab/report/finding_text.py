"""Findings as short text, the same on every face."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from actlab.report.wording import name_text
from actlab.rules.finding import SEVERITIES, Finding
from actlab.sites.site import Unseen

MARKS = {"error": "✖", "warning": "▲", "information": "●"}
"""A severity is told by shape as well as by colour."""

SHOWN = 4
"""Numbers of a list that are shown before it is cut short."""

# Both have the same form in the plural or none at all.
_COUNTED = {"error": ("error", "errors"), "warning": ("warning", "warnings")}


def by_severity(findings: Sequence[Finding]) -> list[Finding]:
    """The gravest first; otherwise as they were."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def shown_path(file: str, *, root: Path) -> str:
    """A file as one would type it in the folder `root`, one of an installed package from the package on; else whole.

    Example:
        >>> [shown_path(file, root=Path("/data")) for file in ("/data/net/model.py", "<stdin>", "/else/net.py")]
        ['net/model.py', '<stdin>', '/else/net.py']
        >>> shown_path("/usr/lib/site-packages/timm/layers/mlp.py", root=Path("/data"))
        'timm/layers/mlp.py'
    """
    path = Path(file)
    if path.is_absolute() and path.is_relative_to(root):
        return path.relative_to(root).as_posix()
    installed = path.as_posix().rpartition("/site-packages/")[2]
    return installed if installed != path.as_posix() else file


def end_text(text: str, limit: int) -> str:
    """A text of which the end matters, cut in front to `limit` characters.

    Example:
        >>> end_text("encoder.layers.11.mlp.act[0]", 12)
        '….mlp.act[0]'
    """
    line = name_text(text, max(len(text), limit))
    return line if len(line) <= limit else "…" + line[1 - limit :]


def place_text(finding: Finding, *, root: Path) -> str:
    """Where a finding is: file and line, place in the model, spelling."""
    lines = ", ".join(f"{shown_path(file, root=root)}:{line}" for file, line in finding.lines)
    site = finding.site
    return lines or "the model as a whole" if site is None else f"{lines}  {site.name}  {name_text(site.spelling, 40)}"


def sentence_text(message: str) -> str:
    """A finding's message as a sentence of its own; a name of code that begins it stays as it is.

    Example:
        >>> sentence_text("the loss does not move"), sentence_text("log_softmax is taken twice.")
        ('The loss does not move.', 'log_softmax is taken twice.')
    """
    first = message.partition(" ")[0]
    start = message[:1].upper() if first.isalpha() else message[:1]
    return f"{start}{message[1:].rstrip()}{'' if message.rstrip().endswith(('.', '!', '?')) else '.'}"


def evidence_text(evidence: Mapping[str, Any]) -> str:
    """The numbers of a finding in one line; lines of code are told as its place.

    Example:
        >>> evidence_text({"examples": 512, "dead_share": 0.51234, "units": (1, 2, 3, 4, 5, 6)})
        'examples 512, dead share 0.512, units 1 2 3 4 … (6)'
    """
    return ", ".join(
        f"{name.replace('_', ' ')} {value_text(value)}" for name, value in evidence.items() if name != "lines"
    )


def value_text(value: Any) -> str:
    """A value of some evidence: three digits of a real number, the first few of many.

    Example:
        >>> value_text(1e-9), value_text(None), value_text(True), value_text({"a": 0.5})
        ('1e-09', '–', 'yes', 'a 0.5')
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
            return " ".join(value_text(one) for one in value[:SHOWN]) + more
        case _:
            return name_text(str(value), 80)


def count_text(findings: Sequence[Finding], *, nothing: str = "nothing found") -> str:
    """How many there are, by severity.

    Example:
        >>> count_text(())
        'nothing found'
    """
    parts = []
    for severity in SEVERITIES:
        count = sum(finding.severity == severity for finding in findings)
        if count:
            one, more = _COUNTED.get(severity, ("for information", "for information"))
            parts.append(f"{count} {one if count == 1 else more}")
    return ", ".join(parts) or nothing


def unseen_text(unseen: Unseen) -> str:
    """What could not be looked into, and why."""
    return f"{unseen.path or 'the model'} ({name_text(unseen.what, 60)}): {unseen.why}"
