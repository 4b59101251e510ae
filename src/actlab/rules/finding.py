"""A finding: what is wrong, where, and the numbers that say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

from actlab.jsonable import plain
from actlab.sites.site import Site, Spot

Severity = Literal["error", "warning", "information"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "information")


@final
@dataclass(frozen=True)
class Finding:
    """Something that is wrong, or worth knowing, about a model's activations.

    Attributes:
        id: its kind, such as `AL101`; an id keeps its meaning for ever.
        severity: by consequence.
        message: what was found and what follows from it.
        site: where: an activation, or the call of a layer or of a loss that one is missing at; None where it is about
            the model or the loss as a whole.
        evidence: the numbers that it rests on, with the sample size.
        remedies: the ids of what answers it, the best first.
    """

    id: str
    severity: Severity
    message: str
    site: Site | Spot | None
    evidence: Mapping[str, Any]
    remedies: tuple[str, ...]

    @property
    def lines(self) -> tuple[tuple[str, int], ...]:
        """File and line of each place in the code that it is about: those that the evidence names, or its site's."""
        parts = [str(place).rpartition(":") for place in self.evidence.get("lines", ())]
        named = tuple(dict.fromkeys((file, int(line)) for file, _, line in parts))
        return named or (() if self.site is None else ((self.site.file, self.site.line),))

    def to_json(self) -> dict[str, Any]:
        """As plain values; of the site what tells it from others."""
        site = None
        if self.site is not None:
            site = {name: getattr(self.site, name) for name in ("path", "spelling", "file", "line", "index")}
        return {
            "id": self.id,
            "severity": self.severity,
            "message": self.message,
            "site": site,
            "evidence": plain(dict(self.evidence)),
            "remedies": list(self.remedies),
        }
