"""What a kind of finding means, at length."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actlab.watch.kinds import FindingKind

WIDTH = 88


@dataclass(frozen=True)
class Explained:
    """One kind of finding, at length."""

    kind: FindingKind

    def to_json(self) -> dict[str, Any]:
        """Id, name, title, severity, explanation, source, and every remedy with its sentence."""
        return self.kind.to_json()

    def lines(self) -> list[str]:
        """The heading, the explanation, the remedies, the source."""
        from actlab.watch.remedies import REMEDIES

        kind = self.kind
        lines = [fill(f"{kind.id}  {kind.title}", WIDTH), f"{kind.name}, usually: {kind.severity}", ""]
        for paragraph in kind.explanation.split("\n\n"):
            lines += [*fill(" ".join(paragraph.split()), WIDTH).split("\n"), ""]
        lines += ["What answers it:"]
        lines += [fill(f"→ {REMEDIES[one]}", WIDTH, subsequent_indent="  ") for one in kind.remedies]
        lines += ["", fill(f"Source: {kind.source}", WIDTH, subsequent_indent="  ")]
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
        rows = [f"{kind.id}  {kind.severity:<{width}}  {kind.title}" for kind in self.kinds]
        return [*rows, "", f"{len(rows)} kinds of finding; `actlab explain {self.kinds[0].id}` tells one at length."]


def kinds() -> Kinds:
    """All kinds of finding."""
    from actlab.watch.kinds import KINDS

    return Kinds(tuple(KINDS.values()))


def explain(finding: str) -> Explained:
    """What a kind of finding means, what follows from it, what answers it, and who says so.

    Args:
        finding: its id, such as AL101, or its name, such as dead-units.

    Raises:
        BadInput: there is no such kind.
    """
    from actlab.watch.kinds import kind_of

    return Explained(kind_of(finding))
