"""Make what is random in training deterministic in evaluation."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.remedy.change import Change, Refusal, Remedy
from actlab.remedy.facts import Facts
from actlab.remedy.remedies.other_activation import replaced
from actlab.rules.finding import Finding
from actlab.sites.site import Site


def propose(findings: tuple[Finding, ...], facts: Facts) -> Iterator[Change | Refusal]:
    """Propose a module, which knows the mode, instead of a function that is called with training=True."""
    named = {(each.site.path, each.site.index) for each in findings if isinstance(each.site, Site)}
    sites = tuple(site for site, _ in facts.layout.sites if (site.path, site.index) in named)
    if not sites:
        yield Refusal("the random call must be changed in the code: pass training=self.training to it")
        return
    change = replaced(sites, sites[0].activation, {}, facts)
    yield Change(
        f"{sites[0].spelling} that knows the mode",
        change.apply,
        (),
        (f"Pass training=self.training to {sites[0].spelling}.",),
    )


REMEDY = Remedy(
    "call-eval", 0, frozenset({"call-eval"}), "Let a random activation be deterministic in evaluation.", propose
)
