"""What a kind of finding means, at length."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from textwrap import fill
from typing import TYPE_CHECKING, Any

from actlab.errors import BadInput, shortened
from actlab.plain import plain

if TYPE_CHECKING:
    from actlab.watch.kinds import FindingKind

WIDTH = 88


@dataclass(frozen=True)
class Explained:
    """One kind of finding, at length."""

    kind: FindingKind

    def to_json(self) -> dict[str, Any]:
        """Id, name, title, severity, explanation, source, and every remedy with its sentence."""
        facts: dict[str, Any] = plain(self.kind)
        return {**facts, "remedies": [{"id": one, "sentence": said} for one, said in self._remedies()]}

    def lines(self) -> list[str]:
        """The heading, the explanation, the remedies."""
        kind = self.kind
        lines = [f"{kind.id}  {kind.title}", f"{kind.name}, by default: {kind.severity}", ""]
        for paragraph in kind.explanation.split("\n\n"):
            lines += [*fill(" ".join(paragraph.split()), WIDTH).split("\n"), ""]
        if kind.remedies:
            lines += ["What answers it:"]
            lines += [fill(f"→ {said}", WIDTH, subsequent_indent="  ") for _, said in self._remedies()]
        return "\n".join(lines).rstrip().split("\n")

    def _remedies(self) -> list[tuple[str, str]]:
        from actlab.watch.remedies import REMEDIES

        return [(remedy, REMEDIES[remedy]) for remedy in self.kind.remedies]


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
    from actlab.watch.kinds import KINDS

    named = {kind.name: kind for kind in KINDS.values()}
    known = {**KINDS, **named}
    found = known.get(finding.upper()) or known.get(finding.lower())
    if found is None:
        near = get_close_matches(finding.upper(), KINDS, n=1) or get_close_matches(finding.lower(), named, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise BadInput(f"no finding is called '{shortened(finding)}'.{hint} `actlab explain` lists them all.")
    return Explained(found)
