"""Apply the activation that the model's configuration names."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.catalog.index import get
from actlab.remedy.change import Change, Refusal, Remedy
from actlab.remedy.facts import Facts
from actlab.remedy.remedies.other_activation import replaced
from actlab.rules.finding import Finding


def propose(findings: tuple[Finding, ...], facts: Facts) -> Iterator[Change | Refusal]:
    """Propose the configured activation at the sites that the findings name."""
    by_name: dict[str, set[tuple[str, int]]] = {}
    for each in findings:
        if each.site is not None and each.evidence.get("configured"):
            by_name.setdefault(str(each.evidence["configured"]), set()).add((each.site.path, each.site.index))
    for name, named in by_name.items():
        sites = tuple(site for site, _ in facts.layout.sites if (site.path, site.index) in named)
        if sites:
            yield replaced(sites, get(name).name, {}, facts)
    if not by_name:
        yield Refusal("the configuration names no activation")


REMEDY = Remedy(
    "match-config", 0, frozenset({"match-config"}), "Apply the activation that the configuration names.", propose
)
