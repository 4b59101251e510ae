"""Keep the rectifier, and give it another gradient."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.formula.activation import Activation
from actlab.remedy.change import Change, Refusal, Remedy, transforming
from actlab.remedy.choices import rectifier
from actlab.remedy.facts import Facts
from actlab.remedy.surrogate import SurrogateReLU
from actlab.remedy.transforms import PutActivations
from actlab.rules.finding import Finding


def propose(findings: tuple[Finding, ...], facts: Facts) -> Iterator[Change | Refusal]:
    """Propose it at all rectifiers of the model."""
    name = rectifier()
    sites = [each for each in facts.hidden if each.activation == name and isinstance(each.formula, Activation)]
    if not sites:
        yield Refusal("the model has no rectifier")
        return
    put = PutActivations(tuple(each.name for each in sites), SurrogateReLU)
    yield Change(
        f"surrogate gradient at {len(sites)} places",
        transforming(put),
        (),
        (f"Use actlab.remedy.surrogate.SurrogateReLU() at {', '.join(each.name for each in sites)}.",),
    )


REMEDY = Remedy(
    "surrogate-gradient",
    3,
    frozenset({"use-leaky"}),
    "Let the gradient of a rectifier be that of a smooth function.",
    propose,
)
