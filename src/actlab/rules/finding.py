"""Findings: what is wrong, where, and the numbers that show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

from actlab.jsonable import plain
from actlab.sites.site import Site, Spot, with_known_line

Severity = Literal["error", "warning", "information"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "information")


@final
@dataclass(frozen=True)
class Finding:
    """Something wrong, or worth knowing, about a model's activations.

    Attributes:
        id: its kind, such as `AL101`; the meaning of an id never changes.
        severity: by its consequence for training.
        message: the evidence in numbers, and the consequence.
        site: an activation, or the call of a layer or a loss where one is missing; None if the finding concerns the
            model or the loss as a whole.
        evidence: the numbers behind the message, with the sample size.
        remedies: the ids of possible fixes, best first.
        title: its kind in a noun phrase, such as "dead units".
    """

    id: str
    severity: Severity
    message: str
    site: Site | Spot | None
    evidence: Mapping[str, Any]
    remedies: tuple[str, ...]
    title: str = ""

    @property
    def lines(self) -> tuple[tuple[str, int], ...]:
        """File and line of each place in the code that is known: those that the evidence names, or else its site's."""
        parts = [str(place).rpartition(":") for place in self.evidence.get("lines", ())]
        named = tuple(dict.fromkeys((file, int(line)) for file, _, line in parts if file))
        return named or (((self.site.file, self.site.line),) if self.site is not None and self.site.file else ())

    def to_json(self) -> dict[str, Any]:
        """Return plain values; the site is reduced to what identifies it."""
        site = None
        if self.site is not None:
            known = {name: getattr(self.site, name) for name in ("path", "spelling", "file", "line", "index")}
            site = with_known_line(known)
        return {
            "id": self.id,
            "title": self.title,
            "severity": self.severity,
            "message": self.message,
            "site": site,
            "evidence": plain(dict(self.evidence)),
            "remedies": list(self.remedies),
        }
