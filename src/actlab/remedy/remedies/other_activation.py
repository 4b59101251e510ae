"""Replace an activation whose gradient vanishes, dies or is 0."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.remedy.change import Change, Refusal, Remedy, transforming
from actlab.remedy.choices import leaky, rectifier, smooth, twice_smooth
from actlab.remedy.facts import Facts, torch_spelling
from actlab.remedy.transforms import PutActivations
from actlab.rules.finding import Finding
from actlab.sites.site import Site

_WIDE = {"negative_slope": 0.1}
"""A hundredth hardly revives a unit within a short training."""


def propose(findings: tuple[Finding, ...], facts: Facts) -> Iterator[Change | Refusal]:
    """Propose activations that are leaky or smooth, as the findings ask, at all sites of the same activation."""
    sites = sites_of(findings, facts)
    if not sites:
        yield Refusal("the model has no hidden activation that can be replaced")
        return
    asked = {name for each in findings for name in each.remedies}
    own = {each.activation for each in sites}
    if "smooth-activation" in asked:
        choices: list[tuple[str, dict[str, float]]] = [(name, {}) for name in twice_smooth()[:2]]
    else:
        choices = [(name, _WIDE) for name in leaky()[:1]] + [(name, {}) for name in (*smooth()[:2], rectifier())]
    for name, arguments in choices:
        if name not in own:
            yield replaced(sites, name, arguments, facts)


def sites_of(findings: tuple[Finding, ...], facts: Facts) -> tuple[Site, ...]:
    """Return the hidden sites of the activations that the findings name; of all if they name none."""
    named = {site.name: site for each in findings if isinstance(site := each.site, Site)}
    found = {same.name: same for site in named.values() for same in facts.like(site)}
    hidden = {each.name for each in facts.hidden}
    usable = tuple(each for each in found.values() if each.name in hidden)
    return usable or facts.hidden


def replaced(sites: tuple[Site, ...], name: str, arguments: dict[str, float], facts: Facts) -> Change:
    """Return the change that puts an activation at sites."""
    build = torch_spelling(name, arguments)
    places = tuple(each.name for each in sites)
    before = ", ".join(dict.fromkeys(each.activation for each in sites))
    values = ", ".join(f"{key}={value:g}" for key, value in arguments.items())
    after = f"{name}({values})" if values else name
    return Change(
        f"{before} -> {after} at {len(places)} place{'' if len(places) == 1 else 's'}",
        transforming(PutActivations(places, build)),
        facts.replacements(sites, name, arguments),
        (f"actlab.swap(model, {{{', '.join(f'{each!r}: {after!r}' for each in places)}}}, inputs)",),
    )


REMEDY = Remedy(
    "other-activation",
    3,
    frozenset({
        "use-leaky",
        "use-non-saturating",
        "use-hidden-activation",
        "smooth-activation",
        "straight-through",
        "AL104",
        "AL110",
    }),
    "Replace the hidden activations by one that is leaky or smooth, whose gradient does not vanish.",
    propose,
)  # fmt: skip
