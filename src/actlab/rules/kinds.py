"""The kinds of findings: what each id means, for ever."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, final

from actlab.errors import BadInput
from actlab.rules.finding import Severity
from actlab.rules.remedies import REMEDIES
from actlab.rules.texts_construction import CONSTRUCTION
from actlab.rules.texts_output import OUTPUT
from actlab.rules.texts_running import RUNNING


@final
@dataclass(frozen=True)
class FindingKind:
    """What a finding's id means.

    Attributes:
        id: such as `AL101`.
        name: the same as words, such as `dead-units`.
        severity: the usual one; a finding's own follows its consequence.
        title: in half a sentence.
        explanation: what it is, how it is told, and what follows from it.
        source: where that is known from.
        remedies: the ids of what answers it, the best first.
    """

    id: str
    name: str
    severity: Severity
    title: str
    explanation: str
    source: str
    remedies: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain values, the remedies with their sentences."""
        return {
            "id": self.id,
            "name": self.name,
            "severity": self.severity,
            "title": self.title,
            "explanation": self.explanation,
            "source": self.source,
            "remedies": {remedy: REMEDIES[remedy] for remedy in self.remedies},
        }


KINDS: Mapping[str, FindingKind] = MappingProxyType(
    {row[0]: FindingKind(*row) for row in (*RUNNING, *OUTPUT, *CONSTRUCTION)}
)


def kind_of(text: str) -> FindingKind:
    """The kind with this id or name.

    Raises:
        BadInput: there is none.

    Example:
        >>> kind_of("AL101").name
        'dead-units'
    """
    wanted = text.strip()
    for kind in KINDS.values():
        if wanted.upper() == kind.id or wanted.lower() == kind.name:
            return kind
    near = get_close_matches(wanted, [*KINDS, *(kind.name for kind in KINDS.values())], n=1, cutoff=0.5)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    raise BadInput(f"no finding is called '{wanted[:60]}'.{hint} `actlab explain` lists them all.")
