"""All remedies: one file each in the folder `remedies`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from actlab.errors import ActlabError
from actlab.remedy.change import Change, Refusal, Remedy
from actlab.remedy.facts import Facts
from actlab.rules.finding import Finding
from actlab.rules.remedies import REMEDIES


@cache
def remedies() -> tuple[Remedy, ...]:
    """Return every remedy, the cheapest tier first."""
    folder = Path(__file__).parent / "remedies"
    files = [import_module(f"{__package__}.remedies.{each.name}") for each in iter_modules([str(folder)])]
    found: Iterable[Remedy] = (file.REMEDY for file in files)
    return tuple(sorted(found, key=lambda each: (each.tier, each.id)))


def proposals(findings: tuple[Finding, ...], facts: Facts) -> tuple[tuple[Change, ...], tuple[Refusal, ...]]:
    """Return the changes that answer findings of one kind, the cheapest first, and why remedies propose none."""
    changes: dict[str, Change] = {}
    refusals: list[Refusal] = []
    for remedy in remedies():
        if not remedy.fits(findings):
            continue
        try:
            for each in remedy.propose(findings, facts):
                if isinstance(each, Refusal):
                    refusals.append(replace(each, remedy=remedy.id))
                else:
                    full = replace(each, remedy=remedy.id, tier=remedy.tier)
                    changes.setdefault(full.name, full)
        except ActlabError as error:
            refusals.append(Refusal(str(error), remedy.id))
    return tuple(changes.values()), tuple(refusals)


def every_proposal(facts: Facts) -> Iterator[Change]:
    """Yield what every remedy proposes, whatever the findings are; remedies that need a finding propose nothing."""
    for remedy in remedies():
        asked = tuple(name for name in remedy.answers if name in REMEDIES)
        finding = Finding("", "warning", "", None, {}, asked)
        try:
            proposed = [each for each in remedy.propose((finding,), facts) if isinstance(each, Change)]
        except ActlabError:
            continue
        yield from (replace(each, remedy=remedy.id, tier=remedy.tier) for each in proposed)
