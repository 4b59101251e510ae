"""What a kind of finding means, at length."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from shutil import get_terminal_size
from textwrap import fill
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actlab.rules.kind import FindingKind

MOST = 88
"""Columns of a text that reads well; a narrower terminal has its own."""


def _filled(text: str, *, indent: int = 0) -> str:
    return fill(text, min(MOST, get_terminal_size().columns), subsequent_indent=" " * indent)


@dataclass(frozen=True)
class Explained:
    """One kind of finding, at length."""

    kind: FindingKind

    def to_json(self) -> dict[str, Any]:
        """Id, name, title, severity, explanation, source, and every remedy with its sentence."""
        return self.kind.to_json()

    def lines(self) -> list[str]:
        """The heading, the explanation, the remedies, the source."""
        from actlab.rules.remedies import REMEDIES

        kind = self.kind
        lines = [_filled(f"{kind.id}  {kind.title}", indent=7), f"{kind.name}, usually: {kind.severity}", ""]
        for paragraph in kind.explanation.split("\n\n"):
            lines += [*_filled(" ".join(paragraph.split())).split("\n"), ""]
        lines += ["What answers it:"]
        lines += [_filled(f"→ {REMEDIES[one]}", indent=2) for one in kind.remedies]
        lines += ["", _filled(f"Source: {kind.source}", indent=2)]
        return "\n".join(lines).split("\n")


@dataclass(frozen=True)
class Kinds:
    """All kinds of finding."""

    kinds: tuple[FindingKind, ...]

    def to_json(self) -> list[dict[str, Any]]:
        """One object a kind."""
        return [Explained(kind).to_json() for kind in self.kinds]

    def lines(self) -> list[str]:
        """One line a kind."""
        width = max(len(kind.severity) for kind in self.kinds)
        rows = [
            _filled(f"{kind.id}  {kind.severity:<{width}}  {kind.title}", indent=width + 9).split("\n")
            for kind in self.kinds
        ]
        return [
            *chain(*rows),
            "",
            f"{len(rows)} kinds of finding; `actlab explain {self.kinds[0].id}` tells one at length.",
        ]


def kinds() -> Kinds:
    """All kinds of finding."""
    from actlab.rules import registry

    return Kinds(tuple(registry.kinds().values()))


def explain(finding: str) -> Explained:
    """What a kind of finding means, what follows from it, what answers it, and who says so.

    Args:
        finding: its id, such as AL101, or its name, such as dead-units.

    Raises:
        BadInput: there is no such kind.
    """
    from actlab.rules.registry import kind_of

    return Explained(kind_of(finding))
