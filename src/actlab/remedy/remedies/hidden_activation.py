"""Replace a hidden activation that is none: a softmax, a straight line, a softmax over one unit."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.remedy.change import Change, Refusal, Remedy
from actlab.remedy.choices import rectifier, smooth
from actlab.remedy.facts import Facts
from actlab.remedy.remedies.add_activation import usual_activation
from actlab.remedy.remedies.other_activation import replaced
from actlab.rules.finding import Finding


def propose(findings: tuple[Finding, ...], facts: Facts) -> Iterator[Change | Refusal]:
    """Propose an element-wise activation at the sites that the findings name."""
    named = {(each.site.path, each.site.index) for each in findings if each.site is not None}
    sites = tuple(site for site, _ in facts.layout.sites if (site.path, site.index) in named)
    if not sites:
        yield Refusal("the place is not an activation of the model that can be replaced")
        return
    own = {each.activation for each in sites}
    if any("use-sigmoid" in each.remedies for each in findings):
        yield replaced(sites, "sigmoid", {}, facts)
        return
    usual = usual_activation(facts)
    for name in dict.fromkeys((usual, rectifier(), *smooth()[:1])):
        if name not in own:
            yield replaced(sites, name, {}, facts)


REMEDY = Remedy(
    "hidden-activation",
    0,
    frozenset({"use-hidden-activation", "name-the-argument", "use-sigmoid"}),
    "Replace a hidden softmax or straight line by an element-wise activation.",
    propose,
)
