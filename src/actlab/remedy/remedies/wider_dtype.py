"""Compute an activation in 32 bits."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import final

from torch import Tensor, nn

from actlab.formula.activation import Activation
from actlab.remedy.change import Change, Refusal, Remedy, transforming
from actlab.remedy.facts import Facts
from actlab.remedy.transforms import PutActivations
from actlab.rules.finding import Finding


@final
class InFloat32(nn.Module):
    """Apply an activation in 32 bits, whatever the dtype of its input."""

    def __init__(self, act: Activation) -> None:
        super().__init__()
        from actlab.nn import module

        self.act = module(act)

    def forward(self, x: Tensor) -> Tensor:
        """Return the result in the dtype of the input."""
        result: Tensor = self.act(x.float())
        return result.to(x.dtype)


def propose(findings: tuple[Finding, ...], facts: Facts) -> Iterator[Change | Refusal]:
    """Propose 32 bits at the sites that the findings name."""
    named = {(each.site.path, each.site.index) for each in findings if each.site is not None}
    sites = [site for site, _ in facts.layout.sites if (site.path, site.index) in named]
    puts = [
        PutActivations((site.name,), partial(InFloat32, site.formula))
        for site in sites
        if isinstance(site.formula, Activation) and not site.trainable
    ]
    if not puts:
        yield Refusal("the place is not an activation that can be computed apart")
        return
    places = ", ".join(each.places[0] for each in puts)
    yield Change(
        f"32 bits at {places}",
        transforming(*puts),
        (),
        (f"At {places}: compute the activation of x.float(), and convert the result back.",),
    )


REMEDY = Remedy("wider-dtype", 0, frozenset({"wider-dtype"}), "Compute the activation in 32 bits.", propose)
