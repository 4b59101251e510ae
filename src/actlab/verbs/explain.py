"""Explain a kind of finding."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from shutil import get_terminal_size
from textwrap import fill
from typing import Any

from actlab.rules.kinds import KINDS, FindingKind, kind_of
from actlab.rules.remedies import REMEDIES

WIDEST = 88
"""Columns of a text that reads well; a narrower terminal sets its own."""


@dataclass(frozen=True)
class Explained:
    """One kind of finding, in full."""

    kind: FindingKind

    def to_json(self) -> dict[str, Any]:
        """Return id, name, title, severity, explanation, source, and every fix with its sentence."""
        return self.kind.to_json()

    def lines(self) -> list[str]:
        """Return the heading, the explanation, the fixes and the source."""
        kind = self.kind
        lines = [_filled(f"{kind.id}  {kind.title}", indent=7), f"{kind.name}, usually: {kind.severity}", ""]
        for paragraph in kind.explanation.split("\n\n"):
            lines += [*_filled(" ".join(paragraph.split())).split("\n"), ""]
        lines += ["Fixes:"]
        lines += [_filled(f"→ {REMEDIES[one]}", indent=2) for one in kind.remedies]
        lines += ["", _filled(f"Source: {kind.source}", indent=2)]
        return "\n".join(lines).split("\n")


@dataclass(frozen=True)
class Kinds:
    """All kinds of finding."""

    kinds: tuple[FindingKind, ...]

    def to_json(self) -> list[dict[str, Any]]:
        """Return one object per kind."""
        return [Explained(kind).to_json() for kind in self.kinds]

    def lines(self) -> list[str]:
        """Return one line per kind."""
        width = max(len(kind.severity) for kind in self.kinds)
        rows = [
            _filled(f"{kind.id}  {kind.severity:<{width}}  {kind.title}", indent=width + 9).split("\n")
            for kind in self.kinds
        ]
        total = f"{len(rows)} kinds of finding; `actlab explain {self.kinds[0].id}` explains one in full."
        return [*chain(*rows), "", total]


def kinds() -> Kinds:
    """List all kinds of finding."""
    return Kinds(tuple(KINDS.values()))


def explain(finding: str) -> Explained:
    """Explain a kind of finding: meaning, consequences, fixes, references.

    Args:
        finding: an id such as AL101, or a name such as dead-units.

    Raises:
        BadInput: no kind of finding has this id or name.
    """
    return Explained(kind_of(finding))


def _filled(text: str, *, indent: int = 0) -> str:
    return fill(text, min(WIDEST, get_terminal_size().columns), subsequent_indent=" " * indent)
