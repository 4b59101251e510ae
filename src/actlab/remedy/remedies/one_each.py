"""Give every place an activation module with separate parameters."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.remedy.change import Change, Refusal, Remedy, transforming
from actlab.remedy.facts import Facts
from actlab.remedy.transforms import Separate, names_of_modules
from actlab.rules.finding import Finding


def propose(findings: tuple[Finding, ...], facts: Facts) -> Iterator[Change | Refusal]:
    """Propose a copy at every path of a shared module with parameters."""
    shared = [
        tuple(paths)
        for module, paths in zip(
            facts.layout.model.modules(), names_of_modules(facts.layout.model).values(), strict=True
        )
        if len(paths) > 1 and not list(module.children()) and list(module.parameters())
    ]
    named = {each.site.path for each in findings if each.site is not None}
    shared = [paths for paths in shared if named & set(paths)]
    if not shared:
        yield Refusal("one module is called at several places in the code: construct one for each call")
        return
    apart = tuple(map(Separate, shared))
    listed = ", ".join(path for paths in shared for path in paths)
    yield Change(
        f"a module for each of {listed}",
        transforming(*apart),
        (),
        (f"Construct a new module for each of {listed}.",),
    )


REMEDY = Remedy("one-each", 0, frozenset({"one-each"}), "Give every place a separate module.", propose)
