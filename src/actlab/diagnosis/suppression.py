"""Suppress findings by a comment in the source: `# actlab: ignore[AL101]`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from linecache import checkcache, getline

from actlab.rules.finding import Finding

_COMMENT = re.compile(r"#\s*actlab:\s*ignore\b(?:\[(?P<ids>[^\]]*)\])?", re.IGNORECASE)

LineOf = Callable[[str, int], str]


def suppressed(findings: Sequence[Finding], *, line_of: LineOf | None = None) -> list[Finding]:
    """Return the findings that a comment suppresses, on one of the lines that the finding names.

    Args:
        findings: any findings; one that names no line cannot be suppressed.
        line_of: returns a line of a file; reads the file by default.
    """
    if line_of is None:
        checkcache()  # a file may have changed since it was imported
        line_of = getline
    return [each for each in findings if any(ignores(line_of(*place), each.id) for place in each.lines)]


def ignores(line: str, id: str) -> bool:
    """Return whether a line of source suppresses findings of this id.

    Example:
        >>> [ignores(f"y = relu(x)  # actlab: ignore{ids}", "AL101") for ids in ("", "[AL101]", "[AL2, AL1]", "[AL2]")]
        [True, True, True, False]
    """
    found = _COMMENT.search(line)
    if found is None:
        return False
    if found["ids"] is None:
        return True
    prefixes = tuple(part.strip().upper() for part in found["ids"].split(",") if part.strip())
    return bool(prefixes) and id.startswith(prefixes)
