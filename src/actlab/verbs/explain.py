"""Explain a kind of finding."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from shutil import get_terminal_size
from textwrap import fill, indent
from typing import Any

from actlab.rules import registry
from actlab.rules.kind import FindingKind
from actlab.rules.remedies import REMEDIES

WIDEST = 88
"""Columns of a text that reads well; a narrower terminal sets its own."""

CODE = 4
"""Spaces before a line of a program."""


@dataclass(frozen=True)
class Explained:
    """One kind of finding, in full."""

    kind: FindingKind

    def to_json(self) -> dict[str, Any]:
        """Return everything that is documented about it, and every fix with its sentence."""
        return self.kind.to_json()

    def lines(self) -> list[str]:
        """Return a page: what it is, why it matters, how it is detected, an example, fixes, thresholds, references."""
        kind = self.kind
        head = [_filled(f"{kind.id}  {kind.title}", hanging=7), f"{kind.name}, usually: {kind.severity}"]
        sections = {
            "What it is": _paragraphs(kind.what),
            "Why it matters": _paragraphs(kind.why),
            "How it is detected": _paragraphs(kind.how),
            "Example": _code(kind.example),
            "Use instead": _code(kind.fix),
            "Fixes": [_filled(f"→ {REMEDIES[one]}", hanging=2) for one in kind.remedies],
            "Thresholds": [
                _filled(f"{name} = {kind.defaults[name]:g}: {why}", hanging=2) for name, why in kind.thresholds.items()
            ],
            "References": [_filled(kind.source, hanging=2)],
        }
        rows = [row for title, text in sections.items() if text for row in ("", title, *text)]
        return "\n".join([*head, *rows]).split("\n")


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
            _filled(f"{kind.id}  {kind.severity:<{width}}  {kind.title}", hanging=width + 9).split("\n")
            for kind in self.kinds
        ]
        total = f"{len(rows)} kinds of finding; `actlab explain {self.kinds[0].id}` explains one in full."
        return [*chain(*rows), "", total]


def kinds() -> Kinds:
    """List all kinds of finding."""
    return Kinds(tuple(registry.kinds().values()))


def explain(finding: str) -> Explained:
    """Explain a kind of finding: meaning, consequences, fixes, references.

    Args:
        finding: an id such as AL101, or a name such as dead-units.

    Raises:
        BadInput: no kind of finding has this id or name.
    """
    return Explained(registry.kind_of(finding))


def _paragraphs(text: str) -> list[str]:
    filled = [_filled(" ".join(paragraph.split())) for paragraph in text.split("\n\n") if paragraph.strip()]
    return "\n\n".join(filled).split("\n") if filled else []


def _code(text: str) -> list[str]:
    """Return a program as it is, indented: a broken line would not run."""
    return indent(text.strip("\n"), " " * CODE).split("\n") if text.strip() else []


def _filled(text: str, *, hanging: int = 0) -> str:
    return fill(text, min(WIDEST, get_terminal_size().columns), subsequent_indent=" " * hanging)
