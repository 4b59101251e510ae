"""Take off an activation that the loss applies itself, or that bounds the output."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from actlab.remedy.change import Change, Refusal, Remedy, transforming
from actlab.remedy.edit import Edit, RemoveActivation
from actlab.remedy.facts import Facts
from actlab.remedy.transforms import PutActivations
from actlab.rules.finding import Finding
from actlab.sites.site import Site, Spot


def propose(findings: tuple[Finding, ...], facts: Facts) -> Iterator[Change | Refusal]:
    """Propose an output without the activations that the findings name, or without the last one of the model."""
    named = {(each.site.path, each.site.index) for each in findings if each.site is not None}
    sites = tuple(site for site, _ in facts.layout.sites if (site.path, site.index) in named)
    sites = sites or tuple(site for site, group in facts.layout.sites if group == "output")
    if sites:
        edits = _edits(facts, sites)
        label = f"without {', '.join(dict.fromkeys(each.spelling for each in sites))} at the output"
        places = tuple(each.name for each in sites)
        yield Change(
            label,
            transforming(PutActivations(places, nn.Identity)),
            edits,
            (f"Return the output of the layer before {', '.join(places)}.",),
        )
        return
    spots = [each.site for each in findings if each.site is not None]
    edits = _edits(facts, spots)
    if not edits:
        yield Refusal("no activation of the model computes the output, and the line that does is not known")
        return
    yield Change(f"without {spots[0].spelling} in line {spots[0].line}", None, edits)


def _edits(facts: Facts, places: tuple[Site, ...] | list[Site | Spot]) -> tuple[Edit, ...]:
    found = [(*facts.place(each), each.spelling) for each in places]
    if not all(line for _, line, _ in found):
        return ()
    return tuple(RemoveActivation(*each, everywhere=True) for each in dict.fromkeys(found))


REMEDY = Remedy(
    "remove-output-activation",
    0,
    frozenset({"remove-output-activation", "linear-output", "use-bce-with-logits"}),
    "Take off the activation at the output: the loss applies it, or the targets lie beyond it.",
    propose,
)
