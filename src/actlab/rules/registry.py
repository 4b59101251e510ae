"""All findings that one pass of a model can give."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from actlab.rules import (
    configuration,
    finite_rules,
    layer_rules,
    output_rules,
    parameter_rules,
    range_rules,
    recurrent_rules,
    start_rules,
)
from actlab.rules.context import Seen
from actlab.rules.finding import Finding

Rule = Callable[[Seen], Iterator[Finding]]

RULES: tuple[Rule, ...] = tuple(
    rule
    for group in (
        output_rules,
        range_rules,
        layer_rules,
        start_rules,
        recurrent_rules,
        parameter_rules,
        configuration,
        finite_rules,
    )
    for rule in group.RULES
)


def still_findings(seen: Seen) -> list[Finding]:
    """What the rules say of a pass, each thing once."""
    found: dict[tuple[object, ...], Finding] = {}
    for rule in RULES:
        for each in rule(seen):
            site = each.site
            key = (each.id, site.path, site.file, site.line, site.index) if site else (each.id, each.message)
            found.setdefault(key, each)
    return list(found.values())
